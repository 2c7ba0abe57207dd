"""Find where AP is lost: assign each false row and each label that is not found to one kind of error.

This follows TIDE (Bolya et al. 2020), adapted to boxes with several actions: the box of a person has a row for every
action, so a wrong action is an extra row and not a row with the wrong class. docs/errors.md has the definitions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.analysis.scene import Scene, best_score_on, build_scene
from pipeline.evaluation.ava_map import Counted, counted_rows
from pipeline.evaluation.box_arrays import Bools, Floats, Ints
from pipeline.evaluation.curves import average_precision, precision_recall
from pipeline.evaluation.matching import find_claims

KINDS = ("missed", "localisation", "class", "both", "duplicate", "background")
MISSED, LOCALISATION, CLASS, BOTH, DUPLICATE, BACKGROUND = range(len(KINDS))
FOUND, NOT_COUNTED = -1, -2


@dataclass(frozen=True)
class Errors:
    """The kind of every row, and what each kind costs."""

    class_ids: Ints  # [C] ascending
    iou: float
    ap: Floats  # [C], NaN if undefined
    num_gt: Ints  # [C]
    mended: Floats  # [C, K] AP if one kind of error is mended
    share: Floats  # [C, K] share of each kind in 1 - AP
    unfound: Ints  # [C, K] number of labels not found
    false_rows: Ints  # [C, K]
    label_kind: NDArray[np.int8]  # of every row of the annotations: a kind, FOUND or NOT_COUNTED
    row_kind: NDArray[np.int8]  # of every row of the detections
    found_by: Ints  # for every row of the annotations, the row of the detections that finds it; -1 if none does
    label_loss: Floats  # mAP lost by each row of the annotations
    row_loss: Floats
    scene: Scene
    counted: Counted

    @property
    def gain(self) -> Floats:
        """Return the AP that mending each kind would gain [C, K]."""
        return self.mended - self.ap[:, None]


def find_errors(
    annotations: pa.Table,
    detections: pa.Table,
    *,
    class_ids: Sequence[int],
    keyframes: pa.Table,
    iou: float = 0.5,
    protocol: str = "official",
    cap: int = 50,
) -> Errors:
    """Assign every row of both tables to a kind of error.

    Args:
        annotations: ANNOTATIONS of the split.
        detections: DETECTIONS.
        class_ids: the classes that are scored.
        keyframes: KEYFRAMES of the split.
        iou: matching threshold.
        protocol: see `match`.
        cap: see `match`.

    Raises:
        InputError: see `match`.
    """
    counted = counted_rows(
        annotations, detections, class_ids=class_ids, keyframes=keyframes, protocol=protocol, cap=cap
    )
    scene = build_scene(annotations, detections, counted, iou)
    claims = find_claims(
        counted.truth, counted.found, frames=counted.frames, classes=len(counted.class_ids), protocol=counted.protocol
    )
    held = claims.held(iou)
    row_kind = _row_kinds(counted, scene, hits=counted.found.row[claims.detection[held]], rows=len(detections))
    label_kind = _label_kinds(counted, scene, found=counted.truth.row[claims.box[held]], rows=len(annotations))
    found_by = np.full(len(annotations), -1)
    found_by[counted.truth.row[claims.box[held]]] = counted.found.row[claims.detection[held]]
    classes = len(counted.class_ids)
    costs = _costs(counted, scene, label_kind, row_kind)
    defined = max(1, int((~np.isnan(costs.ap)).sum()))
    return Errors(
        class_ids=counted.class_ids,
        iou=iou,
        ap=costs.ap,
        num_gt=np.bincount(counted.truth.label, minlength=classes),
        mended=costs.mended,
        share=costs.share,
        unfound=_counts(counted.truth.label, label_kind[counted.truth.row], classes),
        false_rows=_counts(counted.found.label, row_kind[counted.found.row], classes),
        label_kind=label_kind,
        row_kind=row_kind,
        found_by=found_by,
        label_loss=costs.label_loss / defined,
        row_loss=costs.row_loss / defined,
        scene=scene,
        counted=counted,
    )


@dataclass(frozen=True)
class _Costs:
    """The AP that errors cost, by class; the first three fields are those of `Errors`."""

    ap: Floats
    mended: Floats
    share: Floats
    label_loss: Floats  # AP of its class lost by each row of the annotations
    row_loss: Floats  # the same of the detections


def _costs(counted: Counted, scene: Scene, label_kind: NDArray[np.int8], row_kind: NDArray[np.int8]) -> _Costs:
    classes = len(counted.class_ids)
    ap, mended, share = (
        np.full(classes, np.nan),
        np.full((classes, len(KINDS)), np.nan),
        np.zeros((classes, len(KINDS))),
    )
    label_loss, row_loss = np.zeros(len(label_kind)), np.zeros(len(row_kind))
    best_score = best_score_on(scene)
    of_label, of_row = _by_class(counted.truth.label, classes), _by_class(counted.found.label, classes)
    for place in range(classes):
        labels, rows = counted.truth.row[of_label[place]], counted.found.row[of_row[place]]
        if not len(labels) or not (len(rows) or counted.protocol.scores_undetected):
            continue
        scores = counted.found.value[of_row[place]]
        is_hit = row_kind[rows] == FOUND
        ap[place] = _ap(scores[is_hit], scores[~is_hit], len(labels))
        mended[place] = _mended(scene, best_score, place, labels, rows, scores, label_kind[labels], row_kind[rows])
        unfound = labels[label_kind[labels] != FOUND]
        label_loss[unfound], row_loss[rows[~is_hit]] = _losses(scores[is_hit], scores[~is_hit], len(labels), ap[place])
        share[place] = np.bincount(label_kind[unfound], label_loss[unfound], len(KINDS))
        share[place] += np.bincount(row_kind[rows[~is_hit]], row_loss[rows[~is_hit]], len(KINDS))
        if share[place].sum() > 0:
            share[place] /= share[place].sum()
    return _Costs(ap, mended, share, label_loss, row_loss)


def _row_kinds(counted: Counted, scene: Scene, *, hits: Ints, rows: int) -> NDArray[np.int8]:
    pairs, right = scene.overlaps, scene.overlaps.is_right
    boxes = len(scene.boxes.frame)
    on_person, near_person = _any(pairs.box[right], boxes), _any(pairs.box, boxes)
    does_on, does_near = np.zeros((2, boxes, len(counted.class_ids)), bool)
    np.logical_or.at(does_on, pairs.box[right], scene.does[pairs.person[right]])
    np.logical_or.at(does_near, pairs.box, scene.does[pairs.person])
    box, label = scene.boxes.of_row[counted.found.row], counted.found.label
    kind = np.select(
        [does_on[box, label], on_person[box], does_near[box, label], near_person[box]],
        [DUPLICATE, CLASS, LOCALISATION, BOTH],
        BACKGROUND,
    )
    kinds = np.full(rows, NOT_COUNTED, np.int8)
    kinds[counted.found.row] = kind
    kinds[hits] = FOUND
    return kinds


def _label_kinds(counted: Counted, scene: Scene, *, found: Ints, rows: int) -> NDArray[np.int8]:
    pairs, right = scene.overlaps, scene.overlaps.is_right
    persons = len(scene.persons.frame)
    has_box, has_near = _any(pairs.person[right], persons), _any(pairs.person, persons)
    scored = np.zeros((len(scene.boxes.frame), len(counted.class_ids)), bool)
    scored[scene.boxes.of_row[counted.found.row], counted.found.label] = True
    has_row = np.zeros((persons, len(counted.class_ids)), bool)
    np.logical_or.at(has_row, pairs.person[right], scored[pairs.box[right]])
    person, label = scene.persons.of_row[counted.truth.row], counted.truth.label
    # A row of this class that finds another person leaves this person without a box.
    kind = np.select([has_row[person, label], has_box[person], has_near[person]], [MISSED, CLASS, LOCALISATION], MISSED)
    kinds = np.full(rows, NOT_COUNTED, np.int8)
    kinds[counted.truth.row] = kind
    kinds[found] = FOUND
    return kinds


def _mended(
    scene: Scene,
    best_score: Floats,
    place: int,
    labels: Ints,
    rows: Ints,
    scores: Floats,
    label_kind: NDArray[np.int8],
    row_kind: NDArray[np.int8],
) -> Floats:
    """Return the AP of a class with each kind of error mended, one kind at a time."""
    hits, count = scores[row_kind == FOUND], len(labels)
    aps = np.empty(len(KINDS))
    for kind in range(len(KINDS)):
        false = scores[(row_kind >= 0) & (row_kind != kind)]
        added, left = np.zeros(0), count
        if kind == MISSED:
            left -= int((label_kind == MISSED).sum())
        elif kind == LOCALISATION:
            moved = row_kind == LOCALISATION
            added = _moved(scene, place, labels[label_kind != FOUND], rows[moved], scores[moved])
        elif kind == CLASS:
            added = best_score[scene.persons.of_row[labels[label_kind == CLASS]]]
        aps[kind] = _ap(np.concatenate([hits, added]), false, left)
    return aps


def _moved(scene: Scene, place: int, unfound: Ints, rows: Ints, scores: Floats) -> Floats:
    """Return the scores of unfound labels that get a box when badly placed boxes move to their person."""
    pairs = scene.overlaps
    score_of_box = np.full(len(scene.boxes.frame), -np.inf)
    np.maximum.at(score_of_box, scene.boxes.of_row[rows], scores)
    wanted = np.flatnonzero(scene.does[pairs.person, place] & np.isfinite(score_of_box[pairs.box]))
    wanted = wanted[np.lexsort((-pairs.iou[wanted], pairs.box[wanted]))]
    wanted = wanted[np.diff(pairs.box[wanted], prepend=-1) != 0]
    best = np.full(len(scene.persons.frame), -np.inf)
    np.maximum.at(best, pairs.person[wanted], score_of_box[pairs.box[wanted]])
    moved = best[scene.persons.of_row[unfound]]
    scored: Floats = moved[np.isfinite(moved)]
    return scored


def _losses(hits: Floats, false: Floats, num_gt: int, ap: float) -> tuple[float, Floats]:
    """Return the share of 1 - AP that an unfound label costs, and the share that each false row costs.

    1 - AP is the mean over the labels of 1 - p, where p is the precision at which the label is found (0 if it is not).
    For a found label, the false rows above it cause 1 - p in equal parts. The official AP takes the best precision at
    any higher recall and so is a little larger: all parts are scaled down so that their sum is 1 - AP.
    """
    hits, shown = np.sort(hits), np.sort(np.concatenate([hits, false]))
    part = 1 / (len(shown) - np.searchsorted(shown, hits)) if len(hits) else np.zeros(0)
    upto = np.concatenate([[0.0], np.cumsum(part)]) / num_gt
    costs = upto[np.searchsorted(hits, false, "right")]
    total = float(costs.sum()) + (num_gt - len(hits)) / num_gt
    scale = (1 - ap) / total if total > 0 else 0.0
    return scale / num_gt, costs * scale


def _ap(hits: Floats, false: Floats, num_gt: int) -> float:
    """Return the AP of a class; 1 if there is nothing to find."""
    if not num_gt:
        return 1.0
    return average_precision(*precision_recall(hits, np.sort(np.concatenate([hits, false])), num_gt))


def _any(members: Ints, count: int) -> Bools:
    return np.bincount(members, minlength=count) > 0


def _by_class(label: Ints, classes: int) -> list[Ints]:
    order = np.argsort(label, kind="stable")
    return np.split(order, np.searchsorted(label[order], np.arange(1, classes)))


def _counts(label: Ints, kind: NDArray[np.int8], classes: int) -> Ints:
    counts = np.zeros((classes, len(KINDS)), np.int64)
    np.add.at(counts, (label[kind >= 0], kind[kind >= 0]), 1)
    return counts
