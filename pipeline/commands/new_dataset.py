"""`actionbank new-dataset`: turn a folder of videos into a data set for the pipeline."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.command import WorkersOption, worker_count

CONF = Path("conf")


def new_dataset(
    name: Annotated[str, typer.Argument(help="Its name: lower-case letters, digits and '_'.")],
    videos: Annotated[
        Path,
        typer.Option(
            help="Folder of videos, or of folders of pictures (VIDEO/img_00001.jpg), which stay where they are."
        ),
    ],
    annotations: Annotated[
        Path | None,
        typer.Option(help="File or folder of annotations, in any format of docs/datasets.md.", show_default=False),
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(
            help="File or folder of person boxes; absent: the detector that needs no download makes them.",
            show_default=False,
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="Frames per second of the grid; absent: the films' most common rate, up to 30.",
            show_default=False,
        ),
    ] = None,
    frame_rate: Annotated[
        float | None,
        typer.Option(
            min=0.001, help="Pictures per second of folders of pictures, which nothing else tells.", show_default=False
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace conf/dataset/NAME.yaml, copied files and lists that it wrote.")
    ] = False,
    workers: WorkersOption = 0,
) -> None:
    """Write conf/dataset/NAME.yaml for a folder of videos, look for what is wrong with it, and say the next command.

    A single file of annotations or boxes is copied to data/NAME/source. Where annotations count frames or pixels and no
    videos.csv lies beside them, one is written. Exits as `actionbank doctor`, but with 0 where there are only warnings.
    """  # fmt: skip
    # Imported here because they import pyarrow, PyAV and Hydra.
    from pipeline.commands.doctor import doctor
    from pipeline.new_dataset.write import Given, write_dataset

    given = Given(name, videos, annotations, boxes, fps, frame_rate, force)
    print("".join(f"{line}\n" for line in write_dataset(given, CONF, workers=worker_count(workers))), end="")
    try:
        doctor(dataset=name, decode=False, html=None, as_json=False, allow_warnings=True, silence=60.0, workers=workers)
    except typer.Exit as end:
        if end.exit_code:
            print(f"then look again: actionbank doctor --dataset {name}")
            raise
