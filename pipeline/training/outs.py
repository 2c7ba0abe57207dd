"""What a training leaves beside its weights: a row per epoch, and the metrics of the epoch that was kept."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.files import write_json, write_text
from pipeline.training.loop import Fitted


def write_training(folder: Path, fitted: Fitted, *, select: str, more: Mapping[str, Any]) -> None:
    """Write `epochs.tsv` (one row per epoch) and `metrics.json`.

    Args:
        folder: e.g. results/baseline.
        fitted: what `fit` gave; without history of weights that were trained elsewhere.
        select: last or best, for the record.
        more: further metrics.
    """
    rows = fitted.history
    # A resumed run reads its history from JSON, which keeps no order of keys.
    first = ["epoch", "lr", "loss"]
    columns = [*first, *sorted({name for row in rows for name in row} - set(first))]
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([["" if row.get(name) is None else row[name] for name in columns] for row in rows])
    write_text(folder / "epochs.tsv", text.getvalue())
    if not rows:
        write_json(folder / "metrics.json", {**more, "selected": None, "loss": None, "validation": {}})
        return
    kept = fitted.kept
    by = "map" if select == "best" else "last epoch"
    chosen = {"epoch": fitted.selected_epoch, "by": by if fitted.selected_epoch else "initial weights"}
    validation = {name: value for name, value in kept.items() if name not in ("epoch", "lr", "loss")}
    write_json(folder / "metrics.json", {**more, "selected": chosen, "loss": kept["loss"], "validation": validation})
