import json
from pathlib import Path

import pytest

from pipeline.annotations.clip_files import read_clip_files
from pipeline.base.errors import InputError

NAMES = ["Holding something", "Opening something", "Putting something next to something"]


def folder_of(tmp_path: Path, **files: object) -> Path:
    """Files by name with `_` for the dot; text as it is, all else as JSON."""
    folder = tmp_path / "labels"
    folder.mkdir()
    for name, content in files.items():
        stem, _, ending = name.rpartition("_")
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{stem}.{ending}").write_text(text, "utf-8")
    return folder


def told(problems: list) -> list[str]:
    return [str(each) for each in problems]


LABELS = "\n".join(NAMES)
IDS = {name: str(number) for number, name in enumerate(NAMES)}


def test_version_1(tmp_path: Path) -> None:
    train = "100;Opening something\n7;holding something\n8;Dancing\n9\n\n"
    folder = folder_of(
        tmp_path, labels_csv=LABELS, train_csv=train, validation_csv="31;Holding something", test_csv="77\n"
    )
    classes, read = read_clip_files(folder)
    assert classes.names == NAMES
    assert [(row.video_id, row.split, row.label) for row in read.rows] == [
        ("77", "test", None), ("100", "train", 1), ("7", "train", 0), ("31", "val", 0)
    ]  # fmt: skip
    assert told(read.problems) == [
        "train.csv: line 3: found the label 'Dancing', expected one of the classes",
        "train.csv: line 4: found '9', expected id;label text",
    ]
    assert read.total == 6


def test_version_2(tmp_path: Path) -> None:
    template = "Putting [something] next to [something]"
    train = [
        {"id": "1", "label": "putting a cup next to a book", "template": template, "placeholders": ["a cup", "a book"]},
        {"id": 2, "template": template, "placeholders": ["a cup", "a book"]},
        {"id": "3", "template": template, "placeholders": ["a cup"]},
        {"id": "4", "template": "Dancing with [something]", "placeholders": ["a cup"]},
        {"id": "5", "template": "Opening [something]"},
        {"id": "6"},
        {"template": template},
        "7",
        {"id": "8", "template": "Opening [something]", "placeholders": "a cup"},
    ]
    folder = folder_of(tmp_path, labels_json=IDS, train_json=train, test_json=[{"id": "9"}])
    _, read = read_clip_files(folder)
    assert [(row.video_id, row.label, row.text) for row in read.rows] == [
        ("9", None, None),
        ("1", 2, "putting a cup next to a book"),
        ("2", 2, "Putting a cup next to a book"),
        ("3", 2, "Putting something next to something"),
        ("5", 1, "Opening something"),
        ("8", 1, "Opening something"),
    ]
    assert told(read.notes) == [
        f"train.json: entry 2 (id 3): found 1 placeholders for the template '{template}' (the clip is kept), "
        "expected 2 texts",
        "train.json: entry 8 (id 8): found placeholders 'a cup' for the template 'Opening [something]' "
        "(the clip is kept), expected 1 texts",
    ]
    assert told(read.problems) == [
        "train.json: entry 3 (id 4): found the template 'Dancing with [something]', expected one of the classes in "
        "[brackets]",
        "train.json: entry 5 (id 6): found template 'None', expected a text with [placeholders]",
        f"train.json: entry 6: found \"{{'template': '{template}'}}\", expected an object with id and template",
        "train.json: entry 7: found '7', expected an object with id and template",
    ]


def test_lists_of_mmaction2(tmp_path: Path) -> None:
    raw = "100 12 1\n7 30 0\ndata/sthv1/rawframes/55 0\nmy film 9 20 2\n8 20 3\n"
    videos = "a.webm 1\nb c.webm 2\nd.webm x\n"
    folder = folder_of(
        tmp_path, label_map_txt=LABELS, sthv1_train_list_rawframes_txt=raw, sthv2_val_list_videos_txt=videos
    )
    _, read = read_clip_files(folder)
    assert [(row.video_id, row.split, row.label, row.frames) for row in read.rows] == [
        ("100", "train", 1, 12), ("7", "train", 0, 30), ("my film 9", "train", 2, 20), ("a", "val", 1, None),
        ("b c", "val", 2, None),
    ]  # fmt: skip
    assert told(read.problems) == [
        "sthv1_train_list_rawframes.txt: line 3: found 'data/sthv1/rawframes/55 0', expected <id> <frames> <label>; "
        "MMAction2 writes a line without a number for an empty folder",
        "sthv1_train_list_rawframes.txt: line 5: found label 3, expected an id of the 3 classes",
        "sthv2_val_list_videos.txt: line 3: found 'd.webm x', expected <file> <label>",
    ]


def test_lists_with_a_first_frame(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, label_map_txt=LABELS, train_list_txt="100 5 12 1\n7 0 30 0\n8 3 2\n")
    _, read = read_clip_files(folder)
    assert [(row.video_id, row.first_frame, row.frames, row.label) for row in read.rows] == [
        ("100", 5, 12, 1), ("7", 0, 30, 0)
    ]  # fmt: skip
    assert told(read.problems) == [
        "train_list.txt: line 3: found '8 3 2', expected <id> <first frame> <frames> <label>"
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train_csv": "1;a"}, "found none, expected one file that names the classes: "),
        (
            {"labels_csv": "a", "labels_json": {"a": 0}},
            "found labels.csv and labels.json, expected one file that names",
        ),
        (
            {"labels_csv": "a", "clips_csv": "1;a"},
            "no file of labels, expected names with a word of train, val, test: ",
        ),
        (
            {"labels_csv": "a", "train_json": {"a": 1}},
            "expected a JSON list of clips: id, label, template, placeholders",
        ),
    ],
)
def test_a_folder_that_is_none(tmp_path: Path, files: dict[str, object], message: str) -> None:
    folder = folder_of(tmp_path, **files)
    with pytest.raises(InputError) as error:
        read_clip_files(folder)
    assert message in str(error.value)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing: no such folder of labels \(recognition\.dataset\.labels\)$"):
        read_clip_files(tmp_path / "nothing")
