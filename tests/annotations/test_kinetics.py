from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.annotations.kinetics import clip_at
from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.errors import InputError
from pipeline.features.requests import films_of_split
from pipeline.tables.schemas import BOXES, VIDEOS
from pipeline.tables.select_boxes import BoxRule
from tests.annotations.sources import write_source

TRAIN = (
    "-ab_cd-EF12,17,0.1,0.2,0.3,0.4,1\n-ab_cd-EF12,17,0.1,0.2,0.3,0.4,2\nyyyyyyyyyyy,0004\nlost,3,0.1,0.2,0.3,0.4,1\n"
)
VAL = "vvvvvvvvvvv,0105.5,0.1,0.2,0.3,0.4,1\n"
AVA = "film,902,0.1,0.2,0.3,0.4,1\n"


def project(folder: Path, *clips: str, **files: str) -> tuple[Path, Path]:
    """Annotations of AVA and AVA-Kinetics as published, and a folder of clips."""
    texts = {
        "ava_train_v2.2": AVA,
        "ava_val_v2.2": AVA.replace("film", "other"),
        "kinetics_train_v1.0": TRAIN,
        "kinetics_val_v1.0": VAL,
    }
    source = write_source(folder / "annotations", **{**texts, **files})
    names = clips or ("-ab_cd-EF12_000012_000022", "yyyyyyyyyyy_000000_000010", "vvvvvvvvvvv_000100_000110")
    for index, name in enumerate(names):
        (folder / "videos" / f"class {index}").mkdir(parents=True)
        (folder / "videos" / f"class {index}" / f"{name}.mp4").write_text("a film")
    return source, folder / "videos"


def read(source: Path, clips: Path, **options):
    return import_source(source, SourceOptions(classes=80, clips=clips, **options))


def splits(found) -> dict[str, str]:
    return {row["video_id"]: row["split"] for row in found.timelines.to_pylist()}


def test_a_row_finds_the_clip_that_holds_its_second(tmp_path: Path) -> None:
    found = read(*project(tmp_path), evaluate="ava_kinetics")
    assert found.problems == []
    clip = "-ab_cd-EF12_000012_000022"
    mine = [row for row in found.annotations.to_pylist() if row["video_id"] == clip]
    assert [(row["timestamp"], row["time_seconds"], row["action_id"]) for row in mine] == [(17, 5, 1), (17, 5, 2)]
    assert [(row["video_id"], row["timestamp"], row["status"]) for row in found.keyframes.to_pylist()] == [
        (clip, 17, "annotated"),
        ("film", 902, "annotated"),
        ("other", 902, "annotated"),
        ("vvvvvvvvvvv_000100_000110", 105.5, "annotated"),
        ("yyyyyyyyyyy_000000_000010", 4, "empty"),
    ]
    assert found.timelines["first_timestamp"].to_pylist() == [12, 900, 900, 100, 0]
    assert found.told[0].endswith("; AVA-Kinetics: kinetics_train_v1.0.csv, kinetics_val_v1.0.csv; val is ava_kinetics")


@pytest.mark.parametrize(
    ("evaluate", "val"),
    [
        ("ava", ["other"]),
        ("kinetics", ["vvvvvvvvvvv_000100_000110"]),
        ("ava_kinetics", ["other", "vvvvvvvvvvv_000100_000110"]),
    ],
)
def test_what_is_evaluated_is_chosen(tmp_path: Path, evaluate: str, val: list[str]) -> None:
    found = read(*project(tmp_path), evaluate=evaluate)
    assert [video for video, split in splits(found).items() if split == "val"] == val
    assert sorted(set(found.keyframes["split"].to_pylist())) == ["train", "val"]


def test_a_bank_covers_all_ten_seconds_of_a_clip(tmp_path: Path) -> None:
    found = read(*project(tmp_path))
    clip = "-ab_cd-EF12_000012_000022"
    row = [clip, "x", "0", 30.0, 10.0, 300, 300, 8, 8]
    videos = pa.table([pa.array([each], field.type) for each, field in zip(row, VIDEOS, strict=True)], VIDEOS)
    (film,) = films_of_split(
        "train", timelines=found.timelines, videos=videos, boxes=BOXES.empty_table(), annotations=found.annotations,
        keyframes=found.keyframes, rule=BoxRule(0.9), seconds="grid",
    )  # fmt: skip
    assert film.seconds_seen.tolist() == list(range(12, 22))
    assert film.annotated_timestamp is not None
    assert film.annotated_timestamp.tolist() == [17]


def test_clips_of_two_splits_and_folders_without_clips_are_refused(tmp_path: Path) -> None:
    source, clips = project(tmp_path, kinetics_val_v1=VAL, **{"kinetics_val_v1.0": TRAIN})

    def refusal(clips: Path | None) -> str:
        with pytest.raises(InputError) as error:
            import_source(source, SourceOptions(classes=80, clips=clips, evaluate="kinetics"))
        return str(error.value)

    (source / "kinetics_val_v1.csv").unlink()
    assert refusal(clips) == (
        f"{source / 'kinetics_val_v1.0.csv'}: clip -ab_cd-EF12_000012_000022 is of train too; a clip belongs to one "
        "split"
    )
    expected = "expected the folder of the clips <youtube_id>_<start>_<end>.mp4"
    where = source / "kinetics_train_v1.0.csv"
    assert refusal(None) == f"{where}: names videos of YouTube; dataset.clips is None, {expected}"
    assert refusal(tmp_path / "x") == f"{where}: names videos of YouTube; dataset.clips is {tmp_path / 'x'}, {expected}"
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty") == (
        f"{tmp_path / 'empty'}: no file named <youtube_id>_<start>_<end>, e.g. -abc_000012_000022.mp4"
    )
    (source / "own.json").write_text('{"images": [], "annotations": []}')
    assert refusal(clips) == (
        f"{source}: found kinetics_train_v1.0.csv and own.json, expected AVA's files alone beside it"
    )


@given(spans=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12)), max_size=5), at=st.floats(0, 45))
def test_the_clip_of_a_second_against_the_plain_definition(spans: list[tuple[int, int]], at: float) -> None:
    clips = [(start, start + length, f"v_{index}") for index, (start, length) in enumerate(spans)]
    found = clip_at({"v": clips}, "v", at)
    holding = [(start, end, name) for start, end, name in clips if start <= at < end]
    assert bool(found) == bool(holding)
    if found:
        start, end, _ = next(each for each in holding if each[2] == found)
        assert all(abs((start + end) / 2 - at) <= abs((a + b) / 2 - at) for a, b, _ in holding)
    assert clip_at({"v": clips}, "w", at) == ""


def test_clips_in_a_linked_folder_are_found(tmp_path: Path) -> None:
    source, clips = project(tmp_path)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/kinetics").symlink_to(clips)
    assert splits(read(source, tmp_path / "linked")) == splits(read(source, clips))


def test_a_clip_may_be_a_folder_of_pictures(tmp_path: Path) -> None:
    source, clips = project(tmp_path)
    expected = splits(read(source, clips, evaluate="ava_kinetics"))
    for film in clips.rglob("*.mp4"):
        film.unlink()
        film.with_suffix("").mkdir()
        (film.with_suffix("") / "img_00001.jpg").touch()
    assert splits(read(source, clips, evaluate="ava_kinetics")) == expected
