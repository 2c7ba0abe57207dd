"""Read CVAT for video 1.1, and CVAT for images 1.1 of a video task.

CVAT numbers the frames of the source from 0, also in a task that skips frames (`frame_filter`). Its own exports list
every frame at which a person is seen (`keyframe="0"` for frames between those that the user set); a gap in the list is
a frame that was deleted from the task. In files without `keyframe="0"`, boxes are interpolated linearly.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePath
from xml.etree.ElementTree import Element

from pipeline.annotations.archives import Member
from pipeline.annotations.attributes import ActionAttributes, Attribute, Wanted, choose, seen_attributes, typed
from pipeline.annotations.class_ids import NO_ACTION, ClassNames
from pipeline.annotations.drafts import Draft
from pipeline.annotations.drawn_tracks import MOST_FRAMES, AnnotationTask, Box, Track, has_attributes
from pipeline.annotations.media import MEDIA, media_stem
from pipeline.annotations.notices import Notice
from pipeline.annotations.outlines import Sides, around, ellipse
from pipeline.annotations.safe_xml import read_xml
from pipeline.base.errors import InputError
from pipeline.base.problems import Fault, Problem
from pipeline.tables.csv_rows import shown

FORMAT = "CVAT for video 1.1"
IMAGES = "CVAT for images 1.1"
SHAPES = ("box", "polygon", "ellipse", "mask", "skeleton", "cuboid", "polyline", "points")
NO_INSIDE = ("polyline", "points")
SIDES = ("xtl", "ytl", "xbr", "ybr")
UNNAMED = ("annotations", "annotation", "export", "job", "task", "default", "train", "val", "test")
_IMAGE = re.compile(r"(?:.*[_/\\-])?frame_?(\d{1,9})(?:\.\w+)?", re.IGNORECASE)


@dataclass
class _File:
    """What is collected while a file is read."""

    name: str
    video_id: str
    chosen: ActionAttributes
    faults: list[Draft] = field(default_factory=list)

    def fault(self, place: str, found: str, expected: str) -> None:
        self.faults.append(Draft(place, self.video_id, fault=Fault(found, expected)))


def read_task(source: Member, wanted: Wanted, known: ClassNames | None = None) -> AnnotationTask:
    """Read the annotations of one task.

    Args:
        source: annotations.xml of one task, or of a job.
        wanted: `dataset.action_attribute`.
        known: the classes of a label map, if there is one.

    Raises:
        InputError: see `read_xml` and `choose`; or the file holds several tasks, or gives no film or no frame count.
    """
    root = read_xml(Path(str(source)), source.content())
    meta = root.find("meta")
    if root.tag != "annotations" or meta is None:
        raise InputError(f"{source}: the root is <{root.tag}>, expected CVAT's <annotations> with <meta>")
    if len(list(meta.iter("task"))) > 1:
        raise InputError(f"{source}: holds {len(list(meta.iter('task')))} tasks, expected one: export each by itself")
    video_id = _video_id(source, meta)
    tracks, images = root.findall("track"), root.findall("image")
    labels = _labels(meta, tracks, images)
    chosen = choose(str(source), _attributes(meta, root), labels, wanted, known)
    file = _File(source.name, video_id, chosen)
    notices = chosen.notices(source.name)
    if images and not tracks:
        return _of_images(source, file, meta, images, notices)
    start, stop, step = _frames(source, meta)
    read = [_track(each, index, file) for index, each in enumerate(tracks)]
    people = [each for each in read if each.boxes]
    every = [each for each in people if each.every]
    if every and not step:
        gaps = [b.frame - a.frame for each in people for a, b in pairwise(each.boxes)]
        step = min(gaps, default=1)
        # The file does not say where such a task starts: take the first box, so that no earlier frame counts as empty.
        start = start if step < 2 else min(each.boxes[0].frame for each in people)
    step = step or 1
    people = [_closed(each, stop, step) for each in people]
    return AnnotationTask(
        name=source.name,
        where=str(source),
        format=FORMAT,
        video_id=video_id,
        frames=range(start, stop + 1, step),
        step=step,
        own_times=step > 1,
        size=_size(meta),
        fps=_rate(source, meta),
        chosen=chosen,
        tracks=people,
        faults=file.faults,
        notices=[*notices, *_without_attribute(source.name, people, chosen)],
        deleted=_deleted(people, stop, step),
    )


def _video_id(source: Member, meta: Element) -> str:
    """Return the film: `<source>`, a `<name>` that ends like a film, or the name of the file itself."""
    told = next((each.text for each in meta.iter("source") if each.text and each.text.strip()), None)
    if told:
        return PurePath(told.strip().replace("\\", "/")).stem
    names = [_text(each, "name") or "" for kind in ("task", "job") for each in meta.iter(kind)]
    for name in names:
        if PurePath(name).suffix.lower() in MEDIA:
            return media_stem(name)
    own = PurePath(source.name).stem
    if own.lower() in UNNAMED:
        raise InputError(
            f"{source}: names no film (<source>): call it after its film, such as kitchen.xml for kitchen.mp4"
        )
    return own


def _labels(meta: Element, tracks: Sequence[Element], images: Sequence[Element]) -> list[str]:
    """Return the defined labels in their order, then the other labels that are used."""
    # Labels with a parent are points of a skeleton, not persons.
    defined = [_text(each, "name") or "" for each in meta.iter("label") if each.find("parent") is None]
    used = [each.get("label") or "" for each in tracks]
    used += [shape.get("label") or "" for image in images for shape in image if shape.tag in SHAPES]
    return [name for name in dict.fromkeys([*defined, *used]) if name and name.lower() not in NO_ACTION]


def _attributes(meta: Element, root: Element) -> list[Attribute]:
    """Return the attributes that the labels define, then those that only boxes have."""
    used: dict[str, set[str]] = {}
    labels: dict[str, set[str]] = {}
    for owner in [*root.findall("track"), *root.findall("image")]:
        for each in owner.iter("attribute"):
            used.setdefault(each.get("name") or "", set()).add((each.text or "").strip())
        for shape in [owner] if owner.tag == "track" else owner:
            for each in shape.iter("attribute"):
                labels.setdefault(each.get("name") or "", set()).add(shape.get("label") or "")
    found = []
    for label in meta.iter("label"):
        for each in label.iter("attribute"):
            name = _text(each, "name") or ""
            kind = _text(each, "input_type") or ""
            values = (_text(each, "values") or "").split("," if kind == "text" else "\n")
            if kind == "text" and len(values) < 2:  # a default value, not a list of options
                values += sorted(part for value in used.get(name, ()) for part in value.split(","))
            found.append(typed(name, kind, values, frozenset([_text(label, "name") or ""])))
    defined = {each.name for each in found}
    for name in sorted(used.keys() - defined - {""}):
        (one,) = seen_attributes([{name: value} for value in sorted(used[name])])
        found.append(Attribute(name, one.type, one.options, frozenset(labels.get(name, ()))))
    return found


def _frames(source: Member, meta: Element) -> tuple[int, int, int]:
    """Return the first frame, the last frame and the step of the task; the step is 0 if the file gives none."""
    start, stop, count = (_number(meta, name) for name in ("start_frame", "stop_frame", "size"))
    if stop is None and count is None:
        raise InputError(f"{source}: <meta> has no <size> and no <stop_frame>, expected the task's count of frames")
    text = next((each.text or "" for each in meta.iter("frame_filter")), "")
    match = re.search(r"step\s*=\s*(\d{1,9})", text)
    step = int(match[1]) if match else 0
    first = int(start or 0)
    last = int(stop) if stop is not None else first + (int(count or 1) - 1) * (step or 1)
    if not 0 <= first <= last < MOST_FRAMES:
        raise InputError(
            f"{source}: the task has frames {first} to {last}, expected frames from 0 on, below {MOST_FRAMES}"
        )
    return first, last, step


def _rate(source: Member, meta: Element) -> float | None:
    for name in ("fps", "frame_rate"):
        found = _number(meta, name)
        if found is not None:
            if not 0.01 <= found <= 10000:
                raise InputError(f"{source}: <{name}> is {found:g}, expected frames per second, from 0.01 to 10000")
            return found
    return None


def _size(meta: Element) -> tuple[float, float] | None:
    width, height = (_number(meta, f"original_size/{side}") for side in ("width", "height"))
    return (width, height) if width and height and width > 0 and height > 0 else None


def _track(track: Element, index: int, file: _File) -> Track:
    name = track.get("id") or "?"
    keys = file.chosen.attribute_names
    base = {each.get("name") or "": each.text or "" for each in track.findall("attribute")}
    boxes: dict[int, Box] = {}
    every = False
    last: dict[str, str] = {}
    for place, shape in enumerate((each for each in track if each.tag in SHAPES), start=1):
        where = f"track {name}, box {place}" if shape.tag == "box" else f"track {name}, {shape.tag} {place}"
        box = _box(shape, _whole(shape.get("frame")), where, file)
        if box is None:
            continue
        values = {
            key: each.text or "" for each in shape.findall("attribute") if (key := each.get("name") or "") in keys
        }
        last = last if values == last else values  # share one object: thousands of boxes have equal values
        other = boxes.get(box.frame)
        if other and not (other.outside or box.outside) and (other.sides, other.values) != (box.sides, last):
            file.fault(where, f"a second shape at frame {box.frame}", "one shape of a track at a frame")
            continue
        boxes[box.frame] = Box(**{**box.__dict__, "values": last})
        every |= shape.get("keyframe") == "0" or (shape.tag == "skeleton" and _listed(shape))
    person = int(name) if name.isascii() and name.isdecimal() and len(name) < 10 else index
    values = {key: value for key, value in base.items() if key in keys}
    return Track(name, track.get("label") or "", values, [boxes[frame] for frame in sorted(boxes)], every, person)


def _listed(skeleton: Element) -> bool:
    return any(point.get("keyframe") == "0" for point in skeleton)


def _box(shape: Element, frame: int | None, where: str, file: _File) -> Box | None:
    """Return the box around a shape; None, with a fault noted, if it cannot be read."""
    outside = shape.get("outside") == "1"
    if shape.tag in NO_INSIDE and frame is not None:
        return Box(frame, (0.0,) * 4, outside, shape=shape.tag, unread=True)
    sides: Sides | None = None
    degrees = _float(shape.get("rotation")) or 0.0
    if shape.tag == "box":
        sides = _floats(shape.get(key) for key in SIDES)
    elif shape.tag == "polygon":
        points = _points(shape)
        sides = around(points) if points else None
    elif shape.tag == "ellipse":
        numbers = _floats(shape.get(key) for key in ("cx", "cy", "rx", "ry"))
        sides = ellipse((numbers[0], numbers[1]), (numbers[2], numbers[3]), degrees) if numbers else None
    elif shape.tag == "mask":
        numbers = _floats(shape.get(key) for key in ("left", "top", "width", "height"))
        sides = (numbers[0], numbers[1], numbers[0] + numbers[2], numbers[1] + numbers[3]) if numbers else None
    elif shape.tag == "cuboid":
        corners = [f"{corner}{face}" for face in "12" for corner in ("tl", "bl", "tr", "br")]
        xs, ys = (_floats(shape.get(f"{axis}{each}") for each in corners) for axis in "xy")
        sides = around(list(zip(xs, ys, strict=True))) if xs and ys else None
    elif shape.tag == "skeleton":
        points = [point for each in shape if each.get("outside") != "1" for point in _points(each) or []]
        outside = outside or (len(shape.findall("points")) > 0 and not points)
        sides = around(points) if points else (0.0,) * 4 if outside else None
    if frame is None or sides is None:
        keys = ("frame", *(SIDES if shape.tag == "box" else ("points", "rotation")))
        found = ", ".join(f"{key} {shape.get(key)!r}" for key in keys if shape.tag == "box" or shape.get(key))
        file.fault(where, found or f"<{shape.tag}> without numbers", "the number of a frame and four sides")
        return None
    return Box(frame, sides, outside, {}, degrees if shape.tag == "box" else 0.0, shape.tag)


def _closed(track: Track, stop: int, step: int) -> Track:
    """End a last stretch of one frame near the task's end, where CVAT leaves out the box that would end it."""
    last = track.boxes[-1]
    longer = len(track.boxes) > 1 and not track.boxes[-2].outside
    if longer or track.every or last.outside or last.frame + step < stop:
        return track
    return Track(**{**track.__dict__, "boxes": [*track.boxes, Box(last.frame + step, last.sides, outside=True)]})


def _deleted(tracks: Sequence[Track], stop: int, step: int) -> frozenset[int]:
    """Return the frames in gaps of tracks that list every frame, unless another track has a box there."""
    gone: set[int] = set()
    for track in tracks:
        if not track.every:
            continue
        for a, b in pairwise(track.boxes):
            if not a.outside and b.frame - a.frame > step:
                gone.update(range(a.frame + step, b.frame, step))
        last = track.boxes[-1]
        if not last.outside:
            gone.update(range(last.frame + step, stop + 1, step))
    return frozenset(gone.difference(box.frame for track in tracks for box in track.boxes))


def _without_attribute(name: str, tracks: Sequence[Track], chosen: ActionAttributes) -> list[Notice]:
    """Return a notice of the tracks whose label has none of the attributes that name actions."""
    lost = [each for each in tracks if chosen.attributes and not has_attributes(each, chosen)]
    if not lost:
        return []
    found = f"label {', '.join(dict.fromkeys(str(each.label) for each in lost))}"
    expected = f"the attribute {', '.join(sorted(chosen.attribute_names))}"
    return [Notice("label-without-attribute", Problem(name, f"{len(lost)} tracks", found, expected), len(lost))]


def _of_images(
    source: Member, file: _File, meta: Element, images: Sequence[Element], notices: list[Notice]
) -> AnnotationTask:
    """Read the images of a video task, whose names are frame numbers."""
    frames: set[int] = set()
    tracks: list[Track] = []
    sizes: list[tuple[float, float]] = []
    tags = 0
    for image in images:
        name = image.get("name") or ""
        match = _IMAGE.fullmatch(name)
        if not match:
            raise InputError(
                f"{source}: image {shown(name)} names no frame of a film, expected frame_000012, as '{IMAGES}' of a "
                "video task has them; export a task of images as COCO-like JSON, AVA CSV or VIA CSV (docs/datasets.md)"
            )
        frame = int(match[1])
        frames.add(frame)
        size = _floats(image.get(side) for side in ("width", "height"))
        sizes += [(size[0], size[1])] if size and min(size) > 0 else []
        tags += len(image.findall("tag"))
        for place, shape in enumerate((each for each in image if each.tag in SHAPES), start=1):
            tracks += _image_track(shape, frame, f"image {shown(name)}, {shape.tag} {place}", file)
    if tags:
        found = Problem(file.name, f"{tags} tags", "labels of whole frames", "labels of boxes")
        notices = [*notices, Notice("without-box", found, tags)]
    step = min((b - a for a, b in pairwise(sorted(frames))), default=1)
    return AnnotationTask(
        name=file.name,
        where=str(source),
        format=IMAGES,
        video_id=file.video_id,
        frames=sorted(frames),
        step=step,
        own_times=True,
        size=sizes[0] if sizes else _size(meta),
        fps=None,
        chosen=file.chosen,
        tracks=tracks,
        faults=file.faults,
        notices=[*notices, *_without_attribute(file.name, tracks, file.chosen)],
    )


def _image_track(shape: Element, frame: int, where: str, file: _File) -> list[Track]:
    box = _box(shape, frame, where, file)
    if box is None:
        return []
    keys = file.chosen.attribute_names
    values = {key: each.text or "" for each in shape.findall("attribute") if (key := each.get("name") or "") in keys}
    return [Track(where, shape.get("label") or "", values, [box], every=True)]


def _points(shape: Element) -> list[tuple[float, float]] | None:
    found = []
    for pair in (shape.get("points") or "").split(";"):
        numbers = _floats(pair.split(","))
        if numbers is None or len(numbers) != 2:
            return None
        found.append((numbers[0], numbers[1]))
    return found


def _floats(texts: Iterable[str | None]) -> tuple[float, ...] | None:
    """Return the texts as numbers; None if one of them is not a number."""
    found = [_float(each) for each in texts]
    return None if not found or None in found else tuple(each for each in found if each is not None)


def _whole(text: str | None) -> int | None:
    value = _float(text)
    return int(value) if value is not None and value == int(value) and 0 <= value < MOST_FRAMES else None


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
