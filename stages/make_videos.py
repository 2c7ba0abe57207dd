"""Render a built-in data set: films, AVA annotations and person proposals.

Reads nothing but parameters (`dataset.playground`). Writes, below `data/<name>/source`: `videos` (H.264 MP4),
`annotations` (AVA CSVs, label map), `proposals` (the pickle layout of AVA's proposals) and `proposals_csv` (the
same boxes as AVA CSV with scores). A film that was rendered before from the same parameters comes from `.work`.

    python -m stages.make_videos playground
"""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.code import code_version
from pipeline.base.command import WorkersOption, new_app, run, worker_count
from pipeline.base.errors import InputError
from pipeline.base.runs import recorded_run
from pipeline.base.work import item_key, make_item
from pipeline.params import load_params
from pipeline.playground.make import FilmSpec, make_playground, render_film

STAGE = "make_videos"
app = new_app()


def cached_film(code: str, spec: FilmSpec) -> Path:
    """The film's file in the work directory, rendered first where it is not there."""

    def make(folder: Path) -> None:
        render_film(folder, spec)

    (path,) = make_item(STAGE, item_key(code=code, spec=asdict(spec)), make).glob("*.mp4")
    return path


@app.command()
def make_videos(
    name: Annotated[str, typer.Argument(help="A data set that is generated: one of dataset.generate.")],
    workers: WorkersOption = 0,
) -> None:
    """Render the films of the built-in data set, with AVA annotations and person proposals beside them."""
    params = load_params()
    playground = params.dataset.playground
    if name not in params.dataset.generate or playground is None:
        generated = ", ".join(params.dataset.generate) or "none"
        raise InputError(f"make_videos {name}: not a data set that is generated (dataset.generate: {generated})")
    settings = playground.model_dump()
    code = code_version("stages.make_videos")
    with recorded_run(STAGE, name, dataset=params.dataset.name) as record:
        counts = make_playground(
            Path("data") / name / "source",
            **settings,
            workers=worker_count(workers),
            film_file=partial(cached_film, code),
        )
        record.update(asdict(counts), workers=worker_count(workers))
    print(
        f"make_videos: {counts.train_videos} train and {counts.val_videos} val videos of {counts.seconds} s in all, "
        f"{counts.boxes} boxes with {counts.labels} labels, {counts.proposals} proposals"
    )


if __name__ == "__main__":
    run(app)
