"""Make the tables and the text of `actionbank errors`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.analysis.confusions import Confusions
from pipeline.analysis.error_kinds import KINDS, Errors
from pipeline.base.files import write_json
from pipeline.evaluation.box_arrays import Ints
from pipeline.evaluation.csv_tables import write_csv
from pipeline.tables.label_map import Label

TITLES = {
    "missed": "missed person",
    "localisation": "badly placed box",
    "class": "wrong class",
    "both": "badly placed, wrong class",
    "duplicate": "second box",
    "background": "nobody there",
}
SHOWN_CLASSES, SHOWN_CONFUSIONS = 5, 5
LEAST_EXAMPLES = 5
"Confusions with fewer labels than this are not printed."


def total_shares(errors: Errors) -> list[float]:
    """Return the share of each kind in the loss of all classes."""
    defined = ~np.isnan(errors.ap)
    lost = (errors.share[defined] * (1 - errors.ap[defined])[:, None]).sum(axis=0)
    total: list[float] = (lost / lost.sum() if lost.sum() > 0 else lost).tolist()
    return total


def error_summary(errors: Errors) -> dict[str, Any]:
    """Return counts and costs of each kind over all classes, for `errors.json`."""
    defined = ~np.isnan(errors.ap)
    gains = errors.gain[defined].mean(axis=0) if defined.any() else np.full(len(KINDS), np.nan)
    shares = total_shares(errors)
    return {
        "map": float(errors.ap[defined].mean()) if defined.any() else float("nan"),
        "iou": errors.iou,
        "labels": int(errors.num_gt.sum()),
        "kinds": {
            kind: {
                "labels_not_found": int(errors.unfound[:, place].sum()),
                "false_rows": int(errors.false_rows[:, place].sum()),
                "share": shares[place],
                "map_gain": float(gains[place]),
            }
            for place, kind in enumerate(KINDS)
        },
    }


def write_error_tables(folder: Path, errors: Errors, confusions: Confusions, labels: Sequence[Label]) -> None:
    """Write `errors.json`, `per_class.csv` and `confusions.csv`."""
    name = {label.id: label.name for label in labels}
    write_json(folder / "errors.json", error_summary(errors))
    header = ["id", "class", "examples", "ap"]
    for column in ("share", "gain"):
        header += [f"{column}_{kind}" for kind in KINDS]
    header += [f"not_found_{kind}" for kind in ("missed", "localisation", "class")]
    header += [f"false_{kind}" for kind in KINDS[1:]]
    rows = []
    for place, each in enumerate(errors.class_ids.tolist()):
        share = errors.share[place] if not np.isnan(errors.ap[place]) else np.full(len(KINDS), np.nan)
        counts = [*errors.unfound[place, :3].tolist(), *errors.false_rows[place, 1:].tolist()]
        costs = [*share.tolist(), *errors.gain[place].tolist()]
        rows.append([each, name[each], int(errors.num_gt[place]), float(errors.ap[place]), *costs, *counts])
    write_csv(folder / "per_class.csv", header, rows)
    pairs = [
        [name[errors.class_ids[a]], name[errors.class_ids[b]], int(confusions.examples[a, b]),
         int(confusions.above[a, b]), float(confusions.above[a, b] / confusions.examples[a, b]),
         float(confusions.rank[a]), float(confusions.other_rank[a, b])]
        for a, b in confused(confusions)
    ]  # fmt: skip
    write_csv(
        folder / "confusions.csv",
        ["class", "other", "examples", "other_above", "share_above", "mean_rank_of_class", "mean_rank_of_other"],
        pairs,
    )


def confused(confusions: Confusions) -> list[tuple[int, int]]:
    """Return the pairs (class, other class) that have examples, the most confused first."""
    pairs = np.argwhere(confusions.examples > 0).tolist()
    share = {(a, b): confusions.above[a, b] / confusions.examples[a, b] for a, b in pairs}
    return sorted(share, key=lambda pair: (-share[pair], pair))


def text(errors: Errors, confusions: Confusions, labels: Sequence[Label]) -> str:
    """Return the tables as text for a terminal."""
    name = {label.id: label.name for label in labels}
    found = error_summary(errors)
    lines = [f"{'':28}{'labels':>10}{'false':>10}{'share of the':>14}{'mAP gained':>12}"]
    lines.append(f"{'':28}{'not found':>10}{'rows':>10}{'lost mAP':>14}{'if mended':>12}")
    for kind, each in found["kinds"].items():
        unfound = each["labels_not_found"] if kind in KINDS[:3] else "-"
        false = each["false_rows"] if kind != "missed" else "-"
        lines.append(f"{TITLES[kind]:28}{unfound:>10}{false:>10}{each['share']:>13.0%} {each['map_gain']:>+12.4f}")
    lost = np.where(np.isnan(errors.ap), -1, 1 - errors.ap)
    worst = [place for place in np.argsort(-lost, kind="stable")[:SHOWN_CLASSES].tolist() if lost[place] > 0]
    if worst:
        lines.append("the classes that lose most:")
    for place in worst:
        parts = np.argsort(-errors.share[place], kind="stable")[:2].tolist()
        why = ", ".join(f"{TITLES[KINDS[k]]} {errors.share[place, k]:.0%}" for k in parts if errors.share[place, k] > 0)
        lines.append(
            f"  {name[errors.class_ids[place]]}: AP {errors.ap[place]:.3f} of {errors.num_gt[place]} labels: {why}"
        )
    pairs = [(a, b) for a, b in confused(confusions) if confusions.examples[a, b] >= LEAST_EXAMPLES]
    pairs = [pair for pair in pairs if confusions.above[pair]][:SHOWN_CONFUSIONS]
    if pairs:
        lines.append("scored above the class that it is:")
    for a, b in pairs:
        lines.append(
            f"  {name[errors.class_ids[b]]} above {name[errors.class_ids[a]]}: "
            f"{confusions.above[a, b]} of {confusions.examples[a, b]}"
        )
    return "\n".join(lines) + "\n"


def worst_frames(errors: Errors, count: int) -> list[tuple[int, float]]:
    """Return the frames that cost mAP and what each costs, the most expensive first."""
    frames = len(errors.counted.frames.video)
    cost = np.zeros(frames)  # bincount of nothing returns integers
    cost += np.bincount(errors.counted.truth_frame, errors.label_loss, frames)
    cost += np.bincount(errors.counted.detection_frame, errors.row_loss, frames)
    order = np.argsort(-np.round(cost, 12), kind="stable")[:count]
    return [(frame, float(cost[frame])) for frame in order.tolist() if cost[frame] > 1e-12]


def moment_of(errors: Errors, annotations: pa.Table, detections: pa.Table, frame: int) -> tuple[str, float, float]:
    """Return video_id, timestamp and time_seconds of a frame."""
    tables: list[tuple[pa.Table, Ints]] = [
        (annotations, errors.counted.truth_frame),
        (detections, errors.counted.detection_frame),
    ]
    table, rows = next((table, np.flatnonzero(of == frame)) for table, of in tables if (of == frame).any())
    row = int(rows[0])
    return table["video_id"][row].as_py(), table["timestamp"][row].as_py(), table["time_seconds"][row].as_py()
