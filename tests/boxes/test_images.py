from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import InputError
from pipeline.boxes.images import EXPECTED
from tests.boxes.files import read_one
from tests.boxes.test_json_boxes import BOX, IMAGE, LIST

REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"b_json": [BOX]},
        "b.json: alphaction_json: found boxes in pixels and no list of images, expected beside it a JSON file with "
        f"`images` of {EXPECTED} (AlphAction: its annotation file)",
    ),
    (
        {"l_json": {"images": [{**IMAGE, "width": 0}]}, "b_json": [BOX]},
        "l.json: image 1: found size 0 x 100, expected width and height in pixels",
    ),
    (
        {"l_json": {"images": [{"id": 1, "width": 9, "height": 9, "file_name": "0902.jpg"}]}, "b_json": [BOX]},
        f"l.json: image 1: found file_name '0902.jpg' and no movie and timestamp, expected {EXPECTED}",
    ),
    ({"l_json": {"images": [3]}, "b_json": [BOX]}, f"l.json: image 1: found '3', expected {EXPECTED}"),
    (
        {"l_json": {"images": [IMAGE, IMAGE]}, "b_json": [BOX]},
        "l.json: image 2: id 10902 comes a second time",
    ),
    (
        {"l_json": {"images": [{**IMAGE, "timestamp": "noon"}]}, "b_json": [BOX]},
        "l.json: image 1: found timestamp 'noon', expected a number of seconds",
    ),
    (
        {"l_json": LIST, "m_json": {"images": [{**IMAGE, "movie": "v9"}]}, "b_json": [BOX]},
        "m.json: image 10902 is 'v9' at 902, and in l.json it is 'v1' at 902, expected one image per id; or put the "
        "boxes into the file of their images, as annotations with a score",
    ),
]


@pytest.mark.parametrize(("files", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_lists_that_cannot_be_used_are_refused(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        read_one(tmp_path, **files)
    assert str(error.value).removeprefix(f"{tmp_path}/") == message
