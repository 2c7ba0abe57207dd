"""Write tables as CSV, for `dvc plots` and for people."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.files import write_text


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a CSV; undefined values are empty cells."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(["" if cell is None or cell != cell else _plain(cell) for cell in row])
    write_text(path, text.getvalue())


def _plain(cell: Any) -> Any:
    return float(cell) if isinstance(cell, np.floating) else cell
