"""Read image lists in COCO's form: the keyframe and the size of each image, for boxes given in pixels."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from pipeline.annotations.coco import STAMP, keyframe_of
from pipeline.base.errors import InputError
from pipeline.tables.csv_rows import is_number, shown
from pipeline.tables.film_ids import film_of

EXPECTED = "id, width, height, and movie and timestamp or a file_name VIDEO/TIMESTAMP.jpg"


@dataclass(frozen=True)
class Image:
    """One image of an image list: its keyframe and size."""

    video_id: str
    timestamp: float
    size: tuple[float, float]
    "Width and height in pixels."


Images = dict[Hashable, Image]
Categories = dict[Hashable, str]
"Names by id."


def is_image_list(content: Any) -> bool:
    """Return whether a JSON file has an image list, as COCO files and AlphAction's annotations do."""
    return isinstance(content, dict) and isinstance(content.get("images"), list)


def read_images(where: str, entries: Iterable[Any]) -> Images:
    """Return the keyframes of a list of images by image id.

    Args:
        where: the file, for messages.
        entries: dicts with `id`, `width`, `height`, and the keyframe: `movie` (or `video_id`) and `timestamp`, as
            AlphAction has them, or a `file_name` (in a roidb: `image`) that ends in `<video_id>/<timestamp>.jpg`.

    Raises:
        InputError: an entry has another form, or two entries have the same id.
    """
    images: Images = {}
    for place, entry in enumerate(entries, start=1):
        item = f"{where}: image {place}"
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), int | str):
            raise InputError(f"{item}: found {shown(str(entry))}, expected {EXPECTED}")
        if entry["id"] in images:
            raise InputError(f"{item}: id {entry['id']!r} comes a second time")
        images[entry["id"]] = _image(item, entry)
    return images


def join_images(lists: dict[str, Images]) -> Images:
    """Join the image lists of all files of a folder.

    Raises:
        InputError: one id stands for two keyframes, so that the keyframe of a box is ambiguous.
    """
    joined: Images = {}
    source: dict[Hashable, str] = {}
    for name, images in lists.items():
        for number, image in images.items():
            if joined.setdefault(number, image) != image:
                other, first = source[number], joined[number]
                raise InputError(
                    f"{name}: image {number!r} is {image.video_id!r} at {image.timestamp:g}, and in {other} it is "
                    f"{first.video_id!r} at {first.timestamp:g}, expected one image per id; or put the boxes into the "
                    "file of their images, as annotations with a score"
                )
            source.setdefault(number, name)
    return joined


def read_categories(content: dict[str, Any]) -> Categories:
    """Return the names of the `categories` of a COCO file by id; empty if there are none."""
    listed = content.get("categories")
    named = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return {each["id"]: str(each["name"]) for each in named if isinstance(each.get("id"), int | str) and "name" in each}


def person_category(categories: Categories) -> Hashable | None:
    """Return the id of person; None if the categories do not name it."""
    return next((number for number, name in categories.items() if name.lower() == "person"), None)


def _image(item: str, entry: dict[str, Any]) -> Image:
    width, height = (entry.get(side) for side in ("width", "height"))
    if not is_number(width) or not is_number(height) or width <= 0 or height <= 0:
        raise InputError(f"{item}: found size {width!r} x {height!r}, expected width and height in pixels")
    movie, stamp = entry.get("movie", entry.get("video_id")), entry.get("timestamp")
    if movie is None or stamp is None:
        name = str(entry.get("file_name", entry.get("image", "")))
        keyframe = keyframe_of(name)
        if keyframe is None:
            raise InputError(f"{item}: found file_name {shown(name)} and no movie and timestamp, expected {EXPECTED}")
        movie, stamp = keyframe[0] if movie is None else movie, keyframe[1] if stamp is None else stamp
    if not is_number(stamp) and not STAMP.fullmatch(str(stamp)):
        raise InputError(f"{item}: found timestamp {shown(str(stamp))}, expected a number of seconds")
    name = PurePath(str(movie)).name
    return Image(film_of(name), float(stamp), (float(width), float(height)))
