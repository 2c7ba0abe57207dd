"""Turn tables into keyframes, each with its persons, their labels and its proposals.

Everything is sorted once and kept in flat arrays, and a keyframe is a slice of them. So a set of AVA's size is made in
about a second, and forked workers share it without copies.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.base.errors import InputError
from pipeline.tables.ordering import group_starts, ordered, ranked, ranks
from pipeline.tables.schemas import BOX_COLUMNS
from pipeline.tables.select_boxes import BoxRule, ObjectRule, passing, whole_frames

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Keyframe:
    """One moment of a video that is annotated or scored."""

    video_id: str
    timestamp: float
    "The data set's label of the moment."
    time_seconds: float
    "Seconds from the start of the video."


@dataclass(frozen=True)
class KeyframeBoxes:
    """A keyframe with its n ground-truth persons and m proposals; the arrays are slices, so do not change them."""

    keyframe: Keyframe
    ground_truth_xyxy: Floats  # [n, 4], normalised
    labels: NDArray[np.bool_]  # [n, classes], multi-hot; column c is action id c + 1
    proposals_xyxy: Floats  # [m, 4], normalised, by descending score
    scores: Floats  # [m]
    objects_xyxy: Floats | None = None  # [places, 4], normalised; a slice of that of the set


@dataclass(frozen=True, eq=False)
class KeyframeSet(Sequence[KeyframeBoxes]):
    """The keyframes of a split, sorted by (video_id, timestamp); `set[i]` is a `KeyframeBoxes`."""

    video_ids: list[str]
    timestamp: Floats
    time_seconds: Floats
    ground_truth_xyxy: Floats
    labels: NDArray[np.bool_]
    ground_truth_offsets: Ints
    "[len + 1]: keyframe i has the rows from offset i to offset i + 1."
    proposals_xyxy: Floats
    scores: Floats
    proposal_offsets: Ints
    objects_xyxy: Floats | None = None
    "[len, places, 4], normalised: the best objects by score, NaN in empty places; None where no objects are read."

    def __len__(self) -> int:
        return len(self.video_ids)

    @overload
    def __getitem__(self, index: int) -> KeyframeBoxes: ...

    @overload
    def __getitem__(self, index: slice) -> "KeyframeSet": ...

    def __getitem__(self, index: int | slice) -> "KeyframeBoxes | KeyframeSet":
        if isinstance(index, slice):
            return self.select(np.arange(len(self))[index])
        if not -len(self) <= index < len(self):
            raise IndexError(f"keyframe {index} of {len(self)}")
        index %= len(self)
        truth = slice(*self.ground_truth_offsets[index : index + 2])
        found = slice(*self.proposal_offsets[index : index + 2])
        return KeyframeBoxes(
            Keyframe(self.video_ids[index], float(self.timestamp[index]), float(self.time_seconds[index])),
            self.ground_truth_xyxy[truth],
            self.labels[truth],
            self.proposals_xyxy[found],
            self.scores[found],
            None if self.objects_xyxy is None else self.objects_xyxy[index],
        )

    def __iter__(self) -> Iterator[KeyframeBoxes]:
        return (self[index] for index in range(len(self)))

    def select(self, index: Ints) -> "KeyframeSet":
        """Return the keyframes at these positions, in the order of `index`."""
        truth_counts, truth = stretches(self.ground_truth_offsets[index], self.ground_truth_offsets[index + 1])
        found_counts, found = stretches(self.proposal_offsets[index], self.proposal_offsets[index + 1])
        return KeyframeSet(
            [self.video_ids[place] for place in index.tolist()],
            self.timestamp[index],
            self.time_seconds[index],
            self.ground_truth_xyxy[truth],
            self.labels[truth],
            _offsets(truth_counts),
            self.proposals_xyxy[found],
            self.scores[found],
            _offsets(found_counts),
            None if self.objects_xyxy is None else self.objects_xyxy[index],
        )


def stretches(starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Return the length of each stretch of rows, and the row numbers of all stretches, one after the other.

    Args:
        starts: first row of each stretch, [stretches].
        ends: the row after its last one, [stretches].

    Returns:
        Lengths [stretches], and row numbers [sum of the lengths].
    """
    counts = ends - starts
    before = np.cumsum(counts) - counts
    return counts, np.repeat(starts - before, counts) + np.arange(counts.sum())


def pack_keyframes(keyframes: Sequence[KeyframeBoxes]) -> KeyframeSet:
    """Copy keyframes into flat arrays, without their objects; a `KeyframeSet` is returned unchanged."""
    if isinstance(keyframes, KeyframeSet):
        return keyframes
    nobody = np.empty((0, keyframes[0].labels.shape[1] if len(keyframes) else 0), bool)
    return KeyframeSet(
        [each.keyframe.video_id for each in keyframes],
        np.array([each.keyframe.timestamp for each in keyframes], np.float64),
        np.array([each.keyframe.time_seconds for each in keyframes], np.float64),
        np.concatenate([np.empty((0, 4)), *(each.ground_truth_xyxy for each in keyframes)]),
        np.concatenate([nobody, *(each.labels for each in keyframes)]),
        _offsets(np.array([len(each.ground_truth_xyxy) for each in keyframes], np.int64)),
        np.concatenate([np.empty((0, 4)), *(each.proposals_xyxy for each in keyframes)]),
        np.concatenate([np.empty(0), *(each.scores for each in keyframes)]),
        _offsets(np.array([len(each.scores) for each in keyframes], np.int64)),
    )


def group_keyframes(
    annotations: pa.Table,
    keyframes: pa.Table,
    boxes: pa.Table | None,
    *,
    split: str,
    classes: int,
    rule: BoxRule,
    with_empty: bool = False,
    objects: ObjectRule | None = None,
) -> KeyframeSet:
    """Select the annotated keyframes of a split, with their persons and proposals, and with their objects if asked to.

    Excluded keyframes are left out. Rows with exactly the same box are one person, as upstream
    (`AVADataset.parse_img_record`). Objects (rows of BOXES with a label) are not proposals.

    Args:
        annotations: ANNOTATIONS.
        keyframes: KEYFRAMES.
        boxes: BOXES; None gives no proposals.
        split: `train`, `val` or `test`.
        classes: width of `labels`.
        rule: selects the proposals of each keyframe.
        with_empty: include keyframes that were annotated as showing nobody.
        objects: selects the objects of each keyframe; None reads none.

    Raises:
        InputError: an action id is above `classes`.
    """
    statuses = pa.array(["annotated", "empty"] if with_empty else ["annotated"])
    chosen = keyframes.filter(pc.and_(pc.equal(keyframes["split"], split), pc.is_in(keyframes["status"], statuses)))
    names, video = ranked(chosen["video_id"])
    timestamp = chosen["timestamp"].to_numpy()
    order = ordered([video, timestamp])
    index = _Index(names, video[order], timestamp[order])
    truth, labels, truth_counts = _persons(annotations, index, classes)
    proposals, scores, proposal_counts = _proposals(boxes, index, rule)
    return KeyframeSet(
        video_ids=[names[place] for place in index.video],
        timestamp=index.timestamp,
        time_seconds=chosen["time_seconds"].to_numpy()[order],
        ground_truth_xyxy=truth,
        labels=labels,
        ground_truth_offsets=_offsets(truth_counts),
        proposals_xyxy=proposals,
        scores=scores,
        proposal_offsets=_offsets(proposal_counts),
        objects_xyxy=None if boxes is None or objects is None else _objects(boxes, index, objects),
    )


def check_single_label(
    keyframes: Iterable[KeyframeBoxes],
    *,
    several: Literal["error", "soft", "first"],
    softmax: Sequence[tuple[int, int]] | None = None,
) -> None:
    """Check that no person has several actions of one softmax, for training with labels.kind single or grouped.

    Args:
        keyframes: those of training.
        several: error: refuse such a person; otherwise keep its labels, and the loss (`make_loss`) takes them as a
            distribution with equal parts, or the first alone.
        softmax: the first and last id of each softmax; None: one over all classes.

    Raises:
        InputError: names the first person with several actions of a softmax.
    """
    if several != "error":
        return
    kind = "single" if softmax is None else "grouped"
    for each in keyframes:
        for first, last in [(1, each.labels.shape[1])] if softmax is None else softmax:
            labels = each.labels[:, first - 1 : last]
            crowded = np.flatnonzero(labels.sum(axis=1) > 1)
            if len(crowded):
                box = " ".join(f"{value:.10g}" for value in each.ground_truth_xyxy[crowded[0]])
                ids = ", ".join(str(first + column) for column in np.flatnonzero(labels[crowded[0]]))
                expected = "one" if softmax is None else f"one of {first} to {last}"
                at = f"video {each.keyframe.video_id}, timestamp {each.keyframe.timestamp:.10g}, box {box}"
                raise InputError(
                    f"annotations: {at}: found the actions {ids}, expected {expected} (labels.kind is {kind}; "
                    "labels.several: soft takes equal parts, first the lowest id)"
                )


def _offsets(counts: Ints) -> Ints:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


@dataclass(frozen=True)
class _Index:
    """The chosen keyframes, sorted, to look up the keyframe of each row of a table."""

    names: list[str]
    video: Ints
    timestamp: Floats

    def places(self, table: pa.Table) -> Ints:
        """Return the index of the keyframe of each row of `table`, or -1."""
        codes = pc.index_in(table["video_id"], pa.array(self.names, pa.string()))
        video = pc.fill_null(codes, -1).to_numpy().astype(np.int64)
        stamps = np.unique(self.timestamp)
        if not len(stamps):
            return np.full(table.num_rows, -1, np.int64)
        rank = np.minimum(np.searchsorted(stamps, table["timestamp"].to_numpy()), len(stamps) - 1)
        known = (stamps[rank] == table["timestamp"].to_numpy()) & (video >= 0)
        # One integer per (video, timestamp), in ascending order for the sorted keyframes.
        wanted = video * len(stamps) + rank
        own = self.video * len(stamps) + np.searchsorted(stamps, self.timestamp)
        place = np.minimum(np.searchsorted(own, wanted), len(own) - 1)
        return np.where(known & (own[place] == wanted), place, -1)


def _rows(table: pa.Table, index: _Index) -> tuple[Ints, pa.Table]:
    """Return the keyframe of each row that belongs to a chosen one, and the table of these rows."""
    place = index.places(table)
    return place[place >= 0], table.filter(pa.array(place >= 0))


def _box_array(table: pa.Table) -> Floats:
    return np.column_stack([table[name].to_numpy() for name in BOX_COLUMNS]).astype(np.float64).reshape(-1, 4)


def _persons(annotations: pa.Table, index: _Index, classes: int) -> tuple[Floats, NDArray[np.bool_], Ints]:
    place, rows = _rows(annotations, index)
    action = rows["action_id"].to_numpy().astype(np.int64)
    if len(action) and action.max() > classes:
        raise InputError(f"annotations: action id {action.max()}, expected 1 to {classes} (dataset.classes)")
    boxes = _box_array(rows)
    order = ordered([place, *boxes.T])
    place, boxes, action = place[order], boxes[order], action[order]
    starts = group_starts([place, *boxes.T])
    labels = np.zeros((int(starts.sum()), classes), bool)
    labels[np.cumsum(starts) - 1, action - 1] = True
    return boxes[starts], labels, np.bincount(place[starts], minlength=len(index.video))


def _proposals(table: pa.Table | None, index: _Index, rule: BoxRule) -> tuple[Floats, Floats, Ints]:
    count = len(index.video)
    if table is None:
        place, boxes, scores = np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0)
    else:
        place, rows = _rows(table.filter(pc.is_null(table["label"])), index)
        boxes, scores = _box_array(rows), rows["score"].to_numpy()
    alone, whole = whole_frames(place, count, rule)
    place = np.concatenate([place, alone])
    boxes = np.concatenate([boxes, whole[:, :4]])
    scores = np.concatenate([scores, whole[:, 4]])
    order = ordered([place, -scores, *boxes.T])
    place, boxes, scores = place[order], boxes[order], scores[order]
    kept = passing(scores, place, count, rule, np.float64)
    return boxes[kept], scores[kept], np.bincount(place[kept], minlength=count)


def _objects(table: pa.Table, index: _Index, rule: ObjectRule) -> Floats:
    """Return the best objects of each keyframe, [keyframes, places, 4], with NaN in empty places."""
    place, rows = _rows(table.filter(pc.is_valid(table["label"])), index)
    boxes, scores = _box_array(rows), rows["score"].to_numpy()
    order = ordered([place, -scores, *boxes.T])
    order = order[scores[order] >= rule.score]
    place = place[order]
    rank = ranks(place)
    best = rank < rule.places
    found = np.full((len(index.video), rule.places, 4), np.nan)
    found[place[best], rank[best]] = boxes[order][best]
    return found
