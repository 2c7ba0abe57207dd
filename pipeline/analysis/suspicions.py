"""Warn if detections and ground truth seem to differ in names, times, units, corners or ids.

Each warning rests on evidence that a valid file does not show, however low its mAP: coordinates of another scale, or
rows that fit the ground truth only when they are read in another way.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.evaluation.box_arrays import Floats, Ints, number_frames
from pipeline.tables.film_ids import names_beside
from pipeline.tables.schemas import BOX_COLUMNS

LOW = 0.1
"Below this mAP, times, corners and classes are checked too."
SHARES, PIXELS = 1.5, 2.0
"Fractions of the frame are at most SHARES; coordinates above PIXELS are pixels."
FRAMES = 300  # number of frames to check
LEAST_BOXES = 4
FORMS: dict[str, Callable[[Floats], Floats]] = {
    "x, y, width, height": lambda b: np.column_stack([b[:, :2], b[:, :2] + b[:, 2:]]),
    "y1, x1, y2, x2": lambda b: b[:, [1, 0, 3, 2]],
    "centre x, centre y, width, height": lambda b: np.column_stack([b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2]),
}


def suspicions(
    truth: pa.Table,
    found: pa.Table,
    *,
    class_ids: Sequence[int],
    keyframes: pa.Table | None = None,
    is_low: bool = True,
) -> list[str]:
    """Return warnings for the user; empty if nothing points to a mistake.

    Args:
        truth: video_id, timestamp, x1, y1, x2, y2, action_id.
        found: the same columns, and score.
        class_ids: the scored classes, from 1.
        keyframes: video_id, timestamp of keyframes of the ground truth that have no box.
        is_low: whether the mAP is so low that all checks are made.
    """
    if not len(truth) or not len(found):
        return []
    lines = [*_names(truth, found), *_scale(truth, found, is_low=is_low), *_ids(truth, found, class_ids, is_low=is_low)]
    if not is_low:
        return lines
    tables = [truth, found] if keyframes is None else [truth, found, keyframes]
    frames, numbers = number_frames([each.select(["video_id", "timestamp"]) for each in tables])
    named = np.unique(np.concatenate([numbers[0], *numbers[2:]]))
    lines += _times(np.unique(numbers[1]), named, frames.video, frames.microseconds / 1e6, frames.video_ids)
    if not _scale(truth, found, is_low=True):
        pairs = _Pairs.of(truth, found, numbers[0], numbers[1])
        lines += pairs.corners() or pairs.classes()
    return lines


def _films(table: pa.Table) -> list[str]:
    return sorted({str(each) for each in table["video_id"].unify_dictionaries().unique().to_pylist()})


def _names(truth: pa.Table, found: pa.Table) -> list[str]:
    annotated, others = _films(truth), _films(found)
    strange = sorted(set(others) - set(annotated))
    if len(strange) == len(others):
        beside = names_beside("the detections", others, annotated, "the ground truth")
        return [f"no film of the detections is in the ground truth: {beside}"]
    missing = sorted(set(annotated) - set(others))
    beside = names_beside("the detections", strange, missing, "the ground truth") if strange and missing else ""
    return [f"films have other names in the ground truth: {beside}"] if "(is " in beside else []


def _reach(table: pa.Table) -> float:
    return float(max(pc.max(table[name]).as_py() for name in BOX_COLUMNS))


def _scale(truth: pa.Table, found: pa.Table, *, is_low: bool) -> list[str]:
    reach, wanted = _reach(found), _reach(truth)
    line = f"coordinates reach {reach:g} in the detections and {wanted:g} in the ground truth"
    for low, high, table, what in ((wanted, reach, found, "detections"), (reach, wanted, truth, "ground truth")):
        if low <= SHARES and high > PIXELS:
            outside = np.max([table[name].to_numpy() for name in BOX_COLUMNS], axis=0) > PIXELS
            count = f"{int(outside.sum())} of {len(table)} boxes of the {what}"
            return [f"{line}: {count} are in pixels (or percent), and not in shares of the frame from 0 to 1"]
    if is_low and min(reach, wanted) > PIXELS and not 0.5 <= reach / wanted <= 2:
        return [f"{line}: pixels of frames of another size"]
    return []


def _ids(truth: pa.Table, found: pa.Table, class_ids: Sequence[int], *, is_low: bool) -> list[str]:
    first, last = min(class_ids), max(class_ids)
    counted = [
        {each["values"]: each["counts"] for each in pc.value_counts(table["action_id"]).to_pylist()}
        for table in (truth, found)
    ]
    named = list(zip(counted, ("ground truth", "detections"), strict=True))
    if first == 1 and any(counts.get(0) for counts in counted):
        return [
            f"{counts[0]} rows of the {what} have an action id one below the first class: do ids count from one lower?"
            for counts, what in named
            if counts.get(0)
        ]
    high = [each for each in named if max(each[0]) == last + 1 and first not in each[0]]
    return [
        f"{counts[last + 1]} rows of the {what} have an action id one above the last of the classes, and none has the "
        "first: do ids count from one higher?"
        for counts, what in (high if is_low and len(high) == 1 else [])
    ]


def _times(found: Ints, named: Ints, video: Ints, seconds: Floats, names: Sequence[str]) -> list[str]:
    """Return a warning if detections in common films are at other times than the ground truth's keyframes.

    Args:
        found: frames with detections.
        named: frames of the ground truth.
        video: film of each frame, as an index into `names`.
        seconds: timestamp of each frame.
        names: names of the films.
    """
    films = np.intersect1d(video[found], video[named])
    found, named = found[np.isin(video[found], films)], named[np.isin(video[named], films)]
    common = len(np.intersect1d(found, named))
    if not len(films) or 2 * common >= min(len(found), len(named)):
        return []
    film = films[0]
    mine, theirs = seconds[found[video[found] == film]], seconds[named[video[named] == film]]
    return [
        f"{common} of {len(named)} keyframes of the ground truth are among the {len(found)} of the detections in these "
        f"films: timestamps of {names[film]} go from {mine.min():g} to {mine.max():g} in the detections, and from "
        f"{theirs.min():g} to {theirs.max():g} in the ground truth (frames and seconds, or an offset?)"
    ]


@dataclass(frozen=True)
class _Frame:
    """A frame with detections and ground truth: the boxes and their classes."""

    truth: Floats
    truth_ids: Ints
    found: Floats
    found_ids: Ints
    "The class of the best row of each box."


@dataclass(frozen=True)
class _Pairs:
    frames: list[_Frame]

    @classmethod
    def of(cls, truth: pa.Table, found: pa.Table, truth_frame: Ints, found_frame: Ints) -> "_Pairs":
        """Take some frames that have both."""
        common = np.intersect1d(truth_frame, found_frame)
        chosen = common[np.unique(np.linspace(0, len(common) - 1, min(FRAMES, len(common))).astype(np.int64))]
        sides = []
        for table, frame in ((truth, truth_frame), (found, found_frame)):
            rows = np.flatnonzero(np.isin(frame, chosen))
            part = table.take(pa.array(rows))
            boxes = np.column_stack([part[name].to_numpy() for name in BOX_COLUMNS]).astype(np.float64)
            score = part["score"].to_numpy() if "score" in part.column_names else np.zeros(len(rows))
            sides.append((frame[rows], boxes, part["action_id"].to_numpy().astype(np.int64), score))
        frames = []
        for each in chosen.tolist():
            (boxes, ids, _), (other, other_ids, score) = (
                tuple(column[side[0] == each] for column in side[1:]) for side in sides
            )
            best = np.argsort(-score, kind="stable")
            other, first = np.unique(other[best], axis=0, return_index=True)
            frames.append(_Frame(boxes, ids, other, other_ids[best][first]))
        return cls(frames)

    def corners(self) -> list[str]:
        """Return a warning if the boxes fit with their four numbers in another order."""
        boxes = sum(len(each.truth) for each in self.frames)
        as_is = _covered((each.truth, each.found) for each in self.frames)
        if boxes < LEAST_BOXES:
            return []
        for what, is_found in (("detections", True), ("ground truth", False)):
            for form, turned in FORMS.items():
                pairs = (
                    (each.truth, turned(each.found)) if is_found else (turned(each.truth), each.found)
                    for each in self.frames
                )
                share = _covered(pairs)
                if share >= 0.5 and as_is <= share / 3:
                    return [
                        f"boxes of the {what} look like {form}: read so, detections cover {share:.0%} of the boxes of "
                        f"the ground truth, and as x1, y1, x2, y2 {as_is:.0%}"
                    ]
        return []

    def classes(self) -> list[str]:
        """Return a warning if the classes fit with ids one higher or lower."""
        hits: dict[int, list[int]] = {0: [], 1: [], -1: []}
        matched = 0
        for each in self.frames:
            overlap = _iou(each.found, each.truth) >= 0.5
            for row in np.flatnonzero(overlap.any(axis=1)).tolist():
                ids = set(each.truth_ids[overlap[row]].tolist())
                mine = int(each.found_ids[row])
                matched += 1
                for step, hit in hits.items():
                    hit += [mine] if mine + step in ids else []
        for step, how in ((1, "one higher"), (-1, "one lower")):
            is_clear = len(hits[step]) >= 0.6 * matched and len(hits[0]) <= 0.1 * matched
            if matched >= LEAST_BOXES and is_clear and len(set(hits[step])) > 1:
                return [
                    f"action ids of the detections look off by one: {len(hits[step])} of {matched} boxes that lie on "
                    f"one of the ground truth have its class with ids {how}, and {len(hits[0])} as they are"
                ]
        return []


def _covered(pairs: Iterable[tuple[Floats, Floats]]) -> float:
    """Return the share of the first boxes that a second box overlaps with an IoU of at least 0.5."""
    best = [_iou(truth, found).max(axis=1) for truth, found in pairs if len(truth) and len(found)]
    return float((np.concatenate(best) >= 0.5).mean()) if best else 0.0


def _iou(one: Floats, other: Floats) -> Floats:
    """Return the IoU [n, m]; 0 for inverted boxes."""
    a, b = one[:, None], other[None]
    sides = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    overlap = sides.prod(-1)
    areas = (np.clip(each[..., 2:] - each[..., :2], 0, None).prod(-1) for each in (a, b))
    union = sum(areas) - overlap
    return np.where(union > 0, overlap / np.where(union > 0, union, 1), 0.0)
