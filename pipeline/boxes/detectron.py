"""Read person boxes as Detectron stores them: a pickle of `all_boxes[class][image]`, in the order of its images."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.errors import InputError
from pipeline.base.problems import Fault
from pipeline.boxes.box_rows import BoxDraft, BoxRows, draft_box_rows
from pipeline.boxes.images import EXPECTED, Images, read_images
from pipeline.boxes.json_boxes import without_boxes

DETECTRON_PICKLE = "detectron_pickle"
PERSON = 1
"Class 0 is the background."
LAYOUT = "all_boxes[class][image], lists of arrays (N, 5) of x1, y1, x2, y2, score in pixels"


def is_detectron(content: Any) -> bool:
    """Return whether the content of a pickle is Detectron's `all_boxes`, alone or in a dict."""
    return isinstance(content, list) or (isinstance(content, dict) and "all_boxes" in content)


def read_detectron(path: Path, content: Any, images: Images) -> BoxRows:
    """Read the boxes of class 1 (person) of `all_boxes[class][image]`.

    An array (N, 5) holds x1, y1, x2, y2, score. x2 and y2 are the last pixel of the box, so its edge is one pixel
    further. An empty list or array has no box. The images are the entry `images` or `roidb` of the same dict, in its
    order; without it, those of the image list beside the file, sorted by id, which is Detectron's order.

    Raises:
        InputError: the value is not of this layout, there is no image list, or the numbers of images differ.
    """
    classes = content["all_boxes"] if isinstance(content, dict) else content
    if not isinstance(classes, list) or len(classes) < 2 or not all(isinstance(each, list) for each in classes):
        raise InputError(f"{path}: found no such lists, expected {LAYOUT}")
    entry = content if isinstance(content, dict) else {}
    own = next((entry[key] for key in ("images", "roidb") if key in entry), None)
    if own is not None:
        if not isinstance(own, list):
            raise InputError(f"{path}: found a {type(own).__name__} of images, expected a list")
        images = read_images(str(path), [_with_id(place, entry) for place, entry in enumerate(own)])
        ids = list(images)
    else:
        ids = sorted(images, key=lambda number: (isinstance(number, str), number))
    persons = classes[PERSON]
    if not images:
        raise InputError(
            f"{path}: {DETECTRON_PICKLE}: found boxes in pixels and no list of images, expected `images` beside "
            f"`all_boxes`, or a JSON file with `images` of {EXPECTED}"
        )
    if len(persons) != len(ids):
        raise InputError(f"{path}: found boxes of {len(persons)} images, expected {len(ids)} as in the list of images")
    drafts: list[BoxDraft] = []
    for place, (number, boxes) in enumerate(zip(ids, persons, strict=True), start=1):
        image = images[number]
        array = np.asarray(boxes) if isinstance(boxes, np.ndarray) or boxes == [] else None
        if array is None or (array.size and (array.ndim != 2 or array.shape[1] != 5 or array.dtype.kind not in "iuf")):
            found = f"a {type(boxes).__name__}" if array is None else f"an array of shape {array.shape}"
            fault = Fault(found, "an array (N, 5)")
            drafts.append(BoxDraft(f"image {place}", image.video_id, image.timestamp, fault=fault))
            continue
        for row, (x1, y1, x2, y2, score) in enumerate(array.reshape(-1, 5).astype(np.float64).tolist(), start=1):
            edges = (x1, y1, x2 + 1, y2 + 1)
            where = f"image {place}, box {row}"
            drafts.append(BoxDraft(where, image.video_id, image.timestamp, edges, image.size, score))
    return draft_box_rows(path.name, DETECTRON_PICKLE, [*drafts, *without_boxes(drafts, images, every=True)])


def _with_id(place: int, entry: Any) -> Any:
    """Give a roidb entry an id if it has none."""
    return {"id": place, **entry} if isinstance(entry, dict) else entry
