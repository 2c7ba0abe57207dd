"""What `evaluate` writes: metrics.json, and tables for `dvc plots`."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.files import write_json, write_text
from pipeline.evaluation.ava import Evaluation, Matching, match, mean_ap, score_matching, true_positives
from pipeline.evaluation.box_arrays import Floats
from pipeline.evaluation.curves import interpolate, precision_recall
from pipeline.evaluation.multisports.frame_ap import match_frames
from pipeline.evaluation.multisports.metric import scored_classes
from pipeline.evaluation.multisports.video_ap import VideoEvaluation, evaluate_tubes
from pipeline.tables.label_map import Label

RECALLS = np.arange(101) / 100


def write_report(
    folder: Path,
    *,
    annotations: pa.Table,
    keyframes: pa.Table,
    detections: Mapping[str, pa.Table],
    labels: Sequence[Label],
    headline_boxes: str,
    protocol: str,
    iou: float,
    more_ious: Sequence[float],
    cap: int,
    extra: Mapping[str, Any],
    metric: Literal["ava", "multisports"] = "ava",
) -> dict[str, Any]:
    """Score detections and write `metrics.json`, `per_class.csv`, `per_iou.csv` and `pr_curves.csv`.

    With metric `multisports` every AP of boxes is of frames by MultiSports' rules (`match_frames`), so that `map`
    is frame-mAP; `video_map` stands beside it, at the top and for each kind, and the AP of tubes of each class in
    `per_class.csv`. The six classes that MultiSports passes over are left out; `cap` is not read.

    Args:
        folder: where the files go.
        annotations: ANNOTATIONS of the split that is scored.
        keyframes: KEYFRAMES of the split; the protocol says what becomes of excluded ones.
        detections: DETECTIONS by the kind of boxes that were scored, "detected" and "ground_truth".
        labels: the classes that are scored.
        headline_boxes: the kind whose mAP is the headline, and whose precision-recall curves are written.
        protocol: see `match`. Each kind's mAP by the official protocol stands beside it. With metric `multisports`
            see `evaluate_tubes`.
        iou: matching threshold of the headline, of the groups and classes.
        more_ious: further thresholds in `per_iou.csv`.
        cap: rows per keyframe, see `match`.
        extra: further top-level entries of `metrics.json`.
        metric: ava or multisports.

    Returns:
        The content of `metrics.json`.

    Raises:
        InputError: see `match`, `evaluate_tubes`.
    """
    by_tube = metric == "multisports"
    labels = scored_classes(labels) if by_tube else sorted(labels, key=lambda label: label.id)
    ids = [label.id for label in labels]

    def matched(kind: str, rules: str) -> Matching:
        if by_tube:
            return match_frames(annotations, keyframes, detections[kind], ids)
        return match(annotations, detections[kind], class_ids=ids, keyframes=keyframes, protocol=rules, cap=cap)

    ious = sorted({iou, *more_ious})
    tubes = {
        kind: evaluate_tubes(annotations, keyframes, table, ids, protocol=protocol)
        for kind, table in detections.items()
        if by_tube
    }
    matchings = {kind: matched(kind, protocol) for kind in detections}
    scored = {kind: score_matching(matching, iou) for kind, matching in matchings.items()}
    at_ious = {kind: [score_matching(each, level).map for level in ious] for kind, each in matchings.items()}
    headline = scored[headline_boxes]
    metrics: dict[str, Any] = {
        "map": headline.map,
        "boxes": headline_boxes,
        "protocol": protocol,
        "iou": iou,
        "counts": _counts(annotations, keyframes, headline),
    }
    if by_tube:
        metrics["metric"] = metric
        metrics["video_map"] = tubes[headline_boxes].map
        metrics["counts"]["tubes"] = int(tubes[headline_boxes].num_gt.sum())
    else:
        metrics["cap"] = cap
    for kind, result in scored.items():
        if by_tube:
            beside = {"video_map": tubes[kind].map, "num_tubes": int(tubes[kind].num_detections.sum())}
        else:
            official = result if protocol == "official" else score_matching(matched(kind, "official"), iou)
            beside = {"official_map": official.map}
        metrics[kind] = {
            "map": result.map,
            **beside,
            "groups": _group_means(result, labels),
            "ious": {f"iou_{100 * level:g}": value for level, value in zip(ious, at_ious[kind], strict=True)},
            "num_detections": int(result.num_detections.sum()),
            "num_true_positives": int(result.num_true_positives.sum()),
        }
    if metrics.keys() & extra.keys():
        raise ValueError(f"extra entries {sorted(metrics.keys() & extra.keys())} are the report's own")
    metrics |= extra
    write_json(folder / "metrics.json", metrics)

    columns: dict[str, Sequence[Any] | Floats] = {
        "id": ids,
        "class": [label.name for label in labels],
        "group": [label.group for label in labels],
        "examples": headline.num_gt.tolist(),
        **{f"ap_{kind}": result.ap for kind, result in scored.items()},
        **_tube_columns(tubes),
    }
    write_csv(folder / "per_class.csv", list(columns), zip(*columns.values(), strict=True))
    write_csv(
        folder / "per_iou.csv",
        ["iou", *(f"map_{kind}" for kind in at_ious)],
        zip(ious, *at_ious.values(), strict=True),
    )
    _write_curves(folder / "pr_curves.csv", matchings[headline_boxes], headline, iou, labels)
    return metrics


def _counts(annotations: pa.Table, keyframes: pa.Table, result: Evaluation) -> dict[str, int]:
    excluded = pc.sum(pc.equal(keyframes["status"], "excluded")).as_py() or 0
    videos = {*keyframes["video_id"].unique().to_pylist(), *annotations["video_id"].unique().to_pylist()}
    return {
        "videos": len(videos),
        "keyframes": len(keyframes) - excluded,
        "excluded_keyframes": excluded,
        "examples": int(result.num_gt.sum()),
        "classes": len(result.class_ids),
        "classes_with_examples": int((result.num_gt > 0).sum()),
    }


def _tube_columns(tubes: Mapping[str, VideoEvaluation]) -> dict[str, Sequence[int] | Floats]:
    if not tubes:
        return {}
    counts = next(iter(tubes.values())).num_gt.tolist()
    aps = {f"video_ap_{name}_{kind}": ap for kind, each in tubes.items() for name, ap in each.ap.items()}
    return {"tubes": counts, **aps}


def _group_means(result: Evaluation, labels: Sequence[Label]) -> dict[str, float]:
    groups = np.asarray([label.group for label in labels])
    return {group: mean_ap(result.ap[groups == group]) for group in dict.fromkeys(groups.tolist())}


def _write_curves(path: Path, matching: Matching, result: Evaluation, iou: float, labels: Sequence[Label]) -> None:
    """Precision at recalls 0 to 1 by hundredths: a column per class with ground truth, their mean first."""
    columns: dict[str, Floats] = {}
    taken = {"recall", "mean"}
    for index, (label, hits) in enumerate(zip(labels, true_positives(matching, iou), strict=True)):
        if np.isnan(result.ap[index]):
            continue
        curve = precision_recall(hits, matching.class_scores(index), int(result.num_gt[index]))
        name = f"{label.name} ({label.id})" if label.name in taken else label.name
        taken.add(name)
        columns[name] = interpolate(*curve, RECALLS)
    mean = np.mean(list(columns.values()), axis=0) if columns else np.full(len(RECALLS), np.nan)
    write_csv(path, ["recall", "mean", *columns], zip(RECALLS, mean, *columns.values(), strict=True))


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a CSV; what is undefined is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(["" if cell is None or cell != cell else _plain(cell) for cell in row])
    write_text(path, text.getvalue())


def _plain(cell: Any) -> Any:
    return float(cell) if isinstance(cell, np.floating) else cell
