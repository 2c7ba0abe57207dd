"""`actionbank make-example`: make a folder with which to try the steps for own data."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.errors import InputError


def make_example(
    folder: Annotated[Path, typer.Argument(help="Where to; `videos` and `annotations` are made in it.")],
) -> None:
    """Make a small folder as one's own may be: four films at 15 to 30 frames per second with CVAT files, no boxes."""
    # Imported here because it imports NumPy, PyAV and the renderer.
    from pipeline.new_dataset.versioned import ignore_words
    from pipeline.playground.example import FILMS, SECONDS
    from pipeline.playground.example import make_example as write_example

    for name in ("videos", "annotations"):
        if (folder / name).exists():
            raise InputError(f"{folder / name}: is there already, expected a folder without it")
    write_example(folder)
    rates = ", ".join(str(film.fps) for film in FILMS)
    print(
        f"{folder}: {len(FILMS)} films of {SECONDS} s at {rates} frames per second in {folder / 'videos'}, a CVAT file "
        f"of each in {folder / 'annotations'}"
    )
    if told := ignore_words(folder / "videos"):
        print(told)
