"""Generated in the layouts that AlphAction (DATA.md, its box loader) and COCO document."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.boxes.formats_of_boxes import read_box_files
from pipeline.boxes.json_boxes import ALPHACTION_JSON, COCO_RESULTS, COCO_SCORED
from tests.boxes.files import bare, good, labels, read_one, told

IMAGE: dict[str, Any] = {"id": 10902, "movie": "v1", "timestamp": 902, "width": 200, "height": 100}
LIST = {"images": [IMAGE, {**IMAGE, "id": 10903, "timestamp": 903}, {**IMAGE, "id": 20902, "movie": "v2"}]}
BOX = {"image_id": 10902, "bbox": [20, 10, 40, 50], "score": 0.75}
NORMALISED = (0.1, 0.1, 0.3, 0.6)


def test_boxes_of_alphaction(tmp_path: Path) -> None:
    """A box of 200 x 100 pixels at 0, 0 is the whole frame: the last pixel, x + w - 1, is inside."""
    truth = {**LIST, "annotations": [{"image_id": 10902, "bbox": [0, 0, 1, 1], "action_ids": [1], "category_id": 1}]}
    whole = {**BOX, "bbox": [0, 0, 200, 100], "score": 1}
    rows = read_one(tmp_path, ava_json=truth, persons_json=[BOX, whole])
    assert rows.format == ALPHACTION_JSON
    assert told(rows) == []
    assert good(rows) == [("v1", 902.0, *NORMALISED, 0.75), ("v1", 902.0, 0.0, 0.0, 1.0, 1.0, 1.0)]
    assert bare(rows) == [("v1", 903.0)], "an image of a video that has boxes; of v2 the file says nothing"


def test_results_of_coco_with_other_categories(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "frames/v1/0902.jpg", "width": 200, "height": 100}]
    people = {"image_id": 1, "category_id": 1, "bbox": [20.0, 10.0, 40.0, 50.0], "score": 0.75}
    rows = read_one(tmp_path, list_json={"images": images}, results_json=[people, {**people, "category_id": 18}])
    assert rows.format == COCO_RESULTS
    assert good(rows) == [("v1", 902.0, *NORMALISED, 0.75)] * 2
    assert labels(rows) == [None, "category 18"]
    assert rows.note == "1 boxes of other categories than person (1) are objects"
    (tmp_path / "list.json").write_text(json.dumps({"images": images, "categories": [{"id": 18, "name": "dog"}]}))
    (again,) = read_box_files(tmp_path).rows.values()
    assert labels(again) == [None, "dog"]


def test_a_category_id_that_is_none(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "frames/v1/0902.jpg", "width": 200, "height": 100}]
    dog = {"image_id": 1, "category_id": [18], "bbox": [20.0, 10.0, 40.0, 50.0], "score": 0.75}
    rows = read_one(tmp_path, list_json={"images": images}, results_json=[dog])
    assert told(rows) == ["results.json: box 1: found category_id '[18]', expected the id of a category"]


def test_an_image_with_objects_alone_shows_nobody(tmp_path: Path) -> None:
    boxes = [{**BOX, "category_id": 1}, {**BOX, "image_id": 10903, "category_id": 3}]
    rows = read_one(tmp_path, list_json=LIST, results_json=boxes)
    assert labels(rows) == [None, "category 3"]
    assert bare(rows) == [("v1", 903.0)]


def test_the_list_of_categories_says_which_is_person(tmp_path: Path) -> None:
    categories = [{"id": 0, "name": "car"}, {"id": 7, "name": "Person"}]
    boxes = [{**BOX, "category_id": 7}, {**BOX, "category_id": 1}]
    rows = read_one(tmp_path, list_json={**LIST, "categories": categories}, results_json=boxes)
    assert labels(rows) == [None, "category 1"]


def test_a_coco_file_with_scored_annotations_brings_its_images(tmp_path: Path) -> None:
    rows = read_one(tmp_path, a_json={**LIST, "annotations": [{**BOX, "category_id": 1}]})
    assert rows.format == COCO_SCORED
    assert good(rows) == [("v1", 902.0, *NORMALISED, 0.75)]
    assert bare(rows) == [("v1", 903.0), ("v2", 902.0)]


BAD: list[tuple[Any, str]] = [
    (5, "box 2: found a int, expected a dict of image_id, bbox (x, y, width, height in pixels) and score"),
    ({**BOX, "image_id": 7}, "box 2: found image_id '7', expected the id of an image of the list"),
    ({**BOX, "image_id": [1]}, "box 2: found image_id '[1]', expected the id of an image of the list"),
    ({**BOX, "bbox": [1, 2, 3]}, "box 2: found bbox '[1, 2, 3]', expected x, y, width, height in pixels"),
    ({**BOX, "bbox": [1, 2, 3, "4"]}, "box 2: found bbox \"[1, 2, 3, '4']\", expected x, y, width, height in pixels"),
    ({"image_id": 10902, "bbox": [1, 2, 3, 4]}, "box 2: found score 'None', expected a number from 0 to 1"),
    ({**BOX, "score": 75}, "box 2: found score 75.0, expected a number from 0 to 1"),
    (
        {**BOX, "bbox": [20, 10, 0, 50]},
        "box 2: found box 20 10 20 60 (left, top, right, bottom) in a frame of 200 x 100, expected a width and a "
        "height above 0",
    ),
    (
        {**BOX, "bbox": [190, 10, 40, 50]},
        "box 2: found box 190 10 230 60 (left, top, right, bottom) in a frame of 200 x 100, expected a box in pixels "
        "inside the frame",
    ),
]


@pytest.mark.parametrize(("entry", "message"), BAD, ids=[message for _, message in BAD])
def test_a_bad_box_is_told(tmp_path: Path, entry: Any, message: str) -> None:
    rows = read_one(tmp_path, list_json=LIST, b_json=[BOX, entry, BOX])
    assert told(rows) == [f"b.json: {message}"]
    assert len(good(rows)) == 2


def test_a_box_up_to_a_pixel_outside_ends_at_the_edge(tmp_path: Path) -> None:
    rows = read_one(tmp_path, list_json=LIST, b_json=[{**BOX, "bbox": [-0.5, 10, 201, 90.75]}])
    assert good(rows) == [("v1", 902.0, 0.0, 0.1, 1.0, 1.0, 0.75)]


VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.just(10902))
BOXES = st.lists(st.one_of(VALUES, st.integers(-5, 300)), max_size=5)
ENTRIES = st.dictionaries(st.sampled_from(["image_id", "bbox", "score", "category_id"]), st.one_of(VALUES, BOXES))


@settings(deadline=None, max_examples=60)
@given(entries=st.lists(st.one_of(ENTRIES, VALUES), max_size=5))
def test_any_list_is_read_or_told(scratch: Path, entries: list[Any]) -> None:
    rows = read_one(scratch, list_json=LIST, b_json=[BOX, *entries])
    assert len(good(rows)) + len(told(rows)) + rows.not_persons == 1 + len(entries)
    for row in good(rows):
        assert 0 <= row[2] < row[4] <= 1
        assert 0 <= row[3] < row[5] <= 1
