import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.annotations.coco import Actions, category_labels, coco_rows
from pipeline.annotations.drafts import DraftsRead
from pipeline.annotations.listed import Listed
from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.errors import InputError
from pipeline.tables.label_map import Label


def image(number: int, stamp: object, **more: object) -> dict:
    """As AlphAction's: 0001 is the film's place in its list, then the second."""
    return {
        "id": 10_000 + number,
        "img_path": f"keyframes/film/{number}.jpg",
        "video_path": f"clips/train/film/{number}.mp4",
        "height": 360,
        "width": 640,
        "movie": "film",
        "timestamp": stamp,
    } | more


def annotation(image_id: int, **more: object) -> dict:
    return {
        "id": image_id * 1000,
        "image_id": image_id,
        "category_id": 1,
        "action_ids": [12, 17],
        "person_id": 4,
        "bbox": [64.0, 36.0, 128.0, 180.0],
        "area": 23040.0,
        "keypoints": [],
        "iscrowd": 0,
    } | more


def read(images: list, annotations: list, **listed: Listed) -> DraftsRead:
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    return coco_rows(Path("ava.json"), content, listed, classes=80, actions=Actions())


def faults(found: DraftsRead) -> list[str]:
    return [str(problem) for problem in found.rows[0].faults.problems()]


def test_the_box_that_ends_a_track_shows_nobody() -> None:
    """Datumaro 1.13.12 hands on CVAT's outside boxes with both attributes; `outside` alone may be somebody's own."""
    gone = {"outside": True, "keyframe": True, "track_id": 0}
    seen = gone | {"outside": False}
    images = [image(902, 902), image(903, 903), image(904, 904)]
    boxes = [(10902, seen), (10903, gone), (10904, {"outside": True})]
    (rows,) = read(images, [annotation(number, action_ids=[12], attributes=each) for number, each in boxes]).rows
    assert (rows.timestamp.tolist(), rows.empty.tolist()) == ([902, 904, 903], [False, False, True])


def test_rows_of_alphaction(tmp_path: Path) -> None:
    found = read([image(902, 902), image(903, 903)], [annotation(10902)])
    (rows,) = found.rows
    assert rows.video_ids == ["film"]
    assert rows.timestamp.tolist() == [902, 902, 903]
    assert rows.action[:2].tolist() == [12, 17]
    assert rows.person[:2].tolist() == [4, 4]
    assert rows.empty.tolist() == [False, False, True]
    # The last pixel is x + width - 1, so that the edge is x + width.
    assert rows.boxes_xyxy[0].tolist() == [0.1, 0.1, 0.3, 0.6]
    assert found.times["film"].first_timestamp == 900


def test_a_whole_frame_is_the_whole_frame() -> None:
    (rows,) = read([image(902, 902)], [annotation(10902, bbox=[0, 0, 640, 360.01])]).rows
    assert rows.boxes_xyxy[0].tolist() == [0, 0, 1, 1]


def test_times_of_own_films() -> None:
    assert read([image(1, 2), image(2, 950)], []).times["film"].first_timestamp == 0
    listed = Listed(first_timestamp=5, offset_seconds=0.5)
    assert read([image(1, 902)], [], film=listed).times["film"].first_timestamp == 5


def test_bad_entries_cost_themselves() -> None:
    images = [image(1, 902), image(2, 902, movie=None), image(3, "x"), image(4, 904, width=0), 7]
    images.append({**image(6, None, movie=None), "file_name": "frame_000012.PNG"})
    annotations = [
        annotation(10001),
        annotation(5),
        annotation(10001, bbox=[1, 2, 3]),
        annotation(10001, action_ids="12"),
        annotation(10001, action_ids=[81]),
        annotation(10001, person_id="me"),
        annotation(10001, action_ids=[1], bbox=[600, 0, 100, 10]),
        annotation(10006),
    ]
    found = read(images, annotations)
    assert faults(found) == [
        "ava.json: image 2: found no file_name and no movie, expected movie (the film's id) and timestamp (a second of "
        "it), or a file_name VIDEO/TIMESTAMP.jpg",
        "ava.json: image 3: found timestamp 'x', expected a number of seconds",
        "ava.json: image 4: found size 0 x 360, expected width and height in pixels",
        "ava.json: image 5: found no id, expected an image with id, movie, timestamp, width and height",
        "ava.json: image 6: found file_name 'frame_000012.PNG' and no movie and no timestamp, expected movie (the "
        "film's id) and timestamp (a second of it), or a file_name VIDEO/TIMESTAMP.jpg",
        "ava.json: annotation 2: found image_id 5, expected the id of an image",
        "ava.json: annotation 3: found bbox '[1, 2, 3]', expected x, y, width, height in pixels",
        "ava.json: annotation 4: found action_ids '12', expected a list of whole numbers",
        "ava.json: annotation 5: found class 81, expected one of the 80 classes (dataset.classes)",
        "ava.json: annotation 6: found person_id 'me', expected a whole number or nothing",
        "ava.json: annotation 7: found box 0.9375 0 1.09375 0.02777777778, expected coordinates from 0 to 1, as shares "
        "of the frame's width and height",
        "ava.json: annotation 8: found image 6 of the list, which is left out, expected an image with a film and a "
        "time",
    ]
    assert len(found.rows[0].good()) == 2


def test_names_of_images_say_film_and_second(tmp_path: Path) -> None:
    """As `import_boxes` reads them; Datumaro and others write them so."""
    listed = [
        {"id": 1, "width": 640, "height": 360, "file_name": "frames/kitchen/000902.jpg"},
        {"id": 2, "width": 640, "height": 360, "file_name": "street\\903.5.png"},
        {"id": 3, "width": 640, "height": 360, "file_name": "elsewhere/1.jpg", "movie": "hall", "timestamp": 904},
        {"id": 4, "width": 640, "height": 360, "file_name": "elsewhere/905.jpg", "movie": "hall"},
    ]
    found = read(listed, [annotation(number, action_ids=[1]) for number in (1, 2, 3, 4)])
    assert faults(found) == []
    (rows,) = found.rows
    assert [(rows.video_ids[video], at) for video, at in zip(rows.video, rows.timestamp.tolist(), strict=True)] == [
        ("kitchen", 902.0), ("street", 903.5), ("hall", 904.0), ("hall", 905.0),
    ]  # fmt: skip


def test_an_image_twice_is_refused() -> None:
    with pytest.raises(InputError) as error:
        read([image(1, 902), image(1, 903)], [])
    assert str(error.value) == "ava.json: image 2: id 10001 comes a second time"


def test_plain_coco_has_its_actions_as_categories(tmp_path: Path) -> None:
    plain = annotation(10001, category_id=1)
    del plain["action_ids"]
    content = {
        "images": [image(1, 1)],
        "annotations": [plain],
        "categories": [{"id": 0, "name": "walk"}, {"id": 1, "name": "sit"}],
    }
    assert category_labels(content) == [Label(0, "walk", "action"), Label(1, "sit", "action")]
    (tmp_path / "own.json").write_text(json.dumps(content))
    found = import_source(tmp_path, SourceOptions(classes=2))
    assert found.annotations["action_id"].to_pylist() == [2]
    assert [label.name for label in found.labels] == ["walk", "sit"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 12000) | st.floats(allow_nan=False) | st.sampled_from(["film", ""]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "bbox", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(["id", "movie", "timestamp", "width", "height", "image_id", "bbox", "action_ids", "person_id"])


@settings(max_examples=60, deadline=None)
@given(changed=st.dictionaries(KEYS, JSON, max_size=4), entry=JSON)
def test_garbage_is_a_problem(changed: dict, entry: object) -> None:
    images = [image(1, 902), image(2, 903) | changed, entry]
    annotations = [annotation(10001), annotation(10001) | changed, entry]
    try:
        found = read(images, annotations)
    except InputError:  # an id a second time
        return
    (rows,) = found.rows
    good = rows.good()
    assert 12 in rows.action[good]
    boxes = rows.boxes_xyxy[good][~rows.empty[good]]
    assert ((boxes >= 0) & (boxes <= 1)).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def of_attributes(folder: Path, *given: object, categories: tuple[str, ...] = ("person",), **options: Any) -> list:
    """(timestamp, action) of persons with these attributes, one a second."""
    plain = {key: value for key, value in annotation(10001).items() if key != "action_ids"}
    content = {
        "images": [image(n, n) for n in range(1, len(given) + 1)],
        "annotations": [plain | {"image_id": 10_000 + n, "attributes": each} for n, each in enumerate(given, start=1)],
        "categories": [{"id": n, "name": name} for n, name in enumerate(categories, start=1)],
    }
    for n, each in enumerate(content["annotations"]):
        each["category_id"] = n % len(categories) + 1
    (folder / "own.json").write_text(json.dumps(content))
    found = import_source(folder, SourceOptions(**{"classes": 9, **options}))
    assert found.problems == []
    names = {label.id: label.name for label in found.labels}
    of_attributes.last = found  # type: ignore[attr-defined]
    return [(row["timestamp"], names[row["action_id"]]) for row in found.annotations.to_pylist()]


CVAT = {"occluded": False, "rotation": 0.0, "track_id": 4, "keyframe": True}


def test_attributes_name_the_actions(tmp_path: Path) -> None:
    ticked = [
        CVAT | {"walk": True, "sit": False},
        CVAT | {"walk": True, "sit": True},
        CVAT | {"walk": False, "sit": False},
    ]
    assert of_attributes(tmp_path, *ticked) == [(1, "walk"), (2, "sit"), (2, "walk")]
    texts = [CVAT | {"walk": "true", "sit": "false"}, CVAT | {"walk": "false", "sit": "true"}]
    assert of_attributes(tmp_path, *texts) == [(1, "walk"), (2, "sit")]
    assert of_attributes(tmp_path, {"Action": "walk"}, {"Action": "walk,sit"}, {"Action": "sit"}) == [
        (1, "walk"), (2, "sit"), (2, "walk"), (3, "sit"),
    ]  # fmt: skip
    assert of_attributes(tmp_path, ["walk", "sit"], ["walk"]) == [(1, "sit"), (1, "walk"), (2, "walk")]
    pairs = [{"name": "posture", "value": "sit"}, {"name": "hands", "value": "__undefined__"}]
    assert of_attributes(tmp_path, pairs) == [(1, "sit")]
    assert of_attributes(tmp_path, {"posture": "sit", "hands": ["wave", "clap"]}) == [
        (1, "clap"), (1, "sit"), (1, "wave"),
    ]  # fmt: skip
    assert of_attributes(tmp_path, {"posture": "sit", "hands": "wave"}, action_attribute=["hands"]) == [(1, "wave")]


def test_categories_stay_the_actions_where_no_attribute_is_one(tmp_path: Path) -> None:
    assert of_attributes(tmp_path, CVAT, CVAT, categories=("walk", "sit")) == [(1, "walk"), (2, "sit")]
    assert of_attributes.last.notices == []  # type: ignore[attr-defined]
    other = CVAT | {"quality": "good"}
    assert of_attributes(tmp_path, other, other, categories=("walk", "sit")) == [(1, "walk"), (2, "sit")]
    (notice,) = of_attributes.last.notices  # type: ignore[attr-defined]
    assert str(notice.problem) == (
        "own.json: attributes: found quality, which are not read; actions are read from the label, expected those that "
        "name actions in dataset.action_attribute"
    )
    with pytest.raises(InputError, match="found the attributes quality and the label person, and nothing tells"):
        of_attributes(tmp_path, other)
    with pytest.raises(
        InputError, match="found the labels sit, walk and their attributes speed, and nothing tells whether"
    ):
        of_attributes(tmp_path, {"speed": "slow"}, {"speed": "fast"}, categories=("walk", "sit"))


def test_turned_boxes_and_polygons() -> None:
    lying = annotation(10001, bbox=[270, 170, 100, 20], attributes={"rotation": 90.0})
    around = annotation(10002, segmentation=[[64, 36, 128, 36, 128, 72], [200, 40, 210, 40, 210, 60]])
    del around["bbox"]
    masks = [
        annotation(10003, bbox=[], segmentation={"counts": "x", "size": [1, 1]}),
        annotation(10003, bbox=[0, 0, 0, 0]),
    ]
    found = read([image(n, n) for n in (1, 2, 3)], [lying, around, *masks])
    (rows,) = found.rows
    good = [i for i in rows.good() if not rows.empty[i]]
    assert rows.boxes_xyxy[good[0]].tolist() == pytest.approx([310 / 640, 130 / 360, 330 / 640, 230 / 360])
    assert rows.boxes_xyxy[good[2]].tolist() == pytest.approx([64 / 640, 36 / 360, 210 / 640, 72 / 360])
    assert faults(found) == [
        "ava.json: annotation 3: found a shape of segmentation without polygons, expected a box, or a shape with an "
        "inside (polygon, ellipse, mask, skeleton, cuboid)",
        "ava.json: annotation 4: found bbox '[0, 0, 0, 0]', expected x, y, width, height in pixels",
    ]
    assert 3 not in rows.timestamp[rows.good()]  # no keyframe, rather than one that shows nobody
    assert found.sizes == {"film": {(640.0, 360.0)}}


def coco(folder: Path, box: list[float], category: object, **image_keys: object) -> Any:
    content = {
        "images": [{"id": 1.0, "file_name": "film/2.jpg", "width": 640, "height": 360} | image_keys],
        "annotations": [{"id": 1.0, "image_id": 1.0, "bbox": box, "category_id": category}],
        "categories": [{"id": 1.0, "name": "walk"}, {"id": 2.0, "name": "sit"}],
    }
    (folder / "a.json").write_text(json.dumps(content))
    return import_source(folder, SourceOptions(classes=2))


def test_whole_ids_may_be_written_as_fractions(tmp_path: Path) -> None:
    found = coco(tmp_path, [64, 36, 128, 180], 2.0)
    assert (found.annotations["action_id"].to_pylist(), found.problems) == ([2], [])
    assert [label.name for label in found.labels] == ["walk", "sit"]


def test_a_box_of_shares_and_a_category_by_name_are_bad_rows(tmp_path: Path) -> None:
    (bad,) = coco(tmp_path, [0.1, 0.1, 0.2, 0.5], 2).problems
    assert str(bad) == (
        "a.json: annotation 1: found bbox '[0.1, 0.1, 0.2, 0.5]', less than one pixel, expected x, y, width, height in "
        "pixels, no shares of the frame"
    )
    (bad,) = coco(tmp_path, [64, 36, 128, 180], "sit").problems
    assert str(bad) == (
        """a.json: annotation 1: found category_id "'sit'", expected a whole number, the id of a category"""
    )


def test_annotations_without_an_action_are_counted(tmp_path: Path) -> None:
    entry = image(1, 902)
    box = {"image_id": entry["id"], "bbox": [64, 36, 128, 180]}
    content = {"images": [entry], "annotations": [box | {"action_ids": [1]}, box | {"action_ids": []}]}
    (notice,) = coco_rows(tmp_path / "a.json", content, {}, classes=2, actions=Actions()).notices
    assert (notice.kind, notice.count, notice.problem.item) == ("without-action", 1, "annotation 2")


def test_no_image_is_told_before_the_number_of_classes(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        content = {
            "images": [{"id": 1, "file_name": "frame_000012.PNG", "width": 640, "height": 360}],
            "annotations": [{"image_id": 1, "bbox": [1, 2, 30, 40], "category_id": 2}],
            "categories": [{"id": 1, "name": "walk"}, {"id": 2, "name": "sit"}],
        }
        (tmp_path / "a.json").write_text(json.dumps(content))
        import_source(tmp_path, SourceOptions(classes=1))
    assert str(error.value).startswith(f"{tmp_path}: no row can be used: a.json: image 1: found file_name 'frame_")


@pytest.mark.parametrize("categories", [3, 1e20, "person", {"id": 1}, None, [3, "x", None, {"id": "1"}]])
def test_categories_that_are_no_list_of_objects_name_nothing(tmp_path: Path, categories: object) -> None:
    box = {key: value for key, value in annotation(0, category_id=1).items() if key != "action_ids"}
    content = {"images": [image(0, 902)], "annotations": [box], "categories": categories}
    (tmp_path / "own.json").write_text(json.dumps(content))
    assert category_labels(content) == []
    with pytest.raises(InputError) as error:
        import_source(tmp_path, SourceOptions(classes=3))
    assert "\n" not in str(error.value)
