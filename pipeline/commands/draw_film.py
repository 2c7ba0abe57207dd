"""`actionbank render`: draw what was predicted on the film."""

from pathlib import Path
from typing import Annotated

import typer


def render(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `actionbank predict --out DIR` wrote.")],
    out: Annotated[Path, typer.Argument(metavar="FILM", help="The new film: its name ends with .mp4, .mov or .mkv.")],
    video: Annotated[
        str | None,
        typer.Option(help="Which film, by its video_id; absent: the only one.", show_default=False),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(help="Where the film is; absent: where it was when it was read.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILM if it is there.")] = False,
) -> None:
    """Draw boxes, ids, actions with bars and a strip of time per person on a film (docs/live.md).

    The new film has the frames of the source at their times, its size, its sound and the turn in which it is shown.
    """
    from pipeline.predict.predicted import read_predicted
    from pipeline.predict.render_film import check_free, only_film, render_film

    check_free(out, force=force)
    predicted = read_predicted(folder)
    frames = render_film(predicted, video or only_film(predicted, folder), out, source=source)
    print(f"{out}: {frames} frames")
