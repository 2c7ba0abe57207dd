"""Objects in a folder of their own: CSV with labels, JSON, pickles; and what is refused."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base.errors import InputError
from pipeline.boxes.box_rows import BoxRows
from pipeline.boxes.formats_of_boxes import OBJECTS_EXPECTED
from pipeline.boxes.importing import BoxImport, import_boxes
from pipeline.boxes.objects import read_objects
from pipeline.tables.timelines import Timeline, timelines_table
from tests.boxes.files import good, labels, told

TIMELINES = timelines_table({"v1": Timeline("train"), "v2": Timeline("val")})
IMAGES = [{"id": 10902, "movie": "v1", "timestamp": 902, "width": 200, "height": 100}]
BOX = {"image_id": 10902, "bbox": [20, 10, 40, 50], "score": 0.75}
ROW = ("v1", 902.0, 0.1, 0.1, 0.3, 0.6, 0.75)


def read(folder: Path, *lists: Path, **files: Any) -> BoxRows:
    """Write `name_ending=content` and give the rows of the only file of objects among them."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        path = folder / name.replace("_", ".")
        if path.suffix == ".csv":
            path.write_text(content)
        elif path.suffix == ".json":
            path.write_text(json.dumps(content))
        else:
            path.write_bytes(pickle.dumps(content))
    (rows,) = read_objects(folder, None, lists).rows.values()
    return rows


def test_a_csv_names_classes_in_place_of_actions(tmp_path: Path) -> None:
    text = "v1,902,0.1,0.1,0.3,0.6,sports ball,0.75\nv1,902,0.1,0.1,0.3,0.6,,0.5\nv1,902,0,0,1,1,Person,0.9\n"
    rows = read(tmp_path / "objects", a_csv=text)
    assert (rows.format, good(rows)[0], labels(rows)) == ("csv_with_labels", ROW, ["sports ball", "object"])
    assert told(rows) == ["a.csv: row 3: found label 'Person', expected an object; persons lie elsewhere"]


def test_boxes_of_alphaction_have_no_class_and_take_the_images_beside_them(tmp_path: Path) -> None:
    rows = read(tmp_path / "objects", list_json={"images": IMAGES}, ava_json=[BOX])
    assert (rows.format, good(rows), labels(rows)) == ("alphaction_json", [ROW], ["object"])


def test_the_images_may_lie_beside_the_persons_or_the_annotations(tmp_path: Path) -> None:
    persons, annotations = tmp_path / "persons", tmp_path / "annotations"
    annotations.mkdir()
    (annotations / "ava.json").write_text(json.dumps({"images": IMAGES}))
    rows = read(tmp_path / "objects", persons, annotations, ava_json=[BOX])
    assert good(rows) == [ROW]


def test_boxes_in_pixels_without_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found boxes in pixels and no list of images, expected beside it a JSON file"):
        read(tmp_path / "objects", ava_json=[BOX])


def test_results_of_coco_leave_persons_out(tmp_path: Path) -> None:
    known = {"images": IMAGES, "categories": [{"id": 1, "name": "person"}, {"id": 37, "name": "sports ball"}]}
    boxes = [{**BOX, "category_id": 37}, {**BOX, "category_id": 1}, {**BOX, "category_id": 38}]
    rows = read(tmp_path / "objects", list_json=known, results_json=boxes)
    assert (rows.format, labels(rows)) == ("coco_results_json", ["sports ball", "category 38"])
    assert rows.note == "1 boxes of persons (1) are left out: objects are read from this folder"
    assert len(rows) == 2


def test_a_pickle_in_the_form_of_proposals(tmp_path: Path) -> None:
    rows = read(tmp_path / "objects", a_pkl={"v1,0902": np.array([[0.1, 0.1, 0.3, 0.6, 0.75]]), "v1,0903": []})
    assert (good(rows), labels(rows)) == ([ROW], ["object"])


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"objects: no such folder of objects \(dataset.objects\)$"):
        read_objects(tmp_path / "objects", None, [])
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects/readme.txt").write_text("nothing")
    with pytest.raises(InputError) as raised:
        read_objects(tmp_path / "objects", None, [])
    assert str(raised.value) == f"{tmp_path}/objects: found readme.txt, expected {OBJECTS_EXPECTED}"
    (tmp_path / "objects/det.pkl").write_bytes(pickle.dumps({"all_boxes": [[], []]}))
    with pytest.raises(InputError) as raised:
        read_objects(tmp_path / "objects", None, [])
    expected = f"holds Detectron's boxes of persons, expected {OBJECTS_EXPECTED}"
    assert str(raised.value) == f"{tmp_path}/objects/det.pkl: {expected}"
    with pytest.raises(InputError) as raised:
        read_objects(tmp_path / "objects", None, [tmp_path / "objects"])
    assert str(raised.value) == (
        f"{tmp_path}/objects: is the folder of persons (boxes.source) and of objects (dataset.objects), expected two; "
        "a file of COCO's results is read for both, and needs no dataset.objects"
    )


def both(folder: Path, persons: str, objects: str) -> BoxImport:
    for name, text in (("persons", persons), ("objects", objects)):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "a.csv").write_text(text)
    return import_boxes(folder / "persons", TIMELINES, min_score=0.05, objects=folder / "objects")


def test_a_person_and_an_object_may_have_the_same_box(tmp_path: Path) -> None:
    found = both(
        tmp_path, "v1,902,0,0,1,1,,0.9\n", "v1,902,0,0,1,1,tv,0.9\nv1,902,0,0,1,1,tv,0.8\nv2,902,0,0,1,1,,0.01"
    )
    assert [(row["label"], row["score"]) for row in found.boxes.to_pylist()] == [(None, 0.9), ("tv", 0.9)]
    assert (found.objects, found.summary["objects"]) == (1, {"tv": 1})
    assert found.summary["splits"]["train"]["boxes"] == 1
    assert found.summary["splits"]["train"]["objects"] == 1
    assert found.summary["splits"]["val"]["objects"] == 0
    assert sum(found.summary["score_histogram"]["counts"]) == 1


def test_objects_are_no_persons(tmp_path: Path) -> None:
    """A folder of persons without any is refused, whatever objects there are."""
    with pytest.raises(InputError, match=r"persons: no row is a box of a video that the annotations name: a\.csv"):
        both(tmp_path, "x,902,0,0,1,1,,0.9\n", "v1,902,0,0,1,1,tv,0.9\n")
    (tmp_path / "persons/a.csv").unlink()
    (tmp_path / "persons/list.json").write_text(json.dumps({"images": IMAGES}))
    (tmp_path / "persons/r.json").write_text(json.dumps([{**BOX, "category_id": 5}]))
    with pytest.raises(InputError, match="no row is a box of a person: 1 boxes have other classes"):
        import_boxes(tmp_path / "persons", TIMELINES, min_score=0.05)
