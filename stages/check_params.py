"""Stop where params.yaml is not what conf/ says.

    python -m stages.check_params

DVC runs it first, and again when a file of conf/ has changed: an edit there reaches the other stages only through
params.yaml, so that without this `dvc repro` would say that all is up to date. It passes an experiment: `dvc exp run`
has just composed params.yaml with its own `-S`. What `actionbank compose KEY=VALUE` was given stands in params.yaml.
"""

import os
from pathlib import Path
from shlex import quote

from pipeline.command import new_app, run
from pipeline.compose import read_params, said_overrides, stale_keys
from pipeline.errors import InputError
from pipeline.params import parse_params
from pipeline.put_back import keep_params, put_back
from pipeline.ready import check_ready

app = new_app()


@app.command()
def check_params() -> None:
    """Stop where params.yaml is not what conf/ says."""
    path = Path("params.yaml")
    found = read_params(path)
    if "DVC_EXP_NAME" not in os.environ and (stale := stale_keys(found)):
        words = " ".join(["actionbank compose", *map(quote, said_overrides(found))])
        raise InputError(f"{path} is not what conf/ says: {'; '.join(stale)}; `{words}` composes it anew")
    try:
        check_ready(parse_params(found, str(path)))
    except InputError as refused:
        raise put_back(refused) from None
    keep_params()


if __name__ == "__main__":
    run(app)
