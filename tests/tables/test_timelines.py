from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.tables.csv_rows import VIDEO_ID_EXPECTED
from pipeline.tables.schemas import TIMELINES, check_table
from pipeline.tables.timelines import Timeline, assign_timelines, read_timelines, timelines_table

HEADER = "video_id,split,first_timestamp,offset_seconds\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "videos.csv"
    path.write_text(text)
    return path


def test_each_video_has_its_split_and_times(tmp_path: Path) -> None:
    timelines = read_timelines(write(tmp_path, HEADER + "b,val,900,0.5\n\na,train,0,-1.25\n"))
    assert timelines == {"b": Timeline("val", 900, 0.5), "a": Timeline("train", 0, -1.25)}
    table = check_table(timelines_table(timelines), TIMELINES, "timelines")
    assert table["video_id"].to_pylist() == ["a", "b"]
    assert table.to_pylist()[0] == {
        "video_id": "a",
        "split": "train",
        "first_timestamp": 0.0,
        "offset_seconds": -1.25,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first row is not the header video_id,split,first_timestamp,offset_seconds"),
        ("a,train,900,0\n", "the first row is not the header video_id,split,first_timestamp,offset_seconds"),
        (HEADER + "a,train,900\n", "row 2: 3 columns, expected video_id,split,first_timestamp,offset_seconds"),
        (
            HEADER + "\n../a,train,900,0\n",
            f"row 3: video id '../a', expected {VIDEO_ID_EXPECTED}",
        ),
        (HEADER + "a,training,900,0\n", "row 2: split 'training', expected train, val or test"),
        (HEADER + "a,train,x,0\n", "row 2: first_timestamp 'x', expected a number of seconds"),
        (HEADER + "a,train,900,\n", "row 2: offset_seconds '', expected a number of seconds"),
        (HEADER + "a,train,1e9,0\n", "row 2: first_timestamp '1e9', expected a number of seconds"),
        (HEADER + "a,train,900,0\na,val,900,0\n", "row 3: video a is listed twice"),
    ],
)
def test_a_wrong_row_ends_the_run(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError) as error:
        read_timelines(path)
    assert str(error.value) == f"{path}: {message}"


def test_without_a_list_avas_times_hold() -> None:
    timelines = assign_timelines(Path("source"), {"train": ["a", "b"], "val": ["c"]}, None)
    assert timelines == {"a": Timeline("train", 900, 0), "b": Timeline("train"), "c": Timeline("val")}


def test_listed_videos_without_annotations_stay() -> None:
    listed = {"a": Timeline("train", 0), "t": Timeline("test", 0)}
    assert assign_timelines(Path("source"), {"train": ["a"]}, listed) == listed


@pytest.mark.parametrize(
    ("named", "listed", "message"),
    [
        (
            {"train": ["a", "b", "c"], "val": ["b", "c"]},
            None,
            "source/val.csv: video b (and 1 more) is in train.csv too; a video belongs to one split",
        ),
        (
            {"train": ["a"]},
            {"a": Timeline("val")},
            "source/train.csv: video a is of val in videos.csv; a video belongs to one split",
        ),
        (
            {"train": ["a", "b"]},
            {"a": Timeline("train")},
            "source/train.csv: video b is not in videos.csv; list every video there, or remove that file if "
            "AVA's times hold (first_timestamp 900)",
        ),
    ],
)
def test_splits_that_disagree_are_refused(
    named: dict[str, list[str]], listed: dict[str, Timeline] | None, message: str
) -> None:
    with pytest.raises(InputError) as error:
        assign_timelines(Path("source"), named, listed)
    assert str(error.value) == message
