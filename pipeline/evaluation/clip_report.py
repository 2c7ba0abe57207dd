"""Write what was found of clips: their scores, from which all else follows; accuracies; tables for `dvc plots`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.base.errors import InputError
from pipeline.base.files import write_json
from pipeline.evaluation.csv_tables import write_csv
from pipeline.evaluation.settings import ViewsOf
from pipeline.evaluation.top_k import FEW, Rule, accuracies, class_hits, confusion, label_ranks, predicted
from pipeline.tables.schemas import CLIP_SCORES, read_table

Scores = NDArray[np.float32]
Labels = NDArray[np.int64]
SHOWN_PAIRS = 200


def scores_table(video_ids: Sequence[str], labels: Labels, scores: Scores) -> pa.Table:
    """Return CLIP_SCORES: a row for each clip and class, clips in order, classes by their ids.

    Args:
        video_ids: N ids.
        labels: [N].
        scores: [N, C] probabilities.
    """
    clips, classes = scores.shape
    return pa.table(
        {
            "video_id": pa.array(video_ids, pa.string()).take(pa.array(np.repeat(np.arange(clips), classes))),
            "label": pa.array(np.repeat(labels, classes), pa.int32()),
            "class_id": pa.array(np.tile(np.arange(classes), clips), pa.int32()),
            "score": pa.array(scores.reshape(-1), pa.float32()),
        },
        schema=CLIP_SCORES,
    )


def read_scores(path: Path) -> tuple[list[str], Labels, Scores]:
    """Read what `scores_table` made: ids, labels [N], scores [N, C].

    Raises:
        InputError: the file is absent or damaged, or its rows are not those of all classes of each clip.
    """
    table = read_table(path, CLIP_SCORES)
    class_ids = table["class_id"].to_numpy()
    classes = int(class_ids.max(initial=-1)) + 1
    if not classes or len(class_ids) % classes or (class_ids != np.arange(len(class_ids)) % classes).any():
        raise InputError(f"{path}: does not hold each class of each clip in turn; run evaluate_recognizer again")
    video_ids = table["video_id"].take(pa.array(np.arange(0, len(class_ids), classes))).to_pylist()
    labels = table["label"].to_numpy().reshape(-1, classes)[:, 0].astype(np.int64)
    return video_ids, labels, table["score"].to_numpy().reshape(-1, classes)


def write_clip_report(
    folder: Path,
    labels: Labels,
    scores: Mapping[ViewsOf, Scores],
    *,
    names: Sequence[str],
    rule: Rule,
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """Write `metrics.json`, `per_class.csv`, `confusion.csv` and `confused_pairs.csv`.

    Args:
        folder: e.g. results/recognition.
        labels: [N].
        scores: [N, C] by the kind of views; the last one is the headline, whose confusions are written.
        names: of the classes.
        rule: see `accuracies`.
        extra: further top-level entries of `metrics.json`.

    Returns:
        The content of `metrics.json`.
    """
    kind, headline = list(scores.items())[-1]
    metrics: dict[str, Any] = {"views": kind, "rule": rule, "clips": len(labels), **extra}
    for each, values in scores.items():
        found = accuracies(values, labels, rule)
        metrics[each] = {"top1": found.top1, "top5": found.top5, "mean_class": found.mean_class}
    write_json(folder / "metrics.json", metrics)
    columns: dict[str, Sequence[Any] | NDArray[Any]] = {"id": range(len(names)), "class": names}
    columns["clips"] = np.bincount(labels, minlength=len(names)).tolist()
    for each, values in scores.items():
        columns |= {f"{name}_{each}": column for name, column in _by_class(values, labels, rule).items()}
    write_csv(folder / "per_class.csv", list(columns), zip(*columns.values(), strict=True))
    best = predicted(headline)
    rows = [(names[label], names[other]) for label, other in zip(labels.tolist(), best.tolist(), strict=True)]
    write_csv(folder / "confusion.csv", ["actual", "predicted"], rows)
    _write_pairs(folder / "confused_pairs.csv", confusion(best, labels, classes=len(names)), names)
    return metrics


def _by_class(scores: Scores, labels: Labels, rule: Rule) -> dict[str, NDArray[np.float64]]:
    """Return top-1 and top-5 of each class [C]; NaN for a class without clips."""
    ranks = label_ranks(scores, labels, higher_first=rule == "published")
    classes = scores.shape[1]
    clips = class_hits(labels, labels, classes=classes).clips
    with np.errstate(invalid="ignore"):
        return {
            name: np.bincount(labels[ranks < most], minlength=classes) / clips
            for name, most in (("top1", 1), ("top5", FEW))
        }


def _write_pairs(path: Path, counts: NDArray[np.int64], names: Sequence[str]) -> None:
    """Write the most frequent confusions, each with its share of the class's clips."""
    wrong = counts * ~np.eye(len(counts), dtype=bool)
    order = np.argsort(-wrong, axis=None, kind="stable")[:SHOWN_PAIRS]
    pairs = [(int(at) // len(counts), int(at) % len(counts)) for at in order if wrong.flat[at]]
    rows = ((names[a], names[b], int(counts[a, b]), float(counts[a, b] / counts[a].sum())) for a, b in pairs)
    write_csv(path, ["class", "taken_for", "clips", "share"], rows)
