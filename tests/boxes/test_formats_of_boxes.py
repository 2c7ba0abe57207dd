from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.boxes.formats_of_boxes import EXPECTED, read_box_files
from tests.boxes.test_importing import A, run, write
from tests.boxes.test_not_boxes import BOXES, COCO, put


def test_images_of_annotations_are_read_where_boxes_ask_for_them_alone(tmp_path: Path) -> None:
    put(tmp_path / "coco.json", COCO)
    put(tmp_path / "boxes.json", [{"image_id": 1, "bbox": [1, 1, 4, 4], "score": 0.9}])
    found = read_box_files(tmp_path)
    assert (list(found.rows), found.left_out) == (["boxes.json"], [])
    # Images that name no film would end the import of boxes that need none of them.
    put(tmp_path / "coco.json", {**COCO, "images": [{"id": 1, "file_name": "frame_1.png", "width": 1, "height": 1}]})
    with pytest.raises(InputError, match=r"^.*coco\.json: image 1: found file_name 'frame_1\.png'"):
        read_box_files(tmp_path)
    (tmp_path / "boxes.json").unlink()
    put(tmp_path / "boxes.pkl", BOXES)
    assert list(read_box_files(tmp_path).rows) == ["boxes.pkl"]


def test_what_is_no_box_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("v,1\n")
    for name, text in (("empty.json", "[]"), ("other.json", '{"a": 1}'), ("x.txt", "some, words"), ("b.mp4", "\0,1,")):
        (tmp_path / name).write_text(text)
    files, problems, _ = read_box_files(tmp_path)
    assert list(files) == ["a.csv"]
    assert [problem.file for problem in problems] == ["b.mp4", "empty.json", "other.json", "x.txt"]
    (tmp_path / "broken.json").write_text('{"images": [')
    with pytest.raises(InputError, match=r"broken\.json: not JSON: "):
        read_box_files(tmp_path)


def test_other_files_are_told(tmp_path: Path) -> None:
    folder = write(tmp_path, a_csv=[("v1", 902, A, 0.5)])
    (folder / "boxes.json").write_text("[]")
    assert list(map(str, run(folder).problems)) == [f"boxes.json: file: found an unknown format, expected {EXPECTED}"]
