import json
from pathlib import Path

import pytest

from pipeline.annotations.import_clips import import_clips, write_clips
from pipeline.base.errors import InputError
from pipeline.base.files import read_json
from pipeline.base.problems import read_problems
from pipeline.tables.schemas import CLIPS, read_table
from tests.annotations.test_clip_files import LABELS, folder_of, told

FRAMES = {"1": 40, "2": 12, "3": 5, "4": 30, "film": 20}


def test_each_bad_row_is_named_and_counted(tmp_path: Path) -> None:
    train = "1 40 1\n2 13 0\n3 5 2\n5 10 1\n1 40 1\n2 12 1\n4 30 9\n"
    folder = folder_of(tmp_path, labels_csv=LABELS, train_txt=train, val_txt="4 0 30 1\n1 0 40 1\n")
    found = import_clips(folder, FRAMES, segments=8)
    assert [(row.video_id, row.split, row.label) for row in found.clips] == [
        ("1", "train", 1), ("2", "train", 0), ("3", "train", 2), ("4", "val", 1)
    ]  # fmt: skip
    assert told(found.problems) == [
        "train.txt: line 7: found label 9, expected an id of the 3 classes",
        "train.txt: line 5: found clip 1 again, as train.txt, line 1, expected each clip once",
        "train.txt: line 6: found clip 2 of train with label 1, expected train with label 0, as train.txt, line 2",
        "val.txt: line 2: found clip 1 of val with label 1, expected train with label 1, as train.txt, line 1",
        "train.txt: line 2: found 13 frames of clip 2 (the clip is kept), expected 12, as stored",
        "train.txt: line 3: found 5 frames of clip 3 (the clip is kept), expected 8 segments or more",
    ]
    assert told(found.missing) == [
        "train.txt: line 4: found clip 5, of which there are no frames, expected a film of this name"
    ]
    assert (found.rows, found.left_out) == (9, 4)
    assert found.summary == {
        "rows": 9, "clips": {"train": 3, "val": 1}, "missing": 1, "unlisted": 1, "left_out": 4, "kept_with_notes": 2,
        "classes": 3, "classes_without_train_clips": [], "flips": 0, "one_sided": [],
    }  # fmt: skip


def test_what_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(tmp_path, labels_csv=LABELS, train_csv="1;Opening something\n5;Opening something\n6;x\n")
    out = tmp_path / "out"
    out.mkdir()
    found = import_clips(folder, FRAMES, segments=8)
    line = write_clips(out, found, max_bad_fraction=0.5)
    assert line == (
        "1 clips (train 1, val 0, test 0) of 3 classes, 0 of which a flip exchanges; 1 without frames, 4 films without "
        "a label, 1 of 3 rows are bad, 0 kept with a note"
    )
    assert "no clip is of val" in capsys.readouterr().err
    assert read_table(out / "clips.parquet", CLIPS).to_pylist() == [
        {"video_id": "1", "split": "train", "label": 1, "text": "Opening something", "first_frame": 0, "frames": None}
    ]
    assert read_json(out / "summary.json") == found.summary
    assert [each["item"] for each in read_json(out / "problems.json")["missing"]] == ["line 2"]
    assert told(read_problems(out / "problems.json")) == told(found.problems)
    with pytest.raises(
        InputError, match=r"^1 of 3 rows are bad, more than recognition\.dataset\.max_bad_fraction 0\.1 lets pass; "
    ):
        write_clips(out, found, max_bad_fraction=0.1)


def test_an_answer_replaces_a_row_without_a_label(tmp_path: Path) -> None:
    answers = "1;Opening something"
    folder = folder_of(tmp_path, labels_csv=LABELS, **{"test-answers_csv": answers, "test_csv": "1\n2\n"})
    found = import_clips(folder, FRAMES, segments=8)
    assert [(row.video_id, row.label) for row in found.clips] == [("1", 1), ("2", None)]
    assert found.problems == []


def test_parts_of_films(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, labels_csv=LABELS, train_txt="1 10 20 1\n2 12 5 0\n3 1 3 0\n4 20 20 0\n")
    found = import_clips(folder, FRAMES, segments=4)
    assert [(row.video_id, row.first_frame, row.frames) for row in found.clips] == [
        ("1", 10, 20), ("3", 1, 3), ("4", 20, 20)
    ]  # fmt: skip
    assert told(found.problems) == [
        "train.txt: line 2: found clip 2 from frame 12 on, expected one of the 12 stored frames",
        "train.txt: line 3: found 3 frames of clip 3 (the clip is kept), expected 4 segments or more",
        "train.txt: line 4: found 20 frames from 20 on of clip 4 (the clip is kept), expected 30, as stored",
    ]


def test_no_clip_at_all(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, labels_csv=LABELS, train_csv="Film;Opening something\n")
    with pytest.raises(InputError) as error:
        import_clips(folder, FRAMES, segments=8)
    expected = "no clip of 1 rows has stored frames: 'film' in the films, 'Film' in the labels (is film Film?)"
    assert str(error.value) == f"{folder}: {expected}"
    (folder / "train.csv").write_text(json.dumps("x"))
    with pytest.raises(InputError, match=r"no clip of 1 rows has stored frames: the first row: train\.csv: line 1: "):
        import_clips(folder, FRAMES, segments=8)
