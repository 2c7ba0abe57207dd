"""`actionbank correct`: what was predicted, as annotations to correct in an annotation tool."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def correct(
    folder: Annotated[Path, typer.Argument(help="Folder that `actionbank predict --out` wrote.", metavar="DIR")],
    tool: Annotated[
        Literal["cvat", "via", "ava"],
        typer.Option("--format", help="cvat: CVAT for video 1.1; via: VIA 3; ava: AVA CSV, for an editor of tables."),
    ],
    uncertain: Annotated[
        int | None,
        typer.Option(
            min=1, help="Only so many seconds: those of which the model is least certain.", show_default=False
        ),
    ] = None,
    exclusive: Annotated[
        list[str] | None,
        typer.Option(
            help="Group of classes of which a person does one at a time: asked for as one choice. May be repeated; "
            "absent: those of the model's softmaxes.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; absent: DIR/correct-FORMAT.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a folder that this command wrote.")] = False,
) -> None:
    """Write what `predict` found as annotations that a person corrects, and that `new-dataset` reads back.

    An action is set where its score reaches the threshold of its class; persons without one are there as well.
    """
    # Imported here because they import pyarrow.
    from pipeline.predict.predicted import read_predicted
    from pipeline.predict.to_correct import Wish, write_corrections

    wish = Wish(tool, uncertain, exclusive or None, force)
    print("\n".join(write_corrections(read_predicted(folder), out or folder / f"correct-{tool}", wish)))
