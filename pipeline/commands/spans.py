"""`actionbank spans`: who did what, from when to when, as a table."""

from pathlib import Path
from typing import Annotated

import typer


def spans(
    folder: Annotated[Path, typer.Argument(help="Folder that `actionbank predict --out` wrote.", metavar="DIR")],
    start: Annotated[
        float, typer.Option(help="A span begins where a score is at least this times the threshold of its class.")
    ] = 1.0,
    keep: Annotated[
        float, typer.Option(help="It goes on while the score is at least this times the threshold.")
    ] = 0.75,
    min_seconds: Annotated[float, typer.Option(help="Shorter spans are left out.")] = 1.0,
    bridge_seconds: Annotated[float, typer.Option(help="A track may lack its box for this long within a span.")] = 2.0,
    out: Annotated[Path | None, typer.Option(help="CSV to write; absent: DIR/actions.csv.", show_default=False)] = None,
) -> None:
    """Join the seconds of each track into spans of its actions: video, track, action, start, end and mean score.

    Persons without a track id are in no span.
    """
    # Imported here because they import pyarrow.
    from pipeline.predict.action_spans import SpanRules, write_spans
    from pipeline.predict.predicted import read_predicted

    rules = SpanRules(start, keep, min_seconds, bridge_seconds)
    print(write_spans(read_predicted(folder), out or folder / "actions.csv", rules))
