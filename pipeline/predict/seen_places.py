"""Find what the places of attention stand for: rows of a bank, persons of the clip, its objects."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.bank.feature_rows import FloatArray, IntArray
from pipeline.bank.reader import Bank
from pipeline.bank.row_places import rows_at
from pipeline.bank.windows.seconds import index_rows
from pipeline.features.windows import WindowSource
from pipeline.models.attention import Looker
from pipeline.models.settings import ObjectSettings
from pipeline.scoring.detections import ScoredKeyframe
from pipeline.tables.keyframes import KeyframeSet
from pipeline.tables.ordering import ranks
from pipeline.tables.window_span import own_second

EMPTY, ROW, PERSON, OBJECT = range(4)
KINDS = np.array(["empty", "row", "person", "object"], object)


@dataclass(frozen=True, eq=False)
class SeenPlaces:
    """What the places of a layer stand for, for K keyframes with L places each."""

    kind: NDArray[np.int64]  # [K, L], EMPTY, ROW, PERSON or OBJECT
    time_seconds: FloatArray  # [K, L], NaN where nothing is known
    boxes_xyxy: NDArray[np.float64]  # [K, L, 4], NaN likewise
    score: FloatArray  # [K, L], NaN likewise

    @classmethod
    def nothing(cls, keyframes: int, places: int) -> "SeenPlaces":
        """Return empty places."""
        shape = (keyframes, places)
        return cls(np.full(shape, EMPTY), *(np.full(each, np.nan) for each in (shape, (*shape, 4), shape)))

    def fill(self, at: tuple[IntArray, IntArray], kind: int, time: FloatArray, rows: tuple[FloatArray, ...]) -> None:
        """Write the time, boxes and scores of things of one kind to the places `at`."""
        self.kind[at], self.time_seconds[at], self.boxes_xyxy[at] = kind, time, rows[0]
        self.score[at] = rows[1] if len(rows) > 1 else np.nan

    def since(self, place: int) -> "SeenPlaces":
        """Return the places from one on."""
        return SeenPlaces(
            self.kind[:, place:], self.time_seconds[:, place:], self.boxes_xyxy[:, place:], self.score[:, place:]
        )


@dataclass(frozen=True, eq=False)
class ScoredScene:
    """The scored persons of K keyframes, and what there was to look at."""

    video_ids: list[str]
    timestamp: FloatArray
    time_seconds: FloatArray
    starts: IntArray
    "[K + 1]: keyframe k has the persons from starts[k] to starts[k + 1]."
    boxes_xyxy: FloatArray
    source: WindowSource | None
    "The windows, with their banks; None for a head that reads none."
    objects: SeenPlaces | None
    "The objects of each keyframe; None for a head that reads none."

    def seen_by(self, looker: Looker) -> SeenPlaces:
        """Return what the places of a layer stand for."""
        if looker.block == "P":
            return self.persons()
        if looker.block == "O":
            assert self.objects is not None  # else the head has no such block
            return self.objects
        assert self.source is not None
        seen = self._window(self.source)
        if looker.own_slots is not None:
            _seat(seen, self.persons(), looker.own_slots)
        return seen.since(looker.first_slot)

    def persons(self) -> SeenPlaces:
        """Return the persons of each keyframe, in their order."""
        counts = np.diff(self.starts)
        seen = SeenPlaces.nothing(len(counts), int(counts.max(initial=0)))
        keyframe = np.repeat(np.arange(len(counts)), counts)
        place = np.arange(self.starts[-1]) - self.starts[keyframe]
        seen.fill((keyframe, place), PERSON, self.time_seconds[keyframe], (self.boxes_xyxy,))
        return seen

    def _window(self, source: WindowSource) -> SeenPlaces:
        """Return the rows in the slots of each keyframe's window, as `Windows.slots` chooses them."""
        window = source.window
        own, seconds, places = own_second(window.seconds, window.span), window.seconds, window.per_second
        seen = SeenPlaces.nothing(len(self.video_ids), seconds * places)
        ids = np.array(self.video_ids, object)
        for video in dict.fromkeys(self.video_ids):
            bank = next((each for each in source.banks if video in each.videos), None)
            if bank is None:
                continue
            at = np.flatnonzero(ids == video)
            first = np.floor(self.timestamp[at]).astype(np.int64) - own
            stored, index = index_rows(bank, video, source.windows.min_score)
            starts, _ = index.find(first, seconds)
            # Of the windows themselves: they may know only the past.
            _, counts = source.windows.find([video] * len(at), first, seconds)
            if window.exclude_keyframe:
                counts[:, own] = 0
            where, second, rank = np.nonzero(np.arange(places) < np.minimum(counts, places)[:, :, None])
            row, keyframe = stored[starts[where, second] + rank], at[where]
            timestamp, *known = _columns(bank, video, row)
            time = self.time_seconds[keyframe] + (timestamp - self.timestamp[keyframe])
            seen.fill((keyframe, second * places + rank), ROW, time, tuple(known))
        return seen


def scene_of(scored: Sequence[ScoredKeyframe], source: WindowSource | None, objects: SeenPlaces | None) -> ScoredScene:
    """Return the scene of keyframes, which may lack persons; `objects` are theirs, in the same order."""
    keyframes = [each.keyframe for each in scored]
    counts = [len(each.boxes_xyxy) for each in scored]
    return ScoredScene(
        [each.video_id for each in keyframes],
        np.array([each.timestamp for each in keyframes], float),
        np.array([each.time_seconds for each in keyframes], float),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.concatenate([np.empty((0, 4)), *(each.boxes_xyxy for each in scored)]),
        source,
        objects,
    )


def objects_seen(bank: Bank, keyframes: KeyframeSet, settings: ObjectSettings) -> SeenPlaces:
    """Return the objects of each keyframe in a bank, in the order of `objects_at`."""
    places = rows_at(bank, keyframes, "objects")
    if places.score is not None:
        places = places.take(places.score >= np.float32(settings.score))
    seen = SeenPlaces.nothing(len(keyframes), settings.per_keyframe)
    rank = ranks(places.keyframe)
    best = places.take(rank < settings.per_keyframe)
    score = np.full(len(best.row), np.nan) if best.score is None else best.score
    at = (best.keyframe, ranks(best.keyframe))
    seen.fill(at, OBJECT, keyframes.time_seconds[best.keyframe], (best.boxes_xyxy, score))
    return seen


def object_boxes_seen(keyframes: KeyframeSet) -> SeenPlaces | None:
    """Return the objects whose boxes go with the clips of keyframes with a person; None where no objects are read."""
    if keyframes.objects_xyxy is None:
        return None
    keyframes = keyframes.select(np.flatnonzero(np.diff(keyframes.proposal_offsets)))  # others have no clip
    assert keyframes.objects_xyxy is not None
    boxes = keyframes.objects_xyxy
    seen = SeenPlaces.nothing(*boxes.shape[:2])
    keyframe, place = np.nonzero(~np.isnan(boxes[:, :, 0]))
    at = (keyframe.astype(np.int64), place.astype(np.int64))
    seen.fill(at, OBJECT, keyframes.time_seconds[keyframe], (boxes[at],))
    return seen


def _columns(bank: Bank, video: str, row: IntArray) -> list[FloatArray]:
    """Return timestamp, box and score of some detections; NaN where a bank has none."""
    timestamp, boxes, score = (bank.column(video, "detections", name) for name in ("timestamp", "boxes_xyxy", "score"))
    assert timestamp is not None  # every bank has it
    none = np.full((len(row), 4), np.nan)
    return [
        timestamp[row], none if boxes is None else boxes[row], none[:, 0] if score is None else score[row]
    ]  # fmt: skip


def _seat(seen: SeenPlaces, persons: SeenPlaces, slots: slice) -> None:
    """Put the keyframe's persons into its own second, as AIA does; of more persons than slots the first ones."""
    kept = min(slots.stop - slots.start, persons.kind.shape[1])
    for ours, theirs in zip(vars(seen).values(), vars(persons).values(), strict=True):
        ours[:, slots] = EMPTY if ours is seen.kind else np.nan
        ours[:, slots.start : slots.start + kept] = theirs[:, :kept]
