"""CVAT for video 1.1: tracks of boxes with an attribute that names actions.

CVAT numbers the frames of the source from 0, and keeps a box where a user set it or at every frame. Between two boxes
of a track the sides move linearly, and the last box stays to the end of the task unless a later one is `outside`, as
in CVAT itself. A keyframe lies in the middle of every `keyframe_seconds`; every one of the task is annotated, so that
one without a person is an empty one.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any
from xml.etree.ElementTree import Element

from pipeline.datasets.class_ids import NO_ACTION, ClassNames
from pipeline.datasets.csv_rows import shown
from pipeline.datasets.drafts import Draft, Read, draft_rows, pixel_box, with_empty
from pipeline.datasets.listed import Listed, frame_rate, frame_size
from pipeline.datasets.safe_xml import read_xml
from pipeline.datasets.timelines import Timeline
from pipeline.errors import InputError

FORMAT = "CVAT for video 1.1"
_SMALL = re.compile("[0-9]{1,9}")
# Of one file: a day and a half of film at 60 frames a second, a label in each.
MAX_FRAMES = 8_000_000
MAX_KEYFRAMES = 1_000_000


@dataclass(frozen=True)
class Box:
    """A box of a track."""

    frame: int
    sides: tuple[float, ...]
    outside: bool
    actions: str | None
    "The attribute's text; None where the box does not have it."


@dataclass(frozen=True)
class Track:
    """A person."""

    id: str
    actions: str
    "What holds before a box says otherwise."
    boxes: list[Box]


@dataclass(frozen=True)
class Task:
    """One file."""

    path: Path
    video_id: str
    first_frame: int
    last_frame: int
    size: tuple[float, float] | None
    fps: float | None
    names: list[str]
    "Actions that the labels' definition lists, in its order."
    tracks: list[Track]
    faults: list[Draft]


def read_task(path: Path, attribute: str) -> Task:
    """Read a file.

    Args:
        path: annotations.xml of one task, or of a job.
        attribute: name of the attribute that holds a person's actions: one, or several parted by commas. Where no
            label has it, a track's label is the action.

    Raises:
        InputError: see `read_xml`; or the file is of images or of several tasks.
    """
    root = read_xml(path)
    meta = root.find("meta")
    if root.tag != "annotations" or meta is None:
        raise InputError(f"{path}: the root is <{root.tag}>, expected CVAT's <annotations> with <meta>")
    if root.find("image") is not None and root.find("track") is None:
        raise InputError(f"{path}: was exported as 'CVAT for images', expected 'CVAT for video 1.1' (tracks)")
    if len(list(meta.iter("task"))) > 1:
        raise InputError(f"{path}: holds {len(list(meta.iter('task')))} tasks, expected one: export each by itself")
    defined = [each for each in meta.iter("attribute") if _text(each, "name") == attribute]
    used = any(each.get("name") == attribute for track in root.iter("track") for each in track.iter("attribute"))
    if defined or used:
        names = [name for each in defined for name in _values(each)]
    else:
        names = [_text(each, "name") or "" for each in meta.iter("label")]
    faults: list[Draft] = []
    source = next((each.text for each in meta.iter("source") if each.text and each.text.strip()), path.name)
    video_id = PurePath(source.strip().replace("\\", "/")).stem
    tracks = [_track(track, attribute if defined or used else None, video_id, faults) for track in root.iter("track")]
    start = int(_number(meta, "start_frame") or 0)
    step = _step(meta)
    stop = _number(meta, "stop_frame")
    count = _number(meta, "size")
    if stop is None and count is None:
        raise InputError(f"{path}: <meta> has no <size> and no <stop_frame>, expected the task's count of frames")
    last = int(stop) if stop is not None else start + (int(count or 1) - 1) * step
    if not 0 <= start <= last < MAX_FRAMES:
        raise InputError(f"{path}: <meta> tells frames {start} to {last}, expected from 0 on, and below {MAX_FRAMES}")
    width, height = (_number(meta, f"original_size/{side}") for side in ("width", "height"))
    return Task(
        path=path,
        video_id=video_id,
        first_frame=start,
        last_frame=last,
        size=(width, height) if width and height else None,
        fps=_number(meta, "fps") or _number(meta, "frame_rate"),
        names=[name for name in dict.fromkeys(names) if name.lower() not in NO_ACTION],
        tracks=tracks,
        faults=faults,
    )


def cvat_rows(
    task: Task, names: ClassNames, listed: dict[str, Listed], *, classes: int, keyframe_seconds: float
) -> Read:
    """The persons of every keyframe.

    Args:
        task: see `read_task`.
        names: the classes.
        listed: frame rates, and sizes of files that do not tell theirs.
        classes: action ids run from 1 to this.
        keyframe_seconds: seconds from one keyframe to the next; its timestamp is the start of its stretch.

    Raises:
        InputError: the frame rate or the size is unknown.
    """
    where = str(task.path)
    fps = frame_rate(task.video_id, listed, task.fps, where)
    size = frame_size(task.video_id, listed, task.size, where)
    many = (task.last_frame + 1) / fps / keyframe_seconds
    if many > MAX_KEYFRAMES:
        raise InputError(
            f"{where}: {task.last_frame + 1} frames at {fps:g} a second make {many:.3g} keyframes, one every "
            f"{keyframe_seconds:g} s (dataset.keyframe_seconds), expected at most {MAX_KEYFRAMES} of one file"
        )
    drafts, keyframes = list(task.faults), []
    number = 0
    while (frame := int((number + 0.5) * keyframe_seconds * fps + 1e-9)) <= task.last_frame:
        stamp = number * keyframe_seconds
        number += 1
        if frame < task.first_frame:
            continue
        keyframes.append(Draft(f"frame {frame}", task.video_id, stamp))
        for index, track in enumerate(task.tracks):
            found = at_frame(track, frame)
            if found is None:
                continue
            sides, actions = found
            place = f"track {track.id}, frame {frame}"
            person = int(track.id) if _SMALL.fullmatch(track.id) else index
            for action in split_actions(actions, names):
                known = names.find(action)
                fault = None if known else (f"action {shown(action)}", names.expected(action))
                drafts.append(Draft(place, task.video_id, stamp, pixel_box(sides, size), known or 0, person, fault))
    rows = draft_rows(task.path.name, with_empty(drafts, keyframes), classes=classes)
    told = f"{task.path.name}: {FORMAT}: video {task.video_id}, {len(task.tracks)} tracks, {fps:g} frames per second"
    times = {task.video_id: Timeline("", 0.0, keyframe_seconds / 2)}
    return Read(FORMAT, [rows], times, [f"{told}, {len(keyframes)} keyframes"])


def at_frame(track: Track, frame: int) -> tuple[tuple[float, ...], str] | None:
    """Box and actions of a track at a frame; None where it is not seen."""
    after = bisect_right([box.frame for box in track.boxes], frame)
    if after == 0 or track.boxes[after - 1].outside:
        return None
    before = track.boxes[after - 1]
    actions = next((box.actions for box in reversed(track.boxes[:after]) if box.actions is not None), track.actions)
    if after == len(track.boxes):
        return before.sides, actions
    following = track.boxes[after]
    share = (frame - before.frame) / (following.frame - before.frame)
    return tuple(a + (b - a) * share for a, b in zip(before.sides, following.sides, strict=True)), actions


def split_actions(found: str | Sequence[str], names: ClassNames) -> Sequence[str]:
    """The names in a list, or in a text parted by commas that is no class itself; without what stands for none."""
    if isinstance(found, str):
        found = [found] if names.find(found) else found.split(",")
    return [name for name in dict.fromkeys(map(str.strip, found)) if name.lower() not in NO_ACTION]


def _track(track: Element, attribute: str | None, video_id: str, faults: list[Draft]) -> Track:
    name = track.get("id") or "?"
    base = track.get("label") or "" if attribute is None else ""
    for each in track.findall("attribute"):
        if each.get("name") == attribute:
            base = each.text or ""
    boxes: dict[int, Box] = {}
    for place, box in enumerate(track.findall("box"), start=1):
        values: list[Any] = [_float(box.get(key)) for key in ("frame", "xtl", "ytl", "xbr", "ybr")]
        if any(value is None for value in values) or values[0] != int(values[0]) or values[0] < 0:
            found = ", ".join(f"{key} {box.get(key)!r}" for key in ("frame", "xtl", "ytl", "xbr", "ybr"))
            faults.append(
                Draft(f"track {name}, box {place}", video_id, fault=(found, "the number of a frame and four sides"))
            )
            continue
        actions = next((each.text or "" for each in box.findall("attribute") if each.get("name") == attribute), None)
        frame = int(values[0])
        boxes[frame] = Box(frame, tuple(values[1:]), box.get("outside") == "1", actions)
    return Track(name, base, [boxes[frame] for frame in sorted(boxes)])


def _values(attribute: Element) -> list[str]:
    """The options of an attribute, one a line; a text attribute has its default there, parted by commas."""
    text = _text(attribute, "values") or ""
    return [name.strip() for name in text.split("," if _text(attribute, "input_type") == "text" else "\n")]


def _step(meta: Element) -> int:
    text = next((each.text or "" for each in meta.iter("frame_filter")), "")
    number = text.partition("step=")[2].strip()
    return max(1, int(number)) if _SMALL.fullmatch(number) else 1


def _text(element: Element, name: str) -> str | None:
    found = element.find(name)
    return None if found is None else (found.text or "").strip()


def _number(meta: Element, name: str) -> float | None:
    return _float(next((each.text for each in meta.findall(f".//{name}")), None))


def _float(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) < 1e9 else None
