"""Read person boxes as `import_boxes` does, and compare them with the ground truth."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.annotations.assemble import AvaImport
from pipeline.base.errors import InputError
from pipeline.base.files import visible_files
from pipeline.base.problems import Problem
from pipeline.boxes.importing import BoxImport, import_boxes
from pipeline.boxes.not_boxes import BESIDE_ANNOTATIONS
from pipeline.boxes.recall import (
    IOU,
    LEAST_KEPT_RECALL,
    THRESHOLD_KEYS,
    covering,
    kept,
    propose_threshold,
    recall,
)
from pipeline.doctor.box_times import check_box_times
from pipeline.doctor.finding import Finding, findings_of, problem_of
from pipeline.doctor.left_out import sort_problems, too_many_bad
from pipeline.doctor.probe_films import ProbedFilm
from pipeline.tables.iou import Floats
from pipeline.tables.keyframes import KeyframeSet, group_keyframes
from pipeline.tables.select_boxes import ANY_SCORE

IOUS = (IOU, 0.9)
LEAST_RECALL = 0.7
MAKE = "Set boxes.detector to fasterrcnn, or to motion, which needs no weights, and run dvc repro detect_boxes"
Thresholds = Mapping[str, Mapping[str, float]]
"Split -> parameter key -> score threshold of the boxes used; the split's own key comes first."


def read_boxes(
    folder: Path,
    imported: AvaImport,
    *,
    min_score: float,
    detector: str,
    limit: float,
    person_class: int = 0,
    annotations: Path | None = None,
    objects: Path | None = None,
) -> tuple[BoxImport | None, list[Finding]]:
    """Return the boxes, if they can be read, and the findings on their files.

    Args:
        folder: the folder of the box files.
        imported: the annotations.
        min_score: `boxes.min_score`.
        detector: the detector that makes the boxes; empty if the user provides them.
        limit: `boxes.max_bad_fraction`.
        person_class: `boxes.person_class`.
        annotations: the annotation folder; copies of its files are not read as boxes.
        objects: the folder of boxes of objects; None if there is none.
    """
    if not folder.is_dir() or not any(path.is_file() for path in visible_files(folder)):
        nothing = [Problem(str(folder), "boxes", "no file of boxes", "person boxes of every keyframe")]
        if detector:
            return None, findings_of(
                "proposals-not-made", "note", f"folder of boxes that detect_boxes ({detector}) is to fill", nothing,
                "Nothing: dvc repro makes them. Run the doctor again then, for their recall.",
            )  # fmt: skip
        return None, findings_of(
            "proposals-missing", "error", "folder of boxes is empty or missing", nothing,
            f"Put them there in any format of docs/data-layout.md, or let them be made. {MAKE}.",
        )  # fmt: skip
    try:
        found = import_boxes(
            folder,
            imported.timelines,
            min_score=min_score,
            keyframes=imported.keyframes,
            detector=detector,
            person_class=person_class,
            annotations=annotations,
            objects=objects,
        )
    except InputError as error:
        told = problem_of(str(error), folder.name, "the files", "boxes of the annotated films (docs/data-layout.md)")
        return None, findings_of(
            "proposals-refused", "error", "reason for which the boxes cannot be read", [told],
            f"Mend it, or let boxes be made. {MAKE}.",
        )  # fmt: skip
    return found, [
        *sort_problems(found.problems, "proposal"),
        *too_many_bad(found.problems, found.bad, found.rows, limit, prefix="proposal", stage="import_boxes",
                      key="boxes.max_bad_fraction"),
        *_without_scores(found),
    ]  # fmt: skip


def _without_scores(found: BoxImport) -> list[Finding]:
    problems = [
        Problem(file, "boxes", f"{count} boxes without a score", "x1, y1, x2, y2, score")
        for file, count in found.without_score.items()
    ]
    truth = [
        Problem(path.name, "file", why, "boxes of a detector")
        for path, why in found.left_out
        if why not in BESIDE_ANNOTATIONS
    ]
    return [
        *findings_of("proposal-without-score", "warning", "boxes have no score: all count as 1", problems,
                     "Every box passes every threshold, so false ones too: give the scores if the detector had any.",
                     count=sum(found.without_score.values())),
        *findings_of("proposal-is-annotation", "note", "files in the folder of boxes are annotations", truth,
                     "Nothing: they are left out. As boxes they would find everybody, who is also measured so "
                     "(ground_truth in metrics.json)."),
    ]  # fmt: skip


def check_boxes(
    imported: AvaImport, boxes: pa.Table, films: Mapping[str, ProbedFilm], *, classes: int, thresholds: Thresholds
) -> list[Finding]:
    """Find keyframes without a box, and thresholds that no box or only few boxes reach.

    Args:
        imported: the annotations.
        boxes: BOXES.
        films: the readable films.
        classes: width of the classifier.
        thresholds: the thresholds of each split to check.
    """
    findings: list[Finding] = []
    for split, of_keys in thresholds.items():
        grouped = _grouped(imported, boxes, split, classes)
        if not len(grouped):
            continue
        counts = np.diff(grouped.proposal_offsets)
        bare = np.flatnonzero(counts == 0).tolist()
        problems = [
            Problem(
                split,
                f"{grouped.video_ids[i]}, timestamp {grouped.timestamp[i]:.10g}",
                "no box",
                "a box of each person",
            )
            for i in bare
        ]
        findings += findings_of(
            f"keyframe-without-proposal-{split}", "error" if len(bare) == len(grouped) else "warning",
            f"annotated keyframes of {split} have no box at all, of {len(grouped)}", problems,
            f"Their persons cannot be found: run the detector on them, or lower boxes.min_score. {MAKE}.",
        )  # fmt: skip
        scores = covering(grouped)[IOU]
        below = _below(grouped, split, of_keys)
        findings += below or _few(scores, split, of_keys)
        low = recall(scores) < LEAST_RECALL
        off = check_box_times(imported.keyframes, boxes, films, split) if low else []
        findings += [*off, *_recall_findings(scores, split, all_bare=len(bare) == len(grouped), off=bool(off))]
    return findings


def _grouped(imported: AvaImport, boxes: pa.Table, split: str, classes: int) -> KeyframeSet:
    return group_keyframes(
        imported.annotations, imported.keyframes, boxes, split=split, classes=classes, rule=ANY_SCORE
    )


def _below(grouped: KeyframeSet, split: str, thresholds: Mapping[str, float]) -> list[Finding]:
    """Report thresholds that no box reaches."""
    highest = grouped.scores.max() if len(grouped.scores) else np.inf
    problems = [
        Problem(split, "boxes", f"scores up to {highest:.4g}", f"at least {threshold:g} ({key})")
        for key, threshold in thresholds.items()
        if highest < threshold
    ]
    return findings_of(
        f"proposals-below-threshold-{split}", "error", f"boxes of {split} are all below the threshold that is used",
        problems[:1],
        f"{_lower(covering(grouped)[IOU])} As it stands there is nothing to score.", count=len(grouped.scores),
    )  # fmt: skip


def _few(scores: Floats, split: str, thresholds: Mapping[str, float]) -> list[Finding]:
    """Report thresholds that lose many of the persons whom boxes cover."""
    problems = [
        Problem(
            split,
            key,
            f"{recall(scores, threshold):.1%} of {len(scores)} persons covered by boxes of score {threshold:g} or more",
            f"{LEAST_KEPT_RECALL:.0%} of the {recall(scores):.1%} that all boxes cover, or more",
        )
        for key, threshold in thresholds.items()
        if kept(scores, threshold) < LEAST_KEPT_RECALL
    ]
    lost = [int((np.isfinite(scores) & (scores < threshold)).sum()) for threshold in thresholds.values()]
    return findings_of(
        f"proposals-few-above-threshold-{split}", "warning",
        f"annotated persons of {split} are covered only by boxes below a threshold", problems,
        f"{_lower(scores)} As it stands these persons are seen by nobody.", count=max(lost, default=0),
    )  # fmt: skip


def _lower(scores: Floats) -> str:
    return (
        f"Set {', '.join(THRESHOLD_KEYS)} to about {propose_threshold(scores):g} by these boxes; actionbank "
        f"new-dataset "
        "--boxes writes them all."
    )


def _recall_findings(scores: Floats, split: str, *, all_bare: bool, off: bool) -> list[Finding]:
    low = recall(scores)
    if all_bare or not len(scores) or low >= LEAST_RECALL:
        return []
    missed = round((1 - low) * len(scores))
    told = Problem(
        split,
        "boxes",
        f"{low:.1%} of {len(scores)} persons covered at IoU {IOU:g}",
        f"{LEAST_RECALL:.0%} or more",
    )
    return findings_of(
        f"proposal-recall-{split}", "warning" if low else "error",
        f"annotated persons of {split} are covered by no box, of {len(scores)}", [told],
        f"Mend proposal-times-{split} first."
        if off else
        "No box covers any of them: look whether boxes and annotations are of the same films, times and units."
        if not low else "The AP of every class is bounded by it: take a better detector, or lower boxes.min_score.",
        count=missed,
    )  # fmt: skip


def describe_recall(imported: AvaImport, boxes: pa.Table, *, classes: int, thresholds: Thresholds) -> dict[str, str]:
    """Return a line per split: the number of boxes, and their recall with and without the split's threshold."""
    lines = {}
    for split, of_keys in thresholds.items():
        every = _grouped(imported, boxes, split, classes)
        if not len(every):
            continue
        threshold = next(iter(of_keys.values()))
        recalls = ", ".join(
            f"{recall(scores):.1%} at IoU {iou:g} ({recall(scores, threshold):.1%} from score {threshold:g} on)"
            for iou, scores in covering(every, IOUS).items()
        )
        lines[f"recall of the boxes, {split}"] = f"{recalls}; {len(every.scores)} boxes in {len(every)} keyframes"
    return lines
