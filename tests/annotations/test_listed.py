from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.annotations.listed import Listed, assign_splits, frame_rate, frame_size, read_listed, splits_by_file
from pipeline.base.errors import InputError
from pipeline.tables.csv_rows import VIDEO_ID_EXPECTED


def test_columns_come_by_name_and_may_be_empty(tmp_path: Path) -> None:
    (tmp_path / "videos.csv").write_text("fps,video_id,width,height,first_timestamp\n25,a,640,360,900\n,b,,,\n")
    (tmp_path / "split.csv").write_text("video_id,split\nb,val\nc,train\n")
    listed = read_listed(tmp_path)
    sizes = {video_id: one.size for video_id, one in listed.items()}
    assert sizes == {"a": (640, 360), "b": None, "c": None}
    assert listed == {
        "a": Listed(fps=25, width=640, height=360, first_timestamp=900),
        "b": Listed(split="val"),
        "c": Listed(split="train"),
    }
    assert frame_rate("a", listed, 30, "x") == 25
    assert frame_rate("b", listed, 30, "x") == 30
    assert frame_size("a", listed, (1, 2), "x") == (1, 2)
    assert frame_size("a", listed, None, "x") == (640, 360)
    assert read_listed(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first row is '', expected video_id and any of split, first_timestamp, offset_seconds, fps, width, "
         "height"),
        ("a,25\n", "the first row is 'a,25', expected video_id and any of split, first_timestamp, offset_seconds, fps, "
         "width, height"),
        ("video_id,rate\n", "the first row is 'video_id,rate', expected video_id and any of split, first_timestamp, "
         "offset_seconds, fps, width, height"),
        ("video_id,fps\na\n", "row 2: 1 columns, expected video_id,fps"),
        ("video_id,fps\na,0\n", "row 2: fps '0', expected a number above 0"),
        ("video_id,fps\na,30 fps\n", "row 2: fps '30 fps', expected a number above 0"),
        ("video_id,first_timestamp\na,x\n", "row 2: first_timestamp 'x', expected a number"),
        ("video_id,split\na,training\n", "row 2: split 'training', expected train, val or test"),
        ("video_id\n../a\n", f"row 2: video id '../a', expected {VIDEO_ID_EXPECTED}"),
        ("video_id\na\na\n", "row 3: video a is listed twice"),
    ],
)  # fmt: skip
def test_a_wrong_row_ends_the_run(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "videos.csv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_listed(tmp_path)
    assert str(error.value) == f"{path}: {message}"


def test_what_is_told_goes_before_the_hash() -> None:
    splits, lines = assign_splits(
        ["a", "b", "c"], {"a": "train", "b": "val"}, {"b": Listed("test"), "c": Listed("val")}, val_fraction=0.2
    )
    assert splits == {"a": "train", "b": "test", "c": "val"}
    assert lines == []


@given(count=st.integers(2, 40), fraction=st.floats(0.01, 0.99))
def test_both_splits_have_a_video(count: int, fraction: float) -> None:
    splits, lines = assign_splits([f"film_{index}" for index in range(count)], {}, {}, val_fraction=fraction)
    assert set(splits.values()) == {"train", "val"}
    assert f"dataset.val_fraction {fraction:g}" in lines[0]


def test_a_new_video_moves_no_other_one() -> None:
    names = [f"film_{index}" for index in range(200)]
    before, _ = assign_splits(names[:150], {}, {}, val_fraction=0.2)
    after, _ = assign_splits(names, {}, {}, val_fraction=0.2)
    assert before.items() <= after.items()
    assert 20 <= sum(split == "val" for split in after.values()) <= 60


def test_a_fraction_of_nothing_and_of_everything() -> None:
    assert set(assign_splits(["a", "b"], {}, {}, val_fraction=0)[0].values()) == {"train"}
    assert set(assign_splits(["a", "b"], {}, {}, val_fraction=1)[0].values()) == {"val"}


def test_what_is_told_counts_when_a_split_would_be_missing() -> None:
    names = ["a", "b", "c"]
    told_train, _ = assign_splits(names, {"a": "train"}, {}, val_fraction=0.01)
    told_val, _ = assign_splits(names, {"a": "val"}, {}, val_fraction=0.99)
    assert sorted(told_train.values()) == ["train", "train", "val"]
    assert sorted(told_val.values()) == ["train", "val", "val"]
    assert told_train["a"] == "train"
    assert told_val["a"] == "val"


@pytest.mark.parametrize(
    ("names", "val"),
    [("abcd", ["c"]), (("cam1", "cam2"), None), ([f"film_{i}" for i in range(10)], None)],
)
def test_of_few_videos_the_share_is_met(names: list[str], val: list[str] | None) -> None:
    splits, _ = assign_splits(list(names), {}, {}, val_fraction=0.2)
    found = sorted(each for each, split in splits.items() if split == "val")
    assert len(found) == max(1, round(0.2 * len(names)))
    assert val is None or len(val) == len(found)


@given(count=st.integers(2, 19), fraction=st.floats(0.01, 0.99))
def test_of_few_videos_as_many_are_val_as_the_fraction_says(count: int, fraction: float) -> None:
    splits, _ = assign_splits([f"film_{index}" for index in range(count)], {}, {}, val_fraction=fraction)
    assert list(splits.values()).count("val") == min(max(1, round(fraction * count)), count - 1)


@pytest.mark.parametrize("name", ["a", "b", "c", "d", "video", "cam1", "cam2"])
def test_a_single_video_is_train_whatever_its_name(name: str) -> None:
    assert assign_splits([name], {}, {}, val_fraction=0.2)[0] == {name: "train"}


@pytest.mark.parametrize(
    ("named", "splits"),
    [
        ([("train.json", ["a", "b"]), ("instances_val2017.json", ["c"])], {"a": "train", "b": "train", "c": "val"}),
        ([("train/a.xml", ["a"]), ("test.zip/task/annotations.xml", ["b"])], {"a": "train", "b": "test"}),
        ([("train_val.json", ["a"]), ("all.json", ["b"])], {}),
        # The word belongs to the film.
        ([("train_station.xml", ["train_station"]), ("task train.xml", ["train"])], {}),
        ([("val.json", ["train_1", "v"])], {"train_1": "val", "v": "val"}),
        ([("job_train.xml", ["a"]), ("job_2.xml", ["a"])], {"a": "train"}),
    ],
)
def test_names_of_files_say_splits(named: list[tuple[str, list[str]]], splits: dict[str, str]) -> None:
    assert splits_by_file(Path("x"), named) == splits


def test_a_video_in_files_of_two_splits_is_refused() -> None:
    with pytest.raises(InputError) as error:
        splits_by_file(Path("x"), [("train.xml", ["a"]), ("val.xml", ["a"])])
    assert str(error.value) == (
        "x: video a is in train.xml and in val.xml, whose names say train and val; a video belongs to one split: set "
        "it in the column split of videos.csv, or rename a file"
    )
