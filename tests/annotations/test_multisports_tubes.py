import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.annotations.multisports_pickle import read_multisports
from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.errors import InputError
from pipeline.evaluation.multisports.metric import evaluate_multisports
from pipeline.tables.schemas import DETECTIONS

NAME = "v_aqMgwPExjD0_c001.mp4"
CLIP = f"aerobic_gymnastics/{NAME}"
OPTIONS = SourceOptions(classes=66)


def label_map(real: Path) -> str:
    return (real / "label_maps/multisports.txt").read_text()


def test_the_real_pickle(tmp_path: Path, real: Path) -> None:
    shutil.copy(real / "multisports_dataset/gt.pkl", tmp_path / "multisports_GT.pkl")
    found = import_source(tmp_path, OPTIONS)
    upstream = read_multisports(real / "multisports_dataset/gt.pkl", "val", fps=25)
    assert found.problems == []
    assert found.annotations.num_rows == upstream.annotations.num_rows == 224
    assert found.annotations["timestamp"].to_pylist() == found.annotations["time_seconds"].to_pylist()
    frames = [round(each * 25) + 1 for each in found.annotations["timestamp"].to_pylist()]
    assert frames == upstream.annotations["timestamp"].to_pylist()
    for name in ("action_id", "person_id", "x1", "y2"):
        assert found.annotations[name].to_pylist() == upstream.annotations[name].to_pylist()
    assert found.timelines.to_pylist() == [
        {"video_id": "v_crsi07chcV8_c004", "split": "val", "first_timestamp": 0.0, "offset_seconds": 0.0}
    ]
    assert len(found.labels) == 66
    assert (found.labels[0].id, found.labels[0].group) == (1, "aerobic")
    assert found.told == ["multisports_GT.pkl: pickle of tubes in the form of MultiSports: 1 videos, 66 classes"]


def test_the_real_csv(tmp_path: Path, real: Path) -> None:
    sample = real / "multisports_dataset/multisports_sample.csv"
    shutil.copy(sample, tmp_path / "multisports_val.csv")
    (tmp_path / "labelmap.txt").write_text(label_map(real))
    found = import_source(tmp_path, OPTIONS)
    assert found.problems == []
    assert found.annotations.num_rows == 9
    first = found.annotations.to_pylist()[0]
    assert (first["video_id"], first["timestamp"], first["action_id"]) == ("v_aqMgwPExjD0_c001", 376 / 25, 12)
    names = {label.id: label.name for label in found.labels}
    assert names[12] == label_map(real).splitlines()[11].partition(": ")[2]
    assert {label.group for label in found.labels} == {"aerobic", "volleyball", "football", "basketball"}
    assert set(found.timelines["split"].to_pylist()) == {"val"}


def test_with_both_the_pickle_is_read_and_names_must_agree(tmp_path: Path, real: Path) -> None:
    shutil.copy(real / "multisports_dataset/gt.pkl", tmp_path / "multisports_GT.pkl")
    shutil.copy(real / "multisports_dataset/multisports_sample.csv", tmp_path / "multisports_train.csv")
    (tmp_path / "labelmap.txt").write_text(label_map(real))
    found = import_source(tmp_path, OPTIONS)
    assert found.told[-1] == "not read: multisports_train.csv: the pickle of tubes holds the same"
    shifted = [line.partition(": ")[2] for line in label_map(real).splitlines()][1:]
    (tmp_path / "labelmap.txt").write_text("".join(f"{index}: {name}\n" for index, name in enumerate(shifted)))
    with pytest.raises(InputError) as error:
        import_source(tmp_path, OPTIONS)
    assert str(error.value) == (
        f"{tmp_path / 'labelmap.txt'}: id 1 is 'aerobic explosive push up', and 'aerobic push up' in "
        "multisports_GT.pkl: the label map is off by one"
    )


def test_the_frame_rate_of_a_film_may_be_another(tmp_path: Path) -> None:
    (tmp_path / "multisports_train.csv").write_text(f"{CLIP},31,0.1,0.2,0.3,0.4,0\n")
    (tmp_path / "labelmap.txt").write_text("0: football shoot\n")
    (tmp_path / "videos.csv").write_text("video_id,fps\nv_aqMgwPExjD0_c001,30\n")
    found = import_source(tmp_path, SourceOptions(classes=1))
    assert found.annotations["time_seconds"].to_pylist() == [1.0]
    assert found.timelines["split"].to_pylist() == ["train"]


def test_ids_from_one_are_refused_where_they_count_from_zero(tmp_path: Path) -> None:
    path = tmp_path / "multisports_train.csv"
    path.write_text("".join(f"{CLIP},{frame},0.1,0.2,0.3,0.4,{frame}\n" for frame in (1, 2)))
    (tmp_path / "labelmap.txt").write_text("0: football shoot\n1: football pass\n")
    with pytest.raises(InputError) as error:
        import_source(tmp_path, SourceOptions(classes=2))
    assert str(error.value) == (
        f"{path}: action ids go from 1 to 2, expected 0 to 1: all would be off by one; dataset.first_id: 1 says that "
        "they count from 1"
    )
    found = import_source(tmp_path, SourceOptions(classes=2, first_id=1))
    assert found.annotations["action_id"].to_pylist() == [1, 2]


def test_two_clips_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "multisports_train.csv"
    path.write_text(f"a/{NAME},1,0.1,0.2,0.3,0.4,0\nb/{NAME},1,0.1,0.2,0.3,0.4,0\n")
    (tmp_path / "labelmap.txt").write_text("0: football shoot\n")
    with pytest.raises(InputError, match="two clips are named v_aqMgwPExjD0_c001, expected one file of each name"):
        import_source(tmp_path, SourceOptions(classes=1))


def test_the_tubes_are_scored_as_those_of_the_pickle(tmp_path: Path, real: Path) -> None:
    pickle = real / "multisports_dataset/gt.pkl"
    shutil.copy(pickle, tmp_path / "multisports_GT.pkl")
    found, upstream = import_source(tmp_path, OPTIONS), read_multisports(pickle, "val", fps=25)
    scores = []
    for tables in (found, upstream):
        rows = [
            {name: row[name] for name in DETECTIONS.names if name != "score"} | {"score": 0.9 - 0.001 * index}
            for index, row in enumerate(tables.annotations.to_pylist())
            if index % 7
        ]
        detections = pa.Table.from_pylist(rows, DETECTIONS)
        scored = evaluate_multisports(tables.annotations, tables.keyframes, detections, tables.labels)
        scores.append((scored["frame_map"], scored["video_map"]))
    assert scores[0] == scores[1]
    assert 0 < scores[0][0] < 1


MAP = "1: walk\n2: sit\n3: wave\n"


def rows_of(folder: Path, text: str, labels: str = MAP, name: str = "train.csv", **options: Any) -> list[tuple]:
    (folder / name).write_text(text)
    (folder / "labelmap.txt").write_text(labels)
    (folder / "videos.csv").write_text("video_id,first_timestamp,fps\na.mp4,0,10\nx,0,10\n")
    found = import_source(folder, SourceOptions(**{"classes": 3, **options}))
    assert found.problems == []
    return [(row["video_id"], row["time_seconds"], row["action_id"]) for row in found.annotations.to_pylist()]


BOX = "0.1,0.2,0.3,0.8"


@pytest.mark.parametrize(
    ("film", "stamps"),
    [
        ("a.mp4", ("1", "2")),
        ("a.MOV", ("1", "2")),
        ("a.m2ts", ("1", "2")),
        ("videos/a.mp4", ("1", "2.5")),  # frames have no fractions
        ("videos/a.mp4", ("0", "1")),  # and begin at 1
        ("videos/a.mp4", ("0001", "0002")),  # as AVA writes seconds
    ],
)
def test_seconds_of_files_stay_seconds(tmp_path: Path, film: str, stamps: tuple[str, str]) -> None:
    text = "".join(f"{film},{at},{BOX},{number}\n" for number, at in enumerate(stamps, start=2))
    assert rows_of(tmp_path, text) == [("a", float(at), number) for number, at in enumerate(stamps, start=2)]


def test_what_cannot_be_told_is_refused_and_can_be_set(tmp_path: Path) -> None:
    text = f"football/x.mp4,11,{BOX},1\nfootball/x.mp4,21,{BOX},3\n"
    with pytest.raises(InputError) as error:
        rows_of(tmp_path, text)
    assert str(error.value) == (
        f"{tmp_path / 'train.csv'}: names films by files in folders ('football/x.mp4'): timestamps of MultiSports' "
        "rows are frames, those of AVA's are seconds; expected "
        "dataset.timestamps: frames, or dataset.timestamps: seconds"
    )
    assert rows_of(tmp_path, text, timestamps="seconds") == [("x", 11.0, 1), ("x", 21.0, 3)]
    assert rows_of(tmp_path, text, timestamps="frames") == [("x", 1.0, 1), ("x", 2.0, 3)]


def test_frames_of_plain_ids_need_a_rate(tmp_path: Path) -> None:
    assert rows_of(tmp_path, f"x,11,{BOX},1\n", timestamps="frames") == [("x", 1.0, 1)]
    with pytest.raises(InputError, match=r"train\.csv: counts frames of video y, and nothing says how many"):
        rows_of(tmp_path, f"y,11,{BOX},1\n", timestamps="frames")


def test_the_label_map_says_where_ids_begin(tmp_path: Path) -> None:
    text = f"{CLIP},11,{BOX},1\n{CLIP},12,{BOX},3\n"
    assert [action for *_, action in rows_of(tmp_path, text)] == [1, 3]
    zero = "0: walk\n1: sit\n2: wave\n"
    from_zero = text.replace(",3\n", ",2\n").replace(",1\n", ",0\n")
    assert [action for *_, action in rows_of(tmp_path, from_zero, zero)] == [1, 3]
    with pytest.raises(InputError, match="action ids go from 0 to 2, expected 1 to 3: all would be off by one"):
        rows_of(tmp_path, from_zero)


def test_files_and_their_films_are_one(tmp_path: Path) -> None:
    assert rows_of(tmp_path, f"a.mp4,1.5,{BOX},1\na,2.5,{BOX},2\n") == [("a", 1.5, 1), ("a", 2.5, 2)]
    (tmp_path / "val_excluded_timestamps.csv").write_text("x.mp4,3\n")
    (tmp_path / "val.csv").write_text(f"x.mp4,1.5,{BOX},1\n")
    rows_of(tmp_path, f"a.mp4,1.5,{BOX},1\n")
    found = import_source(tmp_path, SourceOptions(classes=3))
    assert found.keyframes["status"].to_pylist() == ["annotated", "annotated", "excluded"]


@pytest.mark.parametrize(
    ("name", "split"),
    [("train.csv", "train"), ("my_validation_rows.csv", "val"), ("testing.csv", "test"), ("ava_val_v3.csv", "val")],
)
def test_the_name_of_a_file_says_its_split(tmp_path: Path, name: str, split: str) -> None:
    rows_of(tmp_path, f"a.mp4,1.5,{BOX},1\n", name=name)
    assert import_source(tmp_path, SourceOptions(classes=3)).timelines["split"].to_pylist() == [split]
