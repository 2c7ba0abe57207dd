"""Write the outs of `evaluate`: metrics.json, and tables for `dvc plots`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.files import write_json
from pipeline.evaluation.ava_map import Evaluation, Matching, match, mean_ap, score_matching, true_positives
from pipeline.evaluation.box_arrays import Floats
from pipeline.evaluation.csv_tables import write_csv
from pipeline.evaluation.curves import interpolate, precision_recall
from pipeline.evaluation.multisports.frame_ap import match_frames
from pipeline.evaluation.multisports.metric import scored_classes
from pipeline.evaluation.multisports.video_ap import VideoEvaluation, evaluate_tubes
from pipeline.evaluation.settings import EvaluationSettings
from pipeline.tables.label_map import Label

RECALLS = np.arange(101) / 100


@dataclass(frozen=True)
class _Scored:
    """The matchings and results, by the kind of boxes."""

    settings: EvaluationSettings
    labels: Sequence[Label]
    matchings: dict[str, Matching]
    official: dict[str, float]
    "mAP by the official protocol, for metric ava."
    tubes: dict[str, VideoEvaluation]
    "For metric multisports."
    results: dict[str, Evaluation]
    at_ious: dict[str, dict[float, float]]
    "mAP by IoU."

    @property
    def headline(self) -> Evaluation:
        return self.results[self.settings.boxes]


def write_report(
    folder: Path,
    *,
    annotations: pa.Table,
    keyframes: pa.Table,
    detections: Mapping[str, pa.Table],
    labels: Sequence[Label],
    settings: EvaluationSettings,
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """Score detections and write `metrics.json`, `per_class.csv`, `per_iou.csv` and `pr_curves.csv`.

    With metric `multisports`, every AP of boxes is per frame by MultiSports' rules (`match_frames`), so that `map` is
    the frame-mAP. `video_map` is added at the top and for each kind, and the AP of tubes per class in `per_class.csv`.
    The six classes that MultiSports skips are left out; `cap` is not used.

    Args:
        folder: the folder to write to.
        annotations: ANNOTATIONS of the split that is scored.
        keyframes: KEYFRAMES of the split; the protocol decides how excluded ones are treated.
        detections: DETECTIONS by the kind of boxes that were scored, "detected" and "ground_truth".
        labels: the classes that are scored.
        settings: `boxes` is the kind whose mAP is the headline, and whose precision-recall curves are written. For the
            protocol see `match`, or `evaluate_tubes` with metric `multisports`. Each kind's mAP by the official
            protocol is written too.
        extra: further top-level entries of `metrics.json`.

    Returns:
        The content of `metrics.json`.

    Raises:
        InputError: see `match`, `evaluate_tubes`.
    """
    found = _score(annotations, keyframes, detections, labels, settings)
    metrics = {**_headline(found, _counts(annotations, keyframes, found.headline)), **_kinds(found)}
    if metrics.keys() & extra.keys():
        raise ValueError(f"extra entries {sorted(metrics.keys() & extra.keys())} are the report's own")
    metrics |= extra
    write_json(folder / "metrics.json", metrics)
    _write_tables(folder, found)
    return metrics


def _score(
    annotations: pa.Table,
    keyframes: pa.Table,
    detections: Mapping[str, pa.Table],
    labels: Sequence[Label],
    settings: EvaluationSettings,
) -> _Scored:
    by_tube, iou = settings.metric == "multisports", settings.iou
    labels = scored_classes(labels) if by_tube else sorted(labels, key=lambda label: label.id)
    ids = [label.id for label in labels]

    def matched(kind: str, rules: str) -> Matching:
        if by_tube:
            return match_frames(annotations, keyframes, detections[kind], ids)
        return match(
            annotations, detections[kind], class_ids=ids, keyframes=keyframes, protocol=rules, cap=settings.cap
        )

    tubes, official = {}, {}
    matchings = {kind: matched(kind, settings.protocol) for kind in detections}
    results = {kind: score_matching(matching, iou) for kind, matching in matchings.items()}
    for kind, table in detections.items():
        if by_tube:
            tubes[kind] = evaluate_tubes(annotations, keyframes, table, ids, protocol=settings.protocol)
        elif settings.protocol == "official":
            official[kind] = results[kind].map
        else:
            official[kind] = score_matching(matched(kind, "official"), iou).map
    ious = sorted({iou, *settings.more_ious})
    at_ious = {kind: {level: score_matching(each, level).map for level in ious} for kind, each in matchings.items()}
    return _Scored(settings, labels, matchings, official, tubes, results, at_ious)


def _headline(found: _Scored, counts: dict[str, int]) -> dict[str, Any]:
    """Return the entries of `metrics.json` for the headline's boxes."""
    settings = found.settings
    shared = {"map": found.headline.map, "boxes": settings.boxes, "protocol": settings.protocol, "iou": settings.iou}
    if settings.metric != "multisports":
        return {**shared, "counts": counts, "cap": settings.cap}
    tubes = found.tubes[settings.boxes]
    counts = {**counts, "tubes": int(tubes.num_gt.sum())}
    return {**shared, "counts": counts, "metric": settings.metric, "video_map": tubes.map}


def _kinds(found: _Scored) -> dict[str, Any]:
    """Return the entries of `metrics.json` for each kind of boxes."""
    entries = {}
    for kind, result in found.results.items():
        if kind in found.tubes:
            tubes = found.tubes[kind]
            beside = {"video_map": tubes.map, "num_tubes": int(tubes.num_detections.sum())}
        else:
            beside = {"official_map": found.official[kind]}
        entries[kind] = {
            "map": result.map,
            **beside,
            "groups": _group_means(result, found.labels),
            "ious": {f"iou_{100 * level:g}": value for level, value in found.at_ious[kind].items()},
            "num_detections": int(result.num_detections.sum()),
            "num_true_positives": int(result.num_true_positives.sum()),
        }
    return entries


def _write_tables(folder: Path, found: _Scored) -> None:
    labels, settings = found.labels, found.settings
    columns: dict[str, Sequence[Any] | Floats] = {
        "id": [label.id for label in labels],
        "class": [label.name for label in labels],
        "group": [label.group for label in labels],
        "examples": found.headline.num_gt.tolist(),
        **{f"ap_{kind}": result.ap for kind, result in found.results.items()},
        **_tube_columns(found.tubes),
    }
    write_csv(folder / "per_class.csv", list(columns), zip(*columns.values(), strict=True))
    by_iou = [list(each.values()) for each in found.at_ious.values()]
    rows = zip(sorted({settings.iou, *settings.more_ious}), *by_iou, strict=True)
    write_csv(folder / "per_iou.csv", ["iou", *(f"map_{kind}" for kind in found.at_ious)], rows)
    _write_curves(folder / "pr_curves.csv", found.matchings[settings.boxes], found.headline, settings.iou, labels)


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
    """Write precision at recalls 0, 0.01, ..., 1: the mean first, then a column per class with ground truth."""
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
