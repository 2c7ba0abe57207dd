"""Person boxes: read as `import_boxes` reads them, and held against the ground truth."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.boxes.importing import BoxImport, import_boxes
from pipeline.datasets.assemble import AvaImport
from pipeline.datasets.keyframes import KeyframeSet, group_keyframes, stretches
from pipeline.doctor.finding import Finding, findings_of, problem_of
from pipeline.doctor.rows import sort_problems, too_many_bad
from pipeline.errors import InputError
from pipeline.files import visible_files
from pipeline.problems import Problem
from pipeline.training.assign import Floats, pair_iou

NO_SCORES = re.compile(r"(?P<file>.+): (?P<count>\d+) boxes have no score column")
AS_BOXES = re.compile(r"(?P<file>.+): these are annotations, taken as boxes")
IOUS = (0.5, 0.9)
LEAST_RECALL = 0.7
# Pairs of a box and a proposal that are compared at a time.
KEYFRAMES_AT_ONCE = 20_000
MAKE = "Set boxes.detector to fasterrcnn, or to motion, which needs no weights, and run dvc repro detect_boxes"


@dataclass(frozen=True)
class Recall:
    """Of a split's annotated persons, how many some proposal of their keyframe covers."""

    persons: int
    at: dict[float, float]
    "IoU -> share of the persons."


def read_boxes(
    folder: Path, imported: AvaImport, *, min_score: float, detector: str, limit: float, person_class: int = 0
) -> tuple[BoxImport | None, list[Finding]]:
    """The boxes, if they can be read, and what is wrong with their files.

    Args:
        folder: the box files.
        imported: the annotations.
        min_score: `boxes.min_score`.
        detector: what is to make the boxes; empty where they are brought.
        limit: `boxes.max_bad_fraction`.
        person_class: `boxes.person_class`.
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
    matches = [match for line in found.told if (match := NO_SCORES.fullmatch(line.partition(" column")[0] + " column"))]
    problems = [
        Problem(match["file"], "boxes", f"{match['count']} boxes without a score", "x1, y1, x2, y2, score")
        for match in matches
    ]
    truth = [
        Problem(match["file"], "boxes", "annotations, each box with score 1", "boxes of a detector")
        for line in found.told
        if (match := AS_BOXES.match(line))
    ]
    return [
        *findings_of("proposal-without-score", "warning", "boxes have no score: all count as 1", problems,
                     "Every box passes every threshold, so false ones too: give the scores if the detector had any.",
                     count=sum(int(match["count"]) for match in matches)),
        *findings_of("proposal-is-annotation", "warning", "files of boxes are annotations", truth,
                     "Right only for an upper bound: in use nobody knows these boxes. Take a detector's."),
    ]  # fmt: skip


def check_boxes(
    imported: AvaImport, boxes: pa.Table, *, classes: int, thresholds: Mapping[str, float]
) -> list[Finding]:
    """Keyframes that no box reaches, and thresholds that no box does.

    Args:
        imported: the annotations.
        boxes: BOXES.
        classes: width of the classifier.
        thresholds: split -> least score of a box that its stages use.
    """
    findings: list[Finding] = []
    for split, threshold in thresholds.items():
        grouped = _grouped(imported, boxes, split, classes, 0.0)
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
        findings += _below(grouped, split, threshold)
        findings += _recall_findings(recall_of(grouped), split, all_bare=len(bare) == len(grouped))
    return findings


def _grouped(imported: AvaImport, boxes: pa.Table, split: str, classes: int, threshold: float) -> KeyframeSet:
    return group_keyframes(
        imported.annotations, imported.keyframes, boxes, split=split, classes=classes, threshold=threshold
    )


def _below(grouped: KeyframeSet, split: str, threshold: float) -> list[Finding]:
    if not len(grouped.scores) or grouped.scores.max() >= threshold:
        return []
    best = f"scores up to {grouped.scores.max():.4g}"
    return findings_of(
        f"proposals-below-threshold-{split}", "error", f"boxes of {split} are all below the threshold that is used",
        [Problem(split, "boxes", best, f"at least {threshold:g} (box_threshold)")],
        "Lower baseline.box_threshold, bank.box_threshold and evaluation.box_threshold to the detector's scores: "
        "as it stands there is nothing to score.",
        count=len(grouped.scores),
    )  # fmt: skip


def _recall_findings(recall: Recall, split: str, *, all_bare: bool) -> list[Finding]:
    low = recall.at[IOUS[0]]
    if all_bare or not recall.persons or low >= LEAST_RECALL:
        return []
    missed = round((1 - low) * recall.persons)
    told = Problem(
        split,
        "boxes",
        f"{low:.1%} of {recall.persons} persons covered at IoU {IOUS[0]:g}",
        f"{LEAST_RECALL:.0%} or more",
    )
    return findings_of(
        f"proposal-recall-{split}", "warning" if low else "error",
        f"annotated persons of {split} are covered by no box, of {recall.persons}", [told],
        "No box covers any of them: look whether boxes and annotations are of the same films, times and units."
        if not low else "The AP of every class is bounded by it: take a better detector, or lower boxes.min_score.",
        count=missed,
    )  # fmt: skip


def recall_of(grouped: KeyframeSet) -> Recall:
    """How many annotated persons the proposals cover, whatever their scores."""
    best = [np.zeros(0)]
    for first in range(0, len(grouped), KEYFRAMES_AT_ONCE):
        best.append(_best_iou(grouped[first : first + KEYFRAMES_AT_ONCE]))
    iou = np.concatenate(best)
    at = {least: float((iou >= least).mean()) if len(iou) else 0.0 for least in IOUS}
    return Recall(len(iou), at)


def _best_iou(grouped: KeyframeSet) -> Floats:
    """The largest overlap of each annotated person with a proposal of its keyframe."""
    persons = np.diff(grouped.ground_truth_offsets)
    owner = np.repeat(np.arange(len(grouped)), persons)
    counts, proposal = stretches(grouped.proposal_offsets[owner], grouped.proposal_offsets[owner + 1])
    person = np.repeat(np.arange(len(owner)), counts)
    best = np.zeros(len(owner))
    np.maximum.at(best, person, pair_iou(grouped.ground_truth_xyxy[person], grouped.proposals_xyxy[proposal]))
    return best


def describe_recall(
    imported: AvaImport, boxes: pa.Table, *, classes: int, thresholds: Mapping[str, float]
) -> dict[str, str]:
    """A line on each split's boxes: how many, and their recall with and without the threshold."""
    lines = {}
    for split, threshold in thresholds.items():
        every = _grouped(imported, boxes, split, classes, 0.0)
        if not len(every):
            continue
        of_all, of_used = recall_of(every), recall_of(_grouped(imported, boxes, split, classes, threshold))
        recalls = ", ".join(
            f"{of_all.at[iou]:.1%} at IoU {iou:g} ({of_used.at[iou]:.1%} from score {threshold:g} on)" for iou in IOUS
        )
        lines[f"recall of the boxes, {split}"] = f"{recalls}; {len(every.scores)} boxes in {len(every)} keyframes"
    return lines
