"""COCO-like JSON as AlphAction writes it for AVA: images with a film and a second, boxes with lists of action ids.

`images`: id, movie (or video_id), timestamp, width, height; `annotations`: image_id, bbox (x, y, width, height in
pixels, so that the right edge is x + width), action_ids from 1 on, optionally person_id. An image without annotations
is a keyframe that shows nobody. `categories` with `category_id` stand in for action_ids where these are absent.
"""

from pathlib import Path, PurePath
from typing import Any

from pipeline.datasets.csv_rows import shown
from pipeline.datasets.drafts import Draft, Read, draft_rows, pixel_box, with_empty
from pipeline.datasets.listed import Listed
from pipeline.datasets.timelines import AVA_FIRST_TIMESTAMP, Timeline
from pipeline.errors import InputError
from pipeline.labels import MAX_CLASS_ID, Label

FORMAT = "COCO-like JSON (AlphAction)"
MEDIA = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".jpg", ".jpeg", ".png")


def is_coco(content: Any) -> bool:
    """Whether a JSON file is of this kind."""
    return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in ("images", "annotations"))


def category_labels(content: dict[str, Any], where: str = "categories") -> list[Label]:
    """The actions that the file's categories name; none where boxes have action_ids, and categories are persons.

    Raises:
        InputError: an id is larger than a class can have; the message begins with `where`.
    """
    if any(isinstance(each, dict) and "action_ids" in each for each in content["annotations"]):
        return []
    listed = content.get("categories")
    named = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    large = next((each for each in named if isinstance(each.get("id"), int) and each["id"] > MAX_CLASS_ID), None)
    if large is not None:
        raise InputError(f"{where}: category id {shown(str(large['id'])[:99])}, expected at most {MAX_CLASS_ID}")
    return [
        Label(each["id"], str(each["name"]), "action")
        for each in named
        if isinstance(each.get("id"), int) and each["id"] >= 0 and str(each.get("name") or "").strip()
    ]


def action_numbers(content: dict[str, Any]) -> list[float]:
    """All action ids as they stand there."""
    return [float(number) for each in content["annotations"] for number in _numbers(each) or [] if _whole(number)]


def coco_rows(path: Path, content: dict[str, Any], listed: dict[str, Listed], *, classes: int, first_id: int) -> Read:
    """The boxes of a file.

    Without `videos.csv`, films begin at timestamp 900 where no image is earlier, as AVA's do, and at 0 otherwise.

    Raises:
        InputError: two images have one id.
    """
    drafts: list[Draft] = []
    images: dict[Any, tuple[str, float, tuple[float, float]]] = {}
    keyframes = []
    for place, image in enumerate(content["images"], start=1):
        found, fault = _image(image)
        if fault:
            drafts.append(Draft(f"image {place}", "-", fault=fault))
            continue
        if image["id"] in images:
            raise InputError(f"{path}: image {place}: id {image['id']} comes a second time")
        images[image["id"]] = found
        keyframes.append(Draft(f"image {place}", found[0], found[1]))
    for place, each in enumerate(content["annotations"], start=1):
        drafts += _boxes(f"annotation {place}", each, images, first_id)
    rows = draft_rows(path.name, with_empty(drafts, keyframes), classes=classes)
    stamps = [stamp for _, stamp, _ in images.values()]
    first = AVA_FIRST_TIMESTAMP if stamps and min(stamps) >= AVA_FIRST_TIMESTAMP else 0.0
    times = {}
    for video_id in sorted({video_id for video_id, _, _ in images.values()}):
        one = listed.get(video_id, Listed())
        begins = first if one.first_timestamp is None else one.first_timestamp
        times[video_id] = Timeline("", begins, one.offset_seconds or 0.0)
    told = f"{path.name}: {FORMAT}: {len(times)} videos, {len(images)} keyframes; without videos.csv they begin at"
    return Read(FORMAT, [rows], times, [f"{told} timestamp {first:g}"])


def _image(image: Any) -> tuple[tuple[str, float, tuple[float, float]], tuple[str, str] | None]:
    nothing = ("", 0.0, (0.0, 0.0))
    if not isinstance(image, dict) or not isinstance(image.get("id"), int | str):
        return nothing, ("no id", "an image with id, movie, timestamp, width and height")
    movie = image.get("movie", image.get("video_id"))
    if not isinstance(movie, str) or not movie:
        return nothing, (f"movie {movie!r}", "the id of a video")
    stamp: Any = image.get("timestamp")
    sides: list[Any] = [image.get("width"), image.get("height")]
    if not _real(stamp):
        return nothing, (f"timestamp {stamp!r}", "a number of seconds")
    width, height = (float(side) if _real(side) else 0.0 for side in sides)
    if width <= 0 or height <= 0:
        return nothing, (f"size {sides[0]!r} x {sides[1]!r}", "width and height in pixels")
    name = PurePath(movie)
    video_id = name.stem if name.suffix.lower() in MEDIA else name.name
    return (video_id, float(stamp), (width, height)), None


def _boxes(place: str, each: Any, images: dict[Any, Any], first_id: int) -> list[Draft]:
    image = images.get(each.get("image_id")) if isinstance(each, dict) and _hashable(each.get("image_id")) else None
    if image is None:
        found = f"image_id {each.get('image_id')!r}" if isinstance(each, dict) else type(each).__name__
        return [Draft(place, "-", fault=(found, "the id of an image"))]
    video_id, stamp, size = image
    box, numbers = each.get("bbox"), _numbers(each)
    if not isinstance(box, list) or len(box) != 4 or not all(map(_real, box)):
        return [Draft(place, video_id, stamp, fault=(f"bbox {shown(str(box))}", "x, y, width, height in pixels"))]
    if numbers is None or not all(map(_whole, numbers)):
        return [Draft(place, video_id, stamp, fault=(f"action_ids {shown(str(numbers))}", "a list of whole numbers"))]
    x, y, width, height = map(float, box)
    sides = pixel_box((x, y, x + width, y + height), size)
    person = each.get("person_id")
    if person is not None and (not _whole(person) or abs(person) >= 2**31):
        return [Draft(place, video_id, stamp, fault=(f"person_id {person!r}", "a whole number or nothing"))]
    return [
        Draft(place, video_id, stamp, sides, int(number) - first_id + 1, None if person is None else int(person))
        for number in dict.fromkeys(numbers)
    ]


def _numbers(each: Any) -> list[Any] | None:
    if not isinstance(each, dict):
        return None
    found = each.get("action_ids", [each["category_id"]] if "category_id" in each else None)
    return found if isinstance(found, list) else None


def _real(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def _whole(value: Any) -> bool:
    return _real(value) and value == int(value)


def _hashable(value: Any) -> bool:
    return isinstance(value, int | str)
