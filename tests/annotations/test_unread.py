"""Each file that is not read is named, with what it is."""

import json
from pathlib import Path

import pytest

from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.annotations.unread import NothingReadError, reasons

ROW = "a,902,0.1,0.1,0.2,0.2,1\n"
NO_CSV = "no AVA CSV, and no CSV of VIA 2 or 3"
FILES = [
    ("events.csv", "Observation id,Subject,Behavior\no1,p,walk\n", "BORIS's table: times without boxes"),
    ("boxes.csv", "frame,x,y\n1,2,3\n", f"{NO_CSV} (its first row has 3 columns: 'frame,x,y')"),
    ("empty.csv", "\n", "no row"),
    ("header.csv", "video_id,timestamp\na,902\n", f"{NO_CSV} (its first row is 'video_id,timestamp')"),
    ("classes.csv", "id,name\n1,walk\n", "a label map by another name; call it labelmap.csv"),
    ("train_proposals.csv", ROW, "person boxes belong into dataset.proposals"),
    ("my_excluded.csv", "a,902\n", "excluded keyframes of no split; its name has to hold train, val or test"),
    ("via.json", {"_via_settings": {}, "_via_img_metadata": {}}, "a project of VIA 2; export the annotations as CSV"),
    ("via3.json", {"project": {}, "file": {}, "metadata": {}}, "a project of VIA 3; export the annotations as CSV"),
    ("dm.json", {"info": {}, "items": [], "categories": {}},
     "Datumaro's JSON; export it as COCO, with images named VIDEO/TIMESTAMP.jpg"),
    ("lm.json", {"shapes": [], "imagePath": ""}, "LabelMe's JSON of one image"),
    ("other.json", {"a": 1, "b": 2}, "no COCO-like JSON with images and annotations (its keys are 'a', 'b')"),
    ("list.json", [{"k": 1}], "no COCO-like JSON with images and annotations (a list whose entries have the keys 'k')"),
    ("three.json", 3, "no COCO-like JSON with images and annotations (it holds a int)"),
    ("results.json", [{"image_id": 1, "bbox": [], "score": 1}], "person boxes belong into dataset.proposals"),
    ("a.zip", "PK", "no zip archive, or a damaged one: export it again"),
    ("a.7z", "7z", "an archive; unpack it, and put the files side by side"),
    ("a.eaf", "<x/>", "ELAN's: times without boxes"),
    ("a.boris", "{}", "BORIS's: times without boxes"),
    ("a.tsv", "a\tb\n", "a table that is no CSV"),
    ("a.mp4", "", "a film; it belongs into dataset.videos"),
    ("a.png", "", "an image; films are read, and no single frames"),
    ("actions.txt", "1: walk\n2: sit\n", "a label map by another name; call it labelmap.txt"),
    ("README.txt", "hello\n", "the ending '.txt' is none of annotations"),
    ("Makefile", "all:\n", "a file without an ending"),
]  # fmt: skip


def put(folder: Path, name: str, content: object) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.mark.parametrize(("name", "content", "why"), FILES)
def test_what_a_file_is(tmp_path: Path, name: str, content: object, why: str) -> None:
    put(tmp_path, name, content)
    with pytest.raises(NothingReadError) as error:
        import_source(tmp_path, SourceOptions(classes=3))
    assert str(error.value) == (
        f"{tmp_path}: nothing in it is read as annotations: {name}: {why} (docs/datasets.md has the formats)"
    )


def test_files_in_folders_are_named_and_of_many_some(tmp_path: Path) -> None:
    for number in range(5):
        put(tmp_path, f"task_{number}/labels.csv", ROW)
    put(tmp_path, "task_0/.hidden.csv", ROW)
    with pytest.raises(NothingReadError) as error:
        import_source(tmp_path, SourceOptions(classes=3))
    assert "task_0/labels.csv, task_1/labels.csv, task_2/labels.csv and 2 more: in a folder; put the files side" in str(
        error.value
    )


def test_of_many_reasons_some_are_told(tmp_path: Path) -> None:
    unread = [(tmp_path / f"{number}.x", f"reason {number}") for number in range(12)]
    assert reasons(tmp_path, unread)[-1] == "4 more files"
    assert len(reasons(tmp_path, unread)) == 9
