"""Generated in the layout of Detectron's `detections.pkl`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base.errors import InputError
from pipeline.boxes.detectron import DETECTRON_PICKLE, LAYOUT
from pipeline.boxes.images import EXPECTED
from tests.boxes.files import bare, good, read_one, told

IMAGES: list[dict[str, Any]] = [
    {"id": 2, "file_name": "v1/0903.jpg", "width": 200, "height": 100},
    {"id": 1, "file_name": "v1/0902.jpg", "width": 200, "height": 100},
]
BOX = np.array([[20, 10, 59, 59, 0.75]], np.float32)
NORMALISED = (0.1, 0.1, 0.3, 0.6)


def test_persons_in_the_order_of_the_ids_of_the_list_beside(tmp_path: Path) -> None:
    """The last pixel of a box is inside: 0 0 199 99 is the whole frame."""
    whole = np.array([[0, 0, 199, 99, 1]], np.float32)
    boxes = [[[], []], [np.concatenate([BOX, whole]), []], [BOX, BOX]]
    rows = read_one(tmp_path, detections_pkl={"all_boxes": boxes, "cfg": "MODEL: x"}, list_json={"images": IMAGES})
    assert rows.format == DETECTRON_PICKLE
    assert told(rows) == []
    assert good(rows) == [("v1", 902.0, *NORMALISED, 0.75), ("v1", 902.0, 0.0, 0.0, 1.0, 1.0, 1.0)]
    assert bare(rows) == [("v1", 903.0)]


def test_images_of_the_same_file_are_in_its_order(tmp_path: Path) -> None:
    roidb = [{"image": "/data/v1/0903.jpg", "width": 200, "height": 100}, {**IMAGES[1], "image": "no"}]
    rows = read_one(tmp_path, a_pkl={"all_boxes": [[], [BOX, np.zeros((0, 5))]], "roidb": roidb})
    assert good(rows) == [("v1", 903.0, *NORMALISED, 0.75)]
    assert bare(rows) == [("v1", 902.0)]


def test_a_bad_array_is_told(tmp_path: Path) -> None:
    content = {"all_boxes": [[], [np.zeros((1, 4)), "x"]], "images": IMAGES}
    assert told(read_one(tmp_path, a_pkl=content)) == [
        "a.pkl: image 1: found an array of shape (1, 4), expected an array (N, 5)",
        "a.pkl: image 2: found a str, expected an array (N, 5)",
    ]


REFUSED: list[tuple[Any, str]] = [
    ([1, 2], f"found no such lists, expected {LAYOUT}"),
    ({"all_boxes": [[]]}, f"found no such lists, expected {LAYOUT}"),
    (
        [[], [BOX]],
        "detectron_pickle: found boxes in pixels and no list of images, expected `images` beside `all_boxes`, or a "
        f"JSON file with `images` of {EXPECTED}",
    ),
    ({"all_boxes": [[], [BOX]], "images": IMAGES}, "found boxes of 1 images, expected 2 as in the list of images"),
    ({"all_boxes": [[], [BOX]], "images": {}}, "found a dict of images, expected a list"),
]


@pytest.mark.parametrize(("content", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_another_layout_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        read_one(tmp_path, a_pkl=content)
    assert str(error.value) == f"{tmp_path / 'a.pkl'}: {message}"
