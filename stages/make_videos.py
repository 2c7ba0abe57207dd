"""Render a built-in data set: films, AVA annotations, person proposals and boxes of objects.

Reads only parameters (`dataset.playground`). Writes, below `data/<name>/source`: `videos` (H.264 MP4),
`annotations` (AVA CSVs, label map), `proposals` (the pickle layout of AVA's proposals), `proposals_csv` (the same
boxes as AVA CSV with scores) and `objects` (CSV with the names of classes). A film that was rendered before from the
same parameters is taken from `.work`.

    python -m stages.make_videos playground
"""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.command import WorkersOption, new_app, run, worker_count
from pipeline.base.errors import InputError

app = new_app()


@app.command()
def make_videos(
    name: Annotated[str, typer.Argument(help="A data set that is generated: one of dataset.generate.")],
    workers: WorkersOption = 0,
) -> None:
    """Render the films of the built-in data set, with AVA annotations, person proposals and objects beside them."""
    from pipeline.base.code_version import code_version
    from pipeline.base.runs import recorded_run
    from pipeline.params import load_params
    from pipeline.playground.make import STAGE, cached_film, make_playground

    params = load_params()
    playground = params.dataset.playground
    if name not in params.dataset.generate or playground is None:
        generated = ", ".join(params.dataset.generate) or "none"
        raise InputError(f"make_videos {name}: not a data set that is generated (dataset.generate: {generated})")
    film_file = partial(cached_film, code_version("stages.make_videos"))
    with recorded_run(STAGE, name, dataset=params.dataset.name) as record:
        source, at_a_time = Path("data") / name / "source", worker_count(workers)
        counts = make_playground(source, playground, workers=at_a_time, film_file=film_file)
        record.update(asdict(counts), workers=at_a_time)
    print(
        f"make_videos: {counts.train_videos} train and {counts.val_videos} val videos of {counts.seconds} s in all, "
        f"{counts.boxes} boxes with {counts.labels} labels, {counts.proposals} proposals, {counts.objects} objects"
    )


if __name__ == "__main__":
    run(app)
