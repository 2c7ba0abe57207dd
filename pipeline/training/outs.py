"""Write the records of a training, beside its weights: a row per epoch, and the metrics of the selected epoch."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.base.files import write_json, write_text
from pipeline.training.history import OF_EPOCH, Metrics
from pipeline.training.loop import Fitted


def write_training(
    folder: Path, fitted: Fitted, *, select: str, more: Mapping[str, Any], headline: str = "map"
) -> None:
    """Write `epochs.tsv`, a row per epoch, `validation.tsv`, a row per epoch that has a score, and `metrics.json`.

    The tables are separate because `dvc plots` draws an empty cell as zero.

    Args:
        folder: e.g. results/baseline.
        fitted: the result of `fit`; without a history if the weights were trained elsewhere.
        select: last or best, for the record.
        more: further metrics.
        headline: the number of a validation that selects an epoch.
    """
    rows = fitted.history
    _write_rows(folder / "epochs.tsv", list(OF_EPOCH), rows)
    # Sorted, because a resumed run reads its history from JSON, which does not keep the order of keys.
    scores = sorted({name for row in rows for name in row} - {*OF_EPOCH, headline})
    scored = [row for row in rows if _is_number(row.get(headline))]
    _write_rows(folder / "validation.tsv", ["epoch", headline, *scores], scored)
    if not rows:
        write_json(folder / "metrics.json", {**more, "selected": None, "loss": None, "validation": {}})
        return
    kept = fitted.kept
    by = headline if select == "best" else "last epoch"
    chosen = {"epoch": fitted.selected_epoch, "by": by if fitted.selected_epoch else "initial weights"}
    validation = {name: value for name, value in kept.items() if name not in OF_EPOCH}
    write_json(folder / "metrics.json", {**more, "selected": chosen, "loss": kept["loss"], "validation": validation})


def _is_number(value: Any) -> bool:
    return value is not None and math.isfinite(value)


def _write_rows(path: Path, columns: Sequence[str], rows: Sequence[Metrics]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([["" if row.get(name) is None else row[name] for name in columns] for row in rows])
    write_text(path, text.getvalue())
