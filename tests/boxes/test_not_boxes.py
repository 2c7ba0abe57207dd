"""Annotations beside boxes: MMAction2's folder, and every format that somebody may give for boxes."""

import json
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.annotations.formats import recognise
from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.errors import InputError
from pipeline.boxes.formats_of_boxes import EXPECTED, read_box_files
from pipeline.boxes.importing import import_boxes

ROW = "a,0902,0.1,0.1,0.5,0.5"
LABELS = 'item { name: "walk" id: 1 }\n'
BOXES = pickle.dumps({"a,0902": np.array([[0.1, 0.1, 0.5, 0.5, 0.9]])})
IMAGE = {"id": 1, "movie": "a", "timestamp": 902, "width": 10, "height": 10}
COCO = {"images": [IMAGE], "annotations": [{"image_id": 1, "bbox": [1, 1, 4, 4], "action_ids": [1]}]}
TUBES: dict[str, Any] = {"gttubes": {}, "labels": [], "resolution": {}, "nframes": {}}
VIA2 = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
CVAT = "<?xml version='1.0'?><annotations><version>1.1</version></annotations>"
IN_CSV = "annotations (rows with action ids and without scores)"


def put(path: Path, content: Any) -> None:
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content)
    else:
        path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("gt.csv", f"{ROW},1,0\n{ROW},2,0\n", IN_CSV),
        ("gt.csv", f"{ROW},1\na,0903\n", IN_CSV),  # without persons
        ("gt.csv", f"{ROW},1,0.0\n{ROW},2,3.0\n", IN_CSV),  # persons as pandas writes them
        ("gt.csv", f"{ROW},1,-1\n", IN_CSV),
        ("multisports_train.csv", "sport/v_x_c001.mp4,1,0.1,0.1,0.5,0.5,1,1\n", IN_CSV),
        ("via.csv", f'{VIA2}a_1.jpg,1,"{{}}",0,0,"{{}}","{{}}"\n', "annotations (VIA)"),
        ("coco.json", COCO, "annotations (COCO-like, without scores)"),
        ("tasks.json", [{"data": {"video": "a.mp4"}, "annotations": []}], "annotations (Label Studio)"),
        ("gt.pkl", pickle.dumps(TUBES), "annotations (a pickle of tubes)"),
        ("pyannot.pkl", pickle.dumps({"x": {"annotations": []}}), "annotations (a pickle of tubes)"),
        ("task.xml", CVAT, "annotations (CVAT)"),
        ("val_excluded_timestamps.csv", "a,0902\n", "excluded keyframes"),
        ("videos.csv", "video_id,split\na,train\n", "a list of films"),
        ("ava_action_list_v2.2_for_activitynet_2019.pbtxt", LABELS, "a label map"),
        ("labelmap.csv", "id,name\n1,walk\n", "a label map"),
        ("ava_included_timestamps_v2.2.txt", "902\n903\n", "a list of AVA's"),
    ],
)
def test_a_file_of_annotations_is_left_out_and_alone_refused(tmp_path: Path, name: str, content: Any, why: str) -> None:
    put(tmp_path / name, content)
    with pytest.raises(InputError) as error:
        read_box_files(tmp_path)
    if why.startswith("annotations"):
        assert str(error.value) == (
            f"{tmp_path}: no boxes of a detector: {name}: {why}. As boxes, annotations would find everybody; expected "
            f"{EXPECTED}, or boxes.detector, which makes them"
        )
    put(tmp_path / "boxes.pkl", BOXES)
    found = read_box_files(tmp_path)
    assert list(found.rows) == ["boxes.pkl"]
    assert found.left_out == [(tmp_path / name, why)]
    assert found.problems == []


def test_an_archive_of_cvat(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "task.zip", "w") as archive:
        archive.writestr("annotations.xml", CVAT)
    with pytest.raises(InputError, match=r"task\.zip: annotations \(CVAT\)"):
        read_box_files(tmp_path)


def write_mmaction2(folder: Path) -> None:
    """`data/ava/annotations` as MMAction2's scripts leave it."""
    folder.mkdir()
    put(folder / "ava_train_v2.1.csv", f"{ROW},1,0\n")
    put(folder / "ava_val_v2.1.csv", "b,0902,0.1,0.1,0.5,0.5,1,0\n")
    put(folder / "ava_train_excluded_timestamps_v2.1.csv", "a,0950\n")
    put(folder / "ava_val_excluded_timestamps_v2.1.csv", "b,0951\n")
    put(folder / "ava_action_list_v2.1_for_activitynet_2018.pbtxt", LABELS)
    put(folder / "ava_action_list_v2.1.pbtxt", LABELS)
    put(folder / "ava_file_names_trainval_v2.1.txt", "a.mkv\n")
    put(folder / "ava_dense_proposals_train.FAIR.recall_93.9.pkl", BOXES)
    put(folder / "ava_dense_proposals_val.FAIR.recall_93.9.pkl", BOXES.replace(b"a,0902", b"b,0902"))


def test_the_folder_of_mmaction2_gives_both_annotations_and_boxes(tmp_path: Path) -> None:
    folder = tmp_path / "annotations"
    write_mmaction2(folder)
    put(folder / "predicted.csv", "a,0902,0.3,0.1,0.5,0.5,,0.8\nb,0902,0.2,0.1,0.5,0.5,,0.7\n")
    annotated = import_source(folder, SourceOptions(classes=1))
    assert (annotated.annotations.num_rows, annotated.problems) == (2, [])
    unread = {path.name: why for path, why in annotated.unread}
    assert {name for name, why in unread.items() if why == "person boxes belong into dataset.proposals"} == {
        "ava_dense_proposals_train.FAIR.recall_93.9.pkl", "ava_dense_proposals_val.FAIR.recall_93.9.pkl",
        "predicted.csv",
    }  # fmt: skip
    found = import_boxes(folder, annotated.timelines, min_score=0.05, annotations=folder)
    assert (found.boxes.num_rows, found.problems) == (4, [])
    assert sorted(found.boxes["score"].to_pylist()) == [0.7, 0.8, 0.9, 0.9]
    assert found.told[1:] == [
        "left out: ava_action_list_v2.1.pbtxt, ava_action_list_v2.1_for_activitynet_2018.pbtxt: a label map",
        "left out: ava_file_names_trainval_v2.1.txt: a list of AVA's",
        "left out: ava_train_excluded_timestamps_v2.1.csv, ava_val_excluded_timestamps_v2.1.csv: excluded keyframes",
        f"left out: ava_train_v2.1.csv, ava_val_v2.1.csv: {IN_CSV}",
    ]


def test_a_file_that_is_read_as_annotations_is_no_file_of_boxes_under_another_name(tmp_path: Path) -> None:
    """COCO with a score beside each action may be either; what `dataset.annotations` reads is no detection."""
    annotations, boxes = tmp_path / "annotations", tmp_path / "boxes"
    annotations.mkdir()
    boxes.mkdir()
    both = {**COCO, "annotations": [{**COCO["annotations"][0], "score": 1.0}]}
    put(annotations / "actions.json", both)
    shutil.copy(annotations / "actions.json", boxes / "persons.json")
    assert list(read_box_files(boxes).rows) == ["persons.json"]
    with pytest.raises(InputError, match=r"persons\.json: the same file as one of the annotations\. As boxes"):
        read_box_files(boxes, annotations)
    put(boxes / "more.pkl", BOXES)
    found = read_box_files(boxes, annotations)
    assert (list(found.rows), [path.name for path, _ in found.left_out]) == (["more.pkl"], ["persons.json"])
    assert list(read_box_files(boxes, tmp_path / "none").rows) == ["more.pkl", "persons.json"]
    # What the folder of annotations does not read is no annotation.
    put(annotations / "more.pkl", BOXES)
    assert "more.pkl" in read_box_files(boxes, annotations).rows


@pytest.mark.parametrize(
    ("text", "is_boxes"),
    [
        (f"{ROW},,0.8\n", True),
        (f"{ROW},,1\n", True),
        (f"{ROW},1,0.8\n{ROW},2,1\n{ROW},2,0.7\n", True),
        (f"{ROW},0.8\n{ROW},1.0\n", True),
        (f"{ROW}\n", True),
        (f"{ROW},1,0\n", False),
        (f"{ROW},1\n", False),
        (f"{ROW},walk\n", False),
        ("a,0902\n", False),
        (f"{ROW},1,0.0\n{ROW},1,2.0\n", False),
    ],
)
def test_rows_of_annotations_and_of_boxes_are_told_apart(tmp_path: Path, text: str, is_boxes: bool) -> None:
    put(tmp_path / "rows.csv", text)
    found = recognise(tmp_path)
    assert ([path.name for path in found.ava] == ["rows.csv"]) is not is_boxes
    assert ([path.name for path, _ in found.unread] == ["rows.csv"]) is is_boxes


def test_persons_with_scores_in_coco_are_no_annotations(tmp_path: Path) -> None:
    persons = {
        "images": [IMAGE],
        "annotations": [{"image_id": 1, "bbox": [1, 1, 4, 4], "category_id": 1, "score": 0.9}],
    }
    put(tmp_path / "persons.json", {**persons, "categories": [{"id": 1, "name": "person"}]})
    assert [why for _, why in recognise(tmp_path).unread] == ["person boxes belong into dataset.proposals"]
    put(tmp_path / "persons.json", {**persons, "categories": [{"id": 1, "name": "walk"}]})
    assert len(recognise(tmp_path).coco) == 1
