"""Read COCO-like JSON as AlphAction writes it for AVA: images with film and second, boxes with lists of action ids.

`images`: id, movie (or video_id), timestamp, width, height; `annotations`: image_id, bbox (x, y, width, height in
pixels, so that the right edge is x + width), action_ids from 1 on, optionally person_id. An image without annotations
is a keyframe that shows nobody. Where action_ids are absent, the actions are the `attributes` that CVAT and others
write (`attributes.py`), else the `category_id` of `categories`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.annotations.attributes import NAMED, ActionAttributes, Wanted, actions_of, choose, seen_attributes
from pipeline.annotations.class_ids import ClassNames, spelt
from pipeline.annotations.drafts import Draft, DraftsRead, draft_rows, pixel_box, with_empty
from pipeline.annotations.drawn_tracks import NO_INSIDE
from pipeline.annotations.listed import Listed
from pipeline.annotations.notices import without_action
from pipeline.annotations.outlines import Sides, around, clipped, turned
from pipeline.base.errors import InputError
from pipeline.base.problems import Fault
from pipeline.tables.csv_rows import is_number, shown
from pipeline.tables.film_ids import has_ending
from pipeline.tables.label_map import MAX_CLASS_ID, Label
from pipeline.tables.timelines import AVA_FIRST_TIMESTAMP, Timeline

FORMAT = "COCO-like JSON (AlphAction)"
IMAGES = (".jpg", ".jpeg", ".png")
IMAGE_EXPECTED = "movie (the film's id) and timestamp (a second of it), or a file_name VIDEO/TIMESTAMP.jpg"
STAMP = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")
# Attributes that exporters add on their own.
TECHNICAL = frozenset((
    "occluded", "rotation", "track id", "keyframe", "outside", "iscrowd", "is crowd", "z order",
    "group", "group id", "score", "source", "area",
))  # fmt: skip


@dataclass(frozen=True)
class Actions:
    """How the file names its actions."""

    chosen: ActionAttributes = field(default_factory=ActionAttributes)
    "Empty if actions are action_ids or categories."
    names: ClassNames = field(default_factory=lambda: ClassNames([]))
    first_id: int = 1


def is_coco(content: Any) -> bool:
    """Return whether the content of a JSON file is COCO-like."""
    return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in ("images", "annotations"))


def has_scores(content: dict[str, Any]) -> bool:
    """Return whether the annotations of a COCO file are detector boxes with scores, and not ground truth."""
    boxes = content.get("annotations")
    return isinstance(boxes, list) and any(isinstance(each, dict) and "score" in each for each in boxes[:10])


def are_persons_alone(content: dict[str, Any]) -> bool:
    """Return whether the file holds only person boxes with scores: no action ids, and no category but person."""
    names = {str(each.get("name") or "").lower() for each in _categories(content)}
    acted = any(isinstance(each, dict) and "action_ids" in each for each in content["annotations"])
    return has_scores(content) and not acted and names <= {"person"}


def with_whole_ids(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content with ids such as 1.0 as integers; pandas and R write integers so."""
    lists = {
        key: [_whole_ids(each) for each in content[key]]
        for key in ("images", "annotations", "categories")
        if isinstance(content.get(key), list)
    }
    return content | lists


def _whole_ids(each: Any) -> Any:
    keys = ("id", "image_id", "category_id")
    if not isinstance(each, dict) or not any(isinstance(each.get(key), float) for key in keys):
        return each
    return each | {key: int(each[key]) for key in keys if isinstance(each.get(key), float) and _whole(each[key])}


def category_labels(content: dict[str, Any], where: str = "categories") -> list[Label]:
    """Return the actions that the categories name; none if boxes have action_ids, as categories are then persons.

    Raises:
        InputError: an id is larger than a class can have; the message begins with `where`.
    """
    if any(isinstance(each, dict) and "action_ids" in each for each in content["annotations"]):
        return []
    named = _categories(content)
    large = next((each for each in named if isinstance(each.get("id"), int) and each["id"] > MAX_CLASS_ID), None)
    if large is not None:
        raise InputError(f"{where}: category id {shown(str(large['id'])[:99])}, expected at most {MAX_CLASS_ID}")
    return [
        Label(each["id"], str(each["name"]), "action")
        for each in named
        if isinstance(each.get("id"), int) and each["id"] >= 0 and str(each.get("name") or "").strip()
    ]


def _categories(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the categories that are JSON objects; empty if the file has no list of categories."""
    listed = content.get("categories")
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def choose_actions(path: Path, content: dict[str, Any], wanted: Wanted, known: ClassNames | None) -> ActionAttributes:
    """Choose the attributes that name actions; none if action_ids or categories do.

    Raises:
        InputError: see `choose`.
    """
    annotations = [each for each in content["annotations"] if isinstance(each, dict)]
    if any("action_ids" in each for each in annotations):
        return ActionAttributes()
    names = {
        each["id"]: str(each.get("name") or "") for each in _categories(content) if isinstance(each.get("id"), int)
    }
    ids = [each.get("category_id") for each in annotations]
    used = [names.get(each, "") if _hashable(each) else "" for each in ids]
    labels = [name for name in dict.fromkeys(names.values()) if name and name in used]
    seen = seen_attributes([_values(each) for each in annotations], used)
    attributes = [each for each in seen if spelt(each.name) not in TECHNICAL]
    return choose(str(path), attributes, labels, wanted, known)


def _values(each: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an annotation, with keys of the annotation itself that are called action."""
    values = {key: value for key, value in each.items() if spelt(key) in NAMED and isinstance(value, str | list)}
    found = each.get("attributes")
    if isinstance(found, dict):
        values |= {str(key): value for key, value in found.items()}
    for item in found if isinstance(found, list) else []:
        if isinstance(item, dict) and "name" in item:
            values[str(item["name"])] = item.get("value", True)
        elif isinstance(item, str):
            values["attributes"] = [*values.get("attributes", []), item]
    return values


def action_numbers(content: dict[str, Any]) -> list[float]:
    """Return all action ids of the file, unchanged."""
    return [float(number) for each in content["annotations"] for number in _numbers(each) or [] if _whole(number)]


def coco_rows(
    path: Path, content: dict[str, Any], listed: dict[str, Listed], *, classes: int, actions: Actions
) -> DraftsRead:
    """Read the boxes of a file.

    Without `videos.csv`, films start at timestamp 900, as in AVA, if no image is earlier, and at 0 otherwise.

    Raises:
        InputError: two images have one id.
    """
    drafts: list[Draft] = []
    images: dict[Any, tuple[str, float, tuple[float, float]]] = {}
    keyframes = []
    left_out: dict[Any, int] = {}
    idle: list[str] = []
    for place, image in enumerate(content["images"], start=1):
        found, fault = _image(image)
        if fault:
            drafts.append(Draft(f"image {place}", "-", fault=fault))
            left_out |= {image["id"]: place} if isinstance(image, dict) and _hashable(image.get("id")) else {}
            continue
        if image["id"] in images:
            raise InputError(f"{path}: image {place}: id {image['id']} comes a second time")
        images[image["id"]] = found
        keyframes.append(Draft(f"image {place}", found[0], found[1]))
    for place, each in enumerate(content["annotations"], start=1):
        if isinstance(each, dict) and _hashable(each.get("image_id")) and each["image_id"] in left_out:
            found_image = f"image {left_out[each['image_id']]} of the list, which is left out"
            wanted = "an image with a film and a time"
            drafts.append(Draft(f"annotation {place}", "-", fault=Fault(found_image, wanted)))
            continue
        labels = _boxes(f"annotation {place}", each, images, actions)
        idle += [] if labels else [f"annotation {place}"]
        drafts += labels
    rows = draft_rows(path.name, with_empty(drafts, keyframes), classes=classes)
    stamps = [stamp for _, stamp, _ in images.values()]
    first = AVA_FIRST_TIMESTAMP if stamps and min(stamps) >= AVA_FIRST_TIMESTAMP else 0.0
    times = {}
    for video_id in sorted({video_id for video_id, _, _ in images.values()}):
        one = listed.get(video_id, Listed())
        begins = first if one.first_timestamp is None else one.first_timestamp
        times[video_id] = Timeline("", begins, one.offset_seconds or 0.0)
    told = f"{path.name}: {FORMAT}: {len(times)} videos, {len(images)} keyframes; without videos.csv they begin at"
    notices = [*actions.chosen.notices(path.name), *without_action(path.name, idle)]
    read = DraftsRead(FORMAT, [rows], times, [f"{told} timestamp {first:g}"], notices)
    if actions.chosen.attributes:
        read.told.append(f"{path.name}: {actions.chosen.told()}")
    for video_id, _, size in images.values():
        read.sizes.setdefault(video_id, set()).add(size)
    return read


def image_stamps(content: dict[str, Any]) -> list[tuple[str, float]]:
    """Return film and timestamp of every image that can be read."""
    found = [_image(image) for image in content["images"]]
    return [(video_id, stamp) for (video_id, stamp, _), fault in found if not fault]


def keyframe_of(file_name: Any) -> tuple[str, float] | None:
    """Return the film and second that an image name `VIDEO/TIMESTAMP.jpg` gives; None for other names."""
    path = PurePosixPath(str(file_name or "").replace("\\", "/"))
    return (path.parent.name, float(path.stem)) if path.parent.name and STAMP.fullmatch(path.stem) else None


def _unnamed(image: dict[str, Any]) -> str:
    """Describe an image without a film or a second, for a message."""
    missing = " and no ".join(
        name for name, keys in (("movie", ("movie", "video_id")), ("timestamp", ("timestamp",)))
        if all(image.get(key) is None for key in keys)
    )  # fmt: skip
    named = f"file_name {shown(str(image['file_name']))}" if image.get("file_name") else "no file_name"
    return f"{named} and no {missing}"


def _image(image: Any) -> tuple[tuple[str, float, tuple[float, float]], Fault | None]:
    nothing = ("", 0.0, (0.0, 0.0))
    if not isinstance(image, dict) or not isinstance(image.get("id"), int | str):
        return nothing, Fault("no id", "an image with id, movie, timestamp, width and height")
    movie, stamp = image.get("movie", image.get("video_id")), image.get("timestamp")
    if movie is None or stamp is None:
        named = keyframe_of(image.get("file_name"))
        if named is None:
            return nothing, Fault(_unnamed(image), IMAGE_EXPECTED)
        movie, stamp = named[0] if movie is None else movie, named[1] if stamp is None else stamp
    if not isinstance(movie, str) or not movie:
        return nothing, Fault(f"movie {movie!r}", "the id of a video")
    sides: list[Any] = [image.get("width"), image.get("height")]
    if not is_number(stamp):
        return nothing, Fault(f"timestamp {stamp!r}", "a number of seconds")
    width, height = (float(side) if is_number(side) else 0.0 for side in sides)
    if width <= 0 or height <= 0:
        return nothing, Fault(f"size {sides[0]!r} x {sides[1]!r}", "width and height in pixels")
    name = PurePosixPath(movie.replace("\\", "/"))
    video_id = name.stem if has_ending(name.name) or name.suffix.lower() in IMAGES else name.name
    return (video_id, float(stamp), (width, height)), None


def _boxes(place: str, each: Any, images: dict[Any, Any], actions: Actions) -> list[Draft]:
    image = images.get(each.get("image_id")) if isinstance(each, dict) and _hashable(each.get("image_id")) else None
    if image is None:
        found = f"image_id {each.get('image_id')!r}" if isinstance(each, dict) else type(each).__name__
        return [Draft(place, "-", fault=Fault(found, "the id of an image"))]
    video_id, stamp, size = image
    if _is_outside(each):
        return []
    box = _sides(each)
    if box is None:
        return [Draft(place, video_id, stamp, fault=_no_box(each))]
    if min(size) > 2 and 0 < max(box) <= 1:
        found = f"bbox {shown(str(each.get('bbox')))}, less than one pixel"
        return [
            Draft(place, video_id, stamp, fault=Fault(found, "x, y, width, height in pixels, no shares of the frame"))
        ]
    degrees = each.get("rotation", _values(each).get("rotation", 0.0))
    if (is_number(degrees) and degrees % 360) or not _is_box(each.get("bbox")):
        box = clipped(turned(box, float(degrees) if is_number(degrees) else 0.0), size)
    sides = pixel_box(box, size)
    person = each.get("person_id", _values(each).get("track_id"))
    if person is not None and (not _whole(person) or abs(person) >= 2**31):
        return [Draft(place, video_id, stamp, fault=Fault(f"person_id {person!r}", "a whole number or nothing"))]
    person = None if person is None else int(person)
    if actions.chosen.attributes:
        drafts = []
        for action in actions_of(_values(each), "", actions.chosen, actions.names):
            known = actions.names.find(action)
            fault = (
                None if known else Fault(f"action {shown(action)}", actions.names.expected(action), "unknown-action")
            )
            drafts.append(Draft(place, video_id, stamp, sides, known or 0, person, fault))
        return drafts
    numbers = _numbers(each)
    if numbers is None or not all(map(_whole, numbers)):
        return [Draft(place, video_id, stamp, fault=_no_numbers(each))]
    return [
        Draft(place, video_id, stamp, sides, int(number) - actions.first_id + 1, person)
        for number in dict.fromkeys(numbers)
    ]


def _is_outside(each: Mapping[str, Any]) -> bool:
    """Return whether the box ends a CVAT track, which Datumaro exports as these two attributes."""
    values = _values(each)
    return "keyframe" in values and str(values.get("outside")).lower() in ("true", "1")


def _is_box(box: Any) -> bool:
    return isinstance(box, list) and len(box) == 4 and all(map(is_number, box)) and (box[2] != 0 or box[3] != 0)


def _sides(each: Mapping[str, Any]) -> Sides | None:
    """Return the box, or the box around the polygons of the segmentation if there is no box."""
    box, shape = each.get("bbox"), each.get("segmentation")
    if _is_box(box) and isinstance(box, list):
        x, y, width, height = map(float, box)
        return x, y, x + width, y + height
    parts = shape if isinstance(shape, list) else []
    points = [
        (float(x), float(y))
        for part in parts
        if isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0 and all(map(is_number, part))
        for x, y in zip(part[::2], part[1::2], strict=True)
    ]
    return around(points) if points else None


def _no_box(each: Mapping[str, Any]) -> Fault:
    """Return the fault of an annotation without a box."""
    box = each.get("bbox")
    shapes = [key for key in ("segmentation", "keypoints") if each.get(key)]
    if not box and shapes:
        return Fault(f"a shape of {' and '.join(shapes)} without polygons", NO_INSIDE, "shape-not-read")
    return Fault(f"bbox {shown(str(box))}", "x, y, width, height in pixels")


def _no_numbers(each: Mapping[str, Any]) -> Fault:
    if "action_ids" in each:
        return Fault(f"action_ids {shown(str(each['action_ids']))}", "a list of whole numbers")
    return Fault(f"category_id {shown(repr(each.get('category_id')))}", "a whole number, the id of a category")


def _numbers(each: Any) -> list[Any] | None:
    if not isinstance(each, dict):
        return None
    found = each.get("action_ids", [each["category_id"]] if "category_id" in each else None)
    return found if isinstance(found, list) else None


def _whole(value: Any) -> bool:
    return is_number(value) and value == int(value)


def _hashable(value: Any) -> bool:
    return isinstance(value, int | str)
