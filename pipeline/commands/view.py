"""`actionbank view`: write a page that shows films with what `predict` found in them."""

from pathlib import Path
from typing import Annotated

import typer


def view(
    folder: Annotated[Path, typer.Argument(help="The folder that `actionbank predict --out` wrote.")],
    page: Annotated[
        Path | None,
        typer.Option("--out", help="The page; absent: page.html in the folder. An earlier page is replaced."),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(help="A folder with annotations of the same films, such as data/playground/annotations."),
    ] = None,
    attention: Annotated[
        Path | None,
        typer.Option(
            help="What the head looked at, as `actionbank explain` writes it; absent: attention.parquet of the folder, "
            "if there is one."
        ),
    ] = None,
) -> None:
    """Write one HTML file that plays the films with boxes, a time line for each person, and what was looked at.

    It needs no network and no server: open it in a browser. It finds the films beside it, by a relative path.
    """
    from pipeline.base.errors import counted
    from pipeline.predict.attention_table import ATTENTION
    from pipeline.predict.page.film_data import Extras
    from pipeline.predict.page.html_page import write_film_page
    from pipeline.predict.predicted import read_predicted
    from pipeline.tables.schemas import read_table
    from pipeline.tables.split_tables import read_tables

    predicted = read_predicted(folder)
    beside = folder / "attention.parquet"
    looked = attention or (beside if beside.is_file() else None)
    extras = Extras(
        truth=read_tables(truth, None) if truth else None,
        attention=read_table(looked, ATTENTION) if looked else None,
    )
    out = page or folder / "page.html"
    write_film_page(out, predicted, extras)
    films, boxes = counted(predicted.videos.num_rows, "film"), counted(predicted.persons.num_rows, "box", "boxes")
    print(f"{out}: {films}, {boxes}; open it in a browser")
