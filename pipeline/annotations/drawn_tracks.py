"""Turn persons that CVAT and Label Studio hold as tracks along the frames of a film into rows at keyframes.

Between two boxes of a track the sides are interpolated linearly. The last box stays to the end of the film unless a
later box is `outside`. If every frame of the film was annotated, each stretch of `keyframe_seconds` has a keyframe in
its middle, and one without a person is an empty keyframe. If only single frames were annotated (a task with a frame
step, images, boxes of one frame), these frames are the keyframes, at their own times; of several frames within one
stretch of `keyframe_seconds`, the one nearest to its middle is taken.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from pipeline.annotations.attributes import ActionAttributes, actions_of
from pipeline.annotations.class_ids import ClassNames
from pipeline.annotations.drafts import Draft, DraftsRead, draft_rows, pixel_box, with_empty
from pipeline.annotations.frame_times import TICK, Clock
from pipeline.annotations.listed import Listed, frame_clock, frame_size
from pipeline.annotations.notices import SHOWN, Notice, without_action
from pipeline.annotations.outlines import Sides, clipped, turned
from pipeline.base.errors import InputError
from pipeline.base.problems import Fault, Problem
from pipeline.tables.csv_rows import shown
from pipeline.tables.timelines import Timeline

NO_INSIDE = "a box, or a shape with an inside (polygon, ellipse, mask, skeleton, cuboid)"
# A week and a half at one keyframe per second. More means a wrong frame rate or a wrong count of frames.
MOST_KEYFRAMES = 1_000_000
# Two days at 60 frames per second.
MOST_FRAMES = 10_000_000


@dataclass(frozen=True)
class Box:
    """A box of a track at one frame."""

    frame: int
    sides: Sides
    "In pixels, before the rotation."
    outside: bool = False
    "True if the person is not seen from this frame on."
    values: Mapping[str, Any] = field(default_factory=dict)
    "The attributes that name actions and are set at this box."
    degrees: float = 0.0
    "Clockwise rotation about the centre."
    shape: str = "box"
    "The shape that was drawn; the sides are the box around it."
    unread: bool = False
    "True if the shape has no area, so that it gives no box."


@dataclass(frozen=True)
class Track:
    """One person along the frames of a film."""

    id: str
    label: str | tuple[str, ...]
    "One label, or several."
    values: Mapping[str, Any]
    "Attributes that hold until a box sets others."
    boxes: Sequence[Box]
    "Ascending by frame; not empty."
    every: bool = False
    "True if every frame with the person is listed, so that nothing is interpolated."
    person: int | None = None


@dataclass(frozen=True)
class AnnotationTask:
    """What one file holds of one film."""

    name: str
    "Path below the annotation folder, for problems."
    where: str
    "Full path, for errors."
    format: str
    video_id: str
    frames: Sequence[int]
    "The annotated frames, ascending; not empty."
    step: int
    "Smallest distance between two annotated frames, in frames of the film."
    own_times: bool
    "True if only some frames were annotated: these are the keyframes."
    size: tuple[float, float] | None
    fps: float | None
    tracks: Sequence[Track]
    chosen: ActionAttributes = field(default_factory=ActionAttributes)
    size_is_own: bool = True
    "True if the file itself gives the size."
    faults: Sequence[Draft] = ()
    notices: Sequence[Notice] = ()
    deleted: frozenset[int] = frozenset()
    "Frames that were removed from the task, so that nobody annotated them."


@dataclass(frozen=True)
class Keyframes:
    """The keyframes of a film."""

    frames: list[int]
    stamps: list[float]
    offset_seconds: float
    "A keyframe's time minus its timestamp."
    deleted: int
    "Number of keyframes that are left out because their frame was deleted."


def task_rows(
    tasks: Sequence[AnnotationTask],
    names: ClassNames,
    listed: dict[str, Listed],
    *,
    classes: int,
    keyframe_seconds: float,
) -> DraftsRead:
    """Return the rows of every keyframe of one film.

    Args:
        tasks: the files of the film, each with other frames.
        names: the classes.
        listed: frame rates, and sizes for files that do not give their own.
        classes: action ids run from 1 to this.
        keyframe_seconds: seconds from one keyframe to the next.

    Raises:
        InputError: two files hold the same frames, or the frame rate or the size is unknown.
    """
    tasks = sorted(tasks, key=lambda each: (each.frames[0], each.name))
    video_id = tasks[0].video_id
    _refuse_overlap(tasks)
    clock = frame_clock(video_id, listed, next((each.fps for each in tasks if each.fps), None), tasks[0].where)
    keyframes = _keyframes(tasks, clock, keyframe_seconds)
    read = DraftsRead(tasks[0].format, [], {video_id: Timeline("", 0.0, keyframes.offset_seconds)})
    first_person = 0
    for task in tasks:
        there = [(f, s) for f, s in zip(keyframes.frames, keyframes.stamps, strict=True) if _holds(task, f)]
        size = frame_size(video_id, listed, task.size, task.where)
        drafts, unmet, idle = _drafts(task, there, size, names, first_person)
        empty = [Draft(f"frame {frame}", video_id, stamp) for frame, stamp in there]
        read.rows.append(draft_rows(task.name, with_empty([*task.faults, *drafts], empty), classes=classes))
        first_person = max([first_person, *((each.person or 0) + 1 for each in drafts)])
        read.notices.extend([*task.notices, *_unmet(task, unmet, keyframe_seconds), *without_action(task.name, idle)])
        rate = f"{clock.fps:g} frames per second" + (" on average" if clock.knots else "")
        read.told.append(
            f"{task.name}: {task.format}: video {video_id}, {len(task.tracks)} tracks, {rate}, {len(there)} keyframes"
            f"{f' of {len(task.frames)} annotated frames' if task.own_times else ''}; {task.chosen.told()}"
        )
        if task.size and task.size_is_own:
            read.sizes.setdefault(video_id, set()).add(task.size)
    if keyframes.deleted:
        found = f"{keyframes.deleted} moments of a keyframe in frames that were deleted from the task"
        expected = "annotated frames; there is no keyframe at the others"
        problem = Problem(tasks[0].name, f"video {video_id}", found, expected)
        read.notices.append(Notice("frames-deleted", problem, keyframes.deleted))
    return replace(read, counted=frozenset([video_id]))


def has_attributes(track: Track, chosen: ActionAttributes) -> bool:
    """Return whether a track can have the attributes that name actions; always true if its label names the action."""
    labels = frozenset().union(*(each.labels for each in chosen.attributes))
    own = {track.label} if isinstance(track.label, str) else {*track.label}
    return not labels or bool(own & labels) or bool(track.values) or any(box.values for box in track.boxes)


def at_frame(track: Track, frame: int) -> tuple[Box, Mapping[str, Any]] | None:
    """Return the box of a track at a frame, and the attributes that hold there; None if the person is not seen."""
    after = bisect_right(track.boxes, frame, key=lambda box: box.frame)
    if after == 0 or track.boxes[after - 1].outside:
        return None
    before = track.boxes[after - 1]
    if track.every and before.frame != frame:
        return None
    values = dict(track.values)
    for box in [before] if track.every else track.boxes[:after]:
        values |= box.values
    if after == len(track.boxes) or before.frame == frame or before.unread or track.boxes[after].unread:
        return before, values
    following = track.boxes[after]
    share = (frame - before.frame) / (following.frame - before.frame)
    sides = tuple(a + (b - a) * share for a, b in zip(before.sides, following.sides, strict=True))
    # Rotate by the shorter way, as the tools show it.
    turn = (following.degrees - before.degrees + 180) % 360 - 180
    return Box(frame, sides, degrees=before.degrees + turn * share, shape=before.shape), values


def seen_stretches(track: Track, step: int) -> list[tuple[int, int | None]]:
    """Return the [start, end) frames in which a track is seen; an end of None is the end of the film."""
    found: list[tuple[int, int | None]] = []
    start: int | None = None
    last = 0
    for box in track.boxes:
        gap = track.every and box.frame > last + step
        if start is not None and (box.outside or gap):
            found.append((start, last + step if gap else box.frame))
            start = None
        if start is None and not box.outside:
            start = box.frame
        last = box.frame
    if start is not None:
        found.append((start, last + step if track.every else None))
    return found


def _refuse_overlap(tasks: Sequence[AnnotationTask]) -> None:
    for one, other in pairwise(tasks):
        if other.frames[0] <= one.frames[-1]:
            another = other.where if one.name == other.name else other.name
            raise InputError(
                f"{one.where} and {another}: both hold frames {other.frames[0]} to "
                f"{min(one.frames[-1], other.frames[-1])} of video {one.video_id}, expected each frame in one file: "
                "export the whole task in place of its jobs, or remove one of the files"
            )


def _holds(task: AnnotationTask, frame: int) -> bool:
    return task.frames[0] <= frame <= task.frames[-1]


def _keyframes(tasks: Sequence[AnnotationTask], clock: Clock, seconds: float) -> Keyframes:
    where, last = tasks[-1].where, tasks[-1].frames[-1]
    if clock.seconds(last) / seconds > MOST_KEYFRAMES:
        raise InputError(
            f"{where}: frame {last} at {clock.fps:g} frames per second is {clock.seconds(last):.4g} s into video "
            f"{tasks[0].video_id}, expected at most {MOST_KEYFRAMES} keyframes (dataset.keyframe_seconds {seconds:g})"
        )
    if any(task.own_times or _is_of_single_frames(task) for task in tasks):
        return _own_times(tasks, clock, seconds)
    frames, stamps, deleted, number = [], [], 0, 0
    while (frame := clock.frame((number + 0.5) * seconds)) <= last:
        if any(frame in task.deleted for task in tasks):
            deleted += 1
        elif any(_holds(task, frame) for task in tasks):
            frames.append(frame)
            stamps.append(number * seconds)
        number += 1
    return Keyframes(frames, stamps, seconds / 2, deleted)


def _own_times(tasks: Sequence[AnnotationTask], clock: Clock, seconds: float) -> Keyframes:
    """Return, of each stretch of time, the annotated frame nearest to its middle, at its own time."""
    best: dict[int, tuple[float, int]] = {}
    for task in tasks:
        for frame in _seen_frames(task) if _is_of_single_frames(task) and not task.own_times else task.frames:
            number, middle = divmod(clock.seconds(frame) + TICK, seconds)
            place = (round(abs(middle - seconds / 2), 6), frame)
            if frame not in task.deleted and place < best.get(int(number), (seconds, 0)):
                best[int(number)] = place
    frames = [best[number][1] for number in sorted(best)]
    return Keyframes(frames, [round(clock.seconds(frame), 3) for frame in frames], 0.0, 0)


def _is_of_single_frames(task: AnnotationTask) -> bool:
    """Return whether somebody drew single boxes and no tracks: most stretches are of one frame.

    Not all need be: who corrects single boxes and adds a person may leave the new track open. If that made the middles
    of all seconds keyframes, every second that nobody looked at would be one that shows nobody else.
    """
    count = sum(len(seen_stretches(track, task.step)) for track in task.tracks)
    single = sum(1 for track in task.tracks for each in seen_stretches(track, task.step) if _is_single(each, task))
    return 2 * single > count


def _is_single(stretch: tuple[int, int | None], task: AnnotationTask) -> bool:
    start, end = stretch
    return end is not None and end - start <= task.step


def _seen_frames(task: AnnotationTask) -> list[int]:
    """Return the frames of single boxes."""
    stretches = [each for track in task.tracks for each in seen_stretches(track, task.step)]
    return sorted({each[0] for each in stretches if _is_single(each, task)})


def _drafts(
    task: AnnotationTask,
    there: Sequence[tuple[int, float]],
    size: tuple[float, float],
    names: ClassNames,
    first_person: int,
) -> tuple[list[Draft], list[tuple[int, Track]], list[str]]:
    """Return the labels at a task's keyframes in order, the boxes seen at no keyframe, and persons without action."""
    frames = [frame for frame, _ in there]
    found: list[tuple[int, int, list[Draft]]] = []
    unmet, idle = [], []
    for index, track in enumerate(task.tracks):
        for start, end in seen_stretches(track, task.step):
            low = bisect_left(frames, start)
            high = len(frames) if end is None else bisect_left(frames, end)
            if low == high:
                unmet.append((start, track))
            for place in range(low, high):
                seen = at_frame(track, frames[place])
                if seen is not None:
                    person = None if track.person is None else track.person + first_person
                    labels = _labels(task, track, seen, there[place], size, names, person)
                    found.append((place, index, labels))
                    if not labels and has_attributes(track, task.chosen):
                        idle.append(f"track {track.id}, frame {frames[place]}")
    found.sort(key=lambda each: each[:2])
    return [draft for _, _, drafts in found for draft in drafts], unmet, idle


def _labels(
    task: AnnotationTask,
    track: Track,
    seen: tuple[Box, Mapping[str, Any]],
    keyframe: tuple[int, float],
    size: tuple[float, float],
    names: ClassNames,
    person: int | None,
) -> list[Draft]:
    (box, values), (frame, stamp) = seen, keyframe
    place = f"track {track.id}, frame {frame}"
    if box.unread:
        return [Draft(place, task.video_id, stamp, fault=Fault(f"a shape of {box.shape}", NO_INSIDE, "shape-not-read"))]
    sides = turned(box.sides, box.degrees)
    if box.degrees % 360 or box.shape != "box":
        sides = clipped(sides, size)
    drafts = []
    for action in actions_of(values, track.label, task.chosen, names):
        known = names.find(action)
        fault = None if known else Fault(f"action {shown(action)}", names.expected(action), "unknown-action")
        drafts.append(Draft(place, task.video_id, stamp, pixel_box(sides, size), known or 0, person, fault))
    return drafts


def _unmet(task: AnnotationTask, unmet: Sequence[tuple[int, Track]], seconds: float) -> list[Notice]:
    if not unmet:
        return []
    where = ", ".join(f"track {track.id} at frame {start}" for start, track in unmet[:SHOWN])
    more = ", ..." if len(unmet) > SHOWN else ""
    found = Problem(
        task.name, where + more, f"{len(unmet)} times a person is seen, and at no keyframe",
        f"a time at a keyframe, one in {seconds:g} s (dataset.keyframe_seconds)",
    )  # fmt: skip
    return [Notice("boxes-unmet", found, len(unmet))]
