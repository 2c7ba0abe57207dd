"""Stop if params.yaml is not what conf/ says, or if something that it reads from outside is missing.

    python -m stages.check_params
    python -m stages.check_params --track recognition

DVC runs this stage first, and again when a file of conf/ has changed. An edit in conf/ reaches the other stages only
through params.yaml; without this check `dvc repro` would report that everything is up to date. In an experiment the
stage does nothing: `dvc exp run` has just composed params.yaml with its own `-S`, and checked it
(pipeline.hydra_plugins.checked). The values given to `actionbank compose KEY=VALUE` are recorded in params.yaml.

For recognition it writes `.checked/recognition`, on which the first stages of recognition/dvc.yaml depend: DVC runs the
stages of a file that it is given by name in no order but that of their dependencies.
"""

import os
from pathlib import Path
from shlex import quote
from typing import Literal

from pipeline.base.command import TrackOption, new_app, run
from pipeline.base.errors import InputError
from pipeline.base.files import write_text

CHECKED = Path(".checked/recognition")
app = new_app()


@app.command()
def check_params(track: TrackOption = "detection") -> None:
    """Stop where params.yaml is not what conf/ says, or what it needs from outside is not here."""
    if "DVC_EXP_NAME" not in os.environ:
        _check(track)
    if track == "recognition":
        write_text(CHECKED, "checked\n")


def _check(track: Literal["detection", "recognition"]) -> None:
    from pipeline.params import parse_params
    from pipeline.project.compose import read_params, said_overrides, stale_keys
    from pipeline.project.ready import check_ready, check_recognition_ready

    path = Path("params.yaml")
    found = read_params(path)
    if stale := stale_keys(found):
        words = " ".join(["actionbank compose", *map(quote, said_overrides(found))])
        raise InputError(f"{path} is not what conf/ says: {'; '.join(stale)}; `{words}` composes it anew")
    whole = parse_params(found, str(path))
    if track == "recognition":
        check_recognition_ready(whole.recognition)
    else:
        check_ready(whole)


if __name__ == "__main__":
    run(app)
