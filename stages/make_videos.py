"""Render a built-in data set.

    python -m stages.make_videos playground
    python -m stages.make_videos gestures --track recognition

Reads only parameters (`dataset.playground`). Writes, below `data/<name>/source`, for detection `videos` (H.264 MP4),
`annotations` (AVA CSVs, label map), `proposals` (the pickle layout of AVA's proposals), `proposals_csv` (the same
boxes as AVA CSV with scores) and `objects` (CSV with the names of classes); for recognition `videos` and `labels` (the
layout of Something-Something V2). A film that was rendered before from the same parameters is taken from `.work`.
"""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.command import TrackOption, WorkersOption, new_app, run, worker_count
from pipeline.base.errors import InputError

app = new_app()


@app.command()
def make_videos(
    name: Annotated[str, typer.Argument(help="A data set that is generated: one of dataset.generate.")],
    workers: WorkersOption = 0,
    track: TrackOption = "detection",
) -> None:
    """Render the films of a built-in data set, with all that belongs to them beside them."""
    from pipeline.base.code_version import code_version
    from pipeline.base.runs import recorded_run
    from pipeline.params import load_track
    from pipeline.playground.make import STAGE, Counts, cached_film, make_playground
    from pipeline.playground.make_clips import ClipCounts, cached_clip, make_clips
    from pipeline.playground.settings import Playground

    params = load_track(track)
    playground = params.dataset.playground
    if name not in params.dataset.generate or playground is None:
        generated = ", ".join(params.dataset.generate) or "none"
        raise InputError(f"make_videos {name}: not a data set that is generated (dataset.generate: {generated})")
    source, at_a_time, code = Path("data", name, "source"), worker_count(workers), code_version("stages.make_videos")
    with recorded_run(STAGE, name, dataset=params.dataset.name) as record:
        counts: Counts | ClipCounts
        if isinstance(playground, Playground):
            counts = make_playground(source, playground, workers=at_a_time, film_file=partial(cached_film, code))
        else:
            counts = make_clips(source, playground, workers=at_a_time, clip_file=partial(cached_clip, code))
        record.update(asdict(counts), workers=at_a_time)
    print(f"make_videos: {counts}")


if __name__ == "__main__":
    run(app)
