"""`dataset.split_by: time`: one film is train and val, and no clip of train shows a frame of val."""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.errors import InputError
from pipeline.features.requests import films_of_split
from pipeline.params import parse_params
from pipeline.project.compose import compose_params
from pipeline.tables.keyframes import group_keyframes
from pipeline.tables.schemas import BOXES, VIDEOS
from pipeline.tables.select_boxes import ANY_SCORE, BoxRule
from pipeline.tables.timelines import films_of
from tests.annotations.sources import write_source

REPOSITORY = Path(__file__).resolve().parent.parent.parent


def rows(film: str, *seconds: float, action: int = 1) -> str:
    return "".join(f"{film},{each:g},0.1,0.2,0.3,0.4,{action}\n" for each in seconds)


def read(folder: Path, **options):
    return import_source(folder, SourceOptions(classes=12, split_by="time", **options))


def kept(found, split: str) -> list[tuple[str, float]]:
    grouped = group_keyframes(
        found.annotations, found.keyframes, None, split=split, classes=12, rule=ANY_SCORE, with_empty=True
    )
    return list(zip(grouped.video_ids, grouped.timestamp.tolist(), strict=True))


def test_the_last_keyframes_are_val_and_a_gap_lies_before_them(tmp_path: Path) -> None:
    found = read(write_source(tmp_path, labels=rows("a", *range(900, 920)) + "a,921\n"))
    assert kept(found, "val") == [("a", 917), ("a", 918), ("a", 919), ("a", 921)]
    assert kept(found, "train") == [("a", each) for each in range(900, 915)]
    assert found.timelines.to_pylist() == [
        {"video_id": "a", "split": "train+val", "first_timestamp": 900, "offset_seconds": 0}
    ]
    assert found.summary["split_by_time"] == {"films": 1, "val_keyframes": 4, "left_out": 2}
    splits = found.summary["splits"]
    assert set(splits) == {"train", "val"}
    assert splits["train"]["keyframes"] == {"annotated": 15, "empty": 0, "excluded": 2}
    assert splits["val"]["keyframes"] == {"annotated": 3, "empty": 1, "excluded": 0}
    assert (splits["train"]["labels"], splits["val"]["labels"], splits["val"]["videos"]) == (17, 3, 1)
    assert found.told[-1] == (
        "splits: 1 films are split by time (dataset.split_by): of each the last keyframes are val "
        "(dataset.val_fraction 0.2), 4 in all; 2 less than 3 s before them are left out (dataset.split_gap_seconds)"
    )


def test_a_film_that_is_train_by_the_name_of_its_file_is_split_where_nothing_is_val(tmp_path: Path) -> None:
    found = read(write_source(tmp_path, train=rows("a", *range(900, 920))))
    assert len(kept(found, "val")) == 4
    found = read(write_source(tmp_path, train=rows("a", *range(900, 920)), val=rows("b", 900, 901)))
    assert kept(found, "val") == [("b", 900), ("b", 901)]
    assert found.told[-1] == (
        "splits: dataset.split_by is time, and no film is split: the source or videos.csv tells all splits"
    )


def test_films_whose_split_is_told_stay_beside_those_that_are_split(tmp_path: Path) -> None:
    text = "".join(rows(each, *range(900, 920)) for each in "abc")
    found = read(write_source(tmp_path, labels=text, videos="video_id,split\nb,train\nc,val\n"))
    assert {video for video, _ in kept(found, "train")} == {"a", "b"}
    assert {video for video, _ in kept(found, "val")} == {"a", "c"}
    assert len([video for video, _ in kept(found, "train") if video == "b"]) == 20
    found = read(write_source(tmp_path, labels=text, videos="video_id,split\nb,train\nc,train\n"))
    assert {video for video, _ in kept(found, "val")} == {"a"}


def test_excluded_keyframes_go_with_their_time(tmp_path: Path) -> None:
    source = write_source(tmp_path, train=rows("a", *range(900, 920)), excluded_train="a,901\na,919\n")
    found = read(source)
    excluded = found.keyframes.filter(pc.equal(found.keyframes["status"], "excluded")).to_pylist()
    assert {(each["timestamp"], each["split"]) for each in excluded} == {
        (901, "train"), (913, "train"), (914, "train"), (919, "val"),
    }  # fmt: skip
    assert kept(found, "val") == [("a", each) for each in (915, 916, 917, 918)]


def test_a_film_too_short_stays_train_and_is_said(tmp_path: Path) -> None:
    found = read(write_source(tmp_path, labels=rows("a", 900, 901, 902)))
    assert (kept(found, "val"), len(kept(found, "train"))) == ([], 3)
    assert found.told[-1] == (
        "splits: 1 films are too short to be split by time and stay train, the first: a: no keyframe is 3 s before "
        "val's (dataset.split_gap_seconds)"
    )
    assert kept(read(tmp_path, split_gap_seconds=1), "val") == [("a", 902)]
    assert kept(read(tmp_path, split_gap_seconds=1, val_fraction=0), "val") == []


def test_classes_are_chosen_after_the_split(tmp_path: Path) -> None:
    text = rows("a", *range(900, 920)) + rows("a", 919, action=2)
    found = import_source(
        write_source(tmp_path, labels=text),
        SourceOptions(classes=1, split_by="time", class_map=["action 2"]),
    )
    assert found.summary["splits"]["val"]["labels_per_class"] == {"1": 1}
    assert found.summary["splits"]["train"]["labels"] == 0


def test_both_banks_hold_the_whole_film(tmp_path: Path) -> None:
    found = read(write_source(tmp_path, labels=rows("a", *range(900, 920))))
    row = {"video_id": "a", "path": "a.mp4", "sha256": "0", "fps": 15.0, "duration_seconds": 20.0, "frames": 300}
    row |= {"grid_frames": 300, "width": 160, "height": 120}
    films = [
        films_of_split(
            split,
            timelines=found.timelines,
            videos=VIDEOS.empty_table().from_pylist([row], VIDEOS),
            boxes=BOXES.empty_table(),
            annotations=found.annotations,
            keyframes=found.keyframes,
            rule=BoxRule(0.5),
            seconds="grid",
        )
        for split in ("train", "val", "test")
    ]
    assert films[2] == []
    (train,), (val,) = films[:2]
    assert train.annotated_timestamp is not None
    assert val.annotated_timestamp is not None
    assert np.array_equal(train.annotated_timestamp, val.annotated_timestamp)
    assert len(train.annotated_timestamp) == len(train.seconds_seen) == 20
    assert [films_of(found.timelines, split).num_rows for split in ("train", "val", "test")] == [1, 1, 0]


@given(
    seconds=st.lists(st.integers(0, 4000), min_size=1, max_size=60, unique=True),
    fraction=st.floats(0, 1),
    gap=st.floats(0, 30),
)
def test_no_keyframe_of_train_is_nearer_to_val_than_the_gap(
    scratch: Path, seconds: list[int], fraction: float, gap: float
) -> None:
    source = write_source(scratch, labels=rows("a", *(900 + each / 10 for each in seconds)))
    found = read(source, val_fraction=fraction, split_gap_seconds=gap)
    train, val = ([time for _, time in kept(found, split)] for split in ("train", "val"))
    assert train
    assert found.annotations.num_rows == len(seconds)
    if val:
        assert min(val) - max(train) >= gap - 1e-5
        assert len(val) == min(len(seconds), max(1, round(fraction * len(seconds))))
        assert len(train) + len(val) + found.summary["split_by_time"]["left_out"] == len(seconds)
    else:
        assert len(train) == len(seconds)


def test_a_gap_shorter_than_a_clip_is_refused() -> None:
    def params(*overrides: str):
        overrides = ("dataset=custom", "dataset.split_by=time", "frames.short_side=320", *overrides)
        return parse_params(compose_params(list(overrides), REPOSITORY / "conf"), "params.yaml")

    assert params("backbone=slowonly_r50").dataset.split_gap_seconds == 3  # 4x16 at 30 a second last 2.13 s
    with pytest.raises(InputError) as error:
        params("backbone=slowonly_r50", "frames.fps=15")
    assert str(error.value).endswith(
        ": parameters: dataset.split_gap_seconds 3 is less than a clip lasts, 4.27 s (4x16 frames at 15 a second): "
        "clips of train and val would share frames"
    )
    assert params("backbone=slowonly_r50", "frames.fps=15", "dataset.split_gap_seconds=4.3")
    assert params("backbone=slowonly_r50", "frames.fps=15", "dataset.split_by=film")
