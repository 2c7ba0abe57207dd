import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.annotations.ava import AvaImport, import_ava
from pipeline.base.errors import InputError
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import ANNOTATIONS, BOX_COLUMNS, KEYFRAMES, TIMELINES, check_table
from tests.annotations.sources import LABELMAP, write_source

GOOD = "v1,0902,0.1,0.2,0.3,0.4,1,0\n"
HEADER = "video_id,split,first_timestamp,offset_seconds\n"


def rows(found: AvaImport) -> list[tuple]:
    return [tuple(row.values()) for row in found.annotations.to_pylist()]


def statuses(found: AvaImport) -> list[tuple]:
    return [(row["video_id"], row["timestamp"], row["split"], row["status"]) for row in found.keyframes.to_pylist()]


def told(found: AvaImport) -> list[str]:
    return list(map(str, found.problems))


def test_rows_become_tables(tmp_path: Path) -> None:
    source = write_source(
        tmp_path,
        train="v2,902,0.5,0.5,1.000,1.000,12,7\nv1,0903\nv1,0902,0.1,0.2,0.3,0.4,2,0\n"
        "v1,0902,0.123456789012345678,0.2,0.3,0.4,1\n",
        val="w,1000.25,0,0,1,1,1,-1\n",
        excluded_val="w,1001\nw,1000.25\n",
    )
    found = import_ava(source, classes=80)
    assert found.problems == []
    assert found.rows == 7
    assert rows(found) == [
        ("v1", 902.0, 2.0, 0.1, 0.2, 0.3, 0.4, 2, 0),
        ("v1", 902.0, 2.0, 0.123456789012345678, 0.2, 0.3, 0.4, 1, None),
        ("v2", 902.0, 2.0, 0.5, 0.5, 1.0, 1.0, 12, 7),
        ("w", 1000.25, 100.25, 0.0, 0.0, 1.0, 1.0, 1, -1),
    ]
    assert statuses(found) == [
        ("v1", 902.0, "train", "annotated"),
        ("v1", 903.0, "train", "empty"),
        ("v2", 902.0, "train", "annotated"),
        ("w", 1000.25, "val", "excluded"),
        ("w", 1001.0, "val", "excluded"),
    ]
    for table, schema in (
        (found.annotations, ANNOTATIONS),
        (found.keyframes, KEYFRAMES),
        (found.timelines, TIMELINES),
    ):
        check_table(table, schema, "table")
    assert found.labels[2] == Label(12, "action 12", "person_movement")
    assert found.summary == {
        "rows": 7,
        "bad_rows": 0,
        "bad_rows_by_expectation": {},
        "splits": {
            "train": {
                "videos": 2,
                "keyframes": {"annotated": 2, "empty": 1, "excluded": 0},
                "boxes": 3,
                "labels": 3,
                "labels_of_classes_not_in_the_label_map": 0,
                "labels_per_class": {"1": 1, "2": 1, "12": 1},
            },
            "val": {
                "videos": 1,
                "keyframes": {"annotated": 0, "empty": 0, "excluded": 2},
                "boxes": 1,
                "labels": 1,
                "labels_of_classes_not_in_the_label_map": 0,
                "labels_per_class": {"1": 1, "2": 0, "12": 0},
            },
        },
    }


def test_videos_csv_sets_split_and_time(tmp_path: Path) -> None:
    source = write_source(
        tmp_path,
        videos=HEADER + "v1,train,900,0.5\nt1,test,0,0\n",
        train=GOOD,
        excluded_train="v1,903\n",
    )
    found = import_ava(source, classes=80)
    assert found.annotations["time_seconds"].to_pylist() == [2.5]
    assert found.timelines["video_id"].to_pylist() == ["t1", "v1"]
    assert found.summary["splits"]["test"]["videos"] == 1
    assert found.summary["splits"]["test"]["labels"] == 0


def times(found: AvaImport) -> list[tuple]:
    return [tuple(row.values()) for row in found.timelines.to_pylist()]


def test_columns_of_videos_csv_come_by_name_and_splits_from_the_csv_that_names_the_video(tmp_path: Path) -> None:
    def of(videos: str) -> list[tuple]:
        return times(import_ava(write_source(tmp_path, videos=videos, **files), classes=80))

    files = {"train": GOOD, "val": GOOD.replace("v1", "w"), "excluded_val": "x,903\n"}
    written = "video_id,split,fps,width,height\nv1,,25,640,360\nw,,30,,\nx,,,,\nunlabelled,,25,640,360\n"
    assert of(written) == [("v1", "train", 900, 0), ("w", "val", 900, 0), ("x", "val", 900, 0)]
    assert of("split,first_timestamp,video_id\n,0,v1\nval,10,w\ntest,0,t\n")[:2] == [
        ("t", "test", 0, 0),
        ("v1", "train", 0, 0),
    ]
    assert of("video_id,offset_seconds\nv1,0.5\nw,0\n") == [("v1", "train", 900, 0.5), ("w", "val", 900, 0)]
    assert of(HEADER + "v1,,10,0.5\nw,val,0,0\n") == [("v1", "train", 10, 0.5), ("w", "val", 0, 0)]


@pytest.mark.parametrize(
    ("videos", "val", "message"),
    [
        (
            "video_id,first_timestamp\nv1,0\nw,\n",
            "w,903\n",
            "videos.csv: found no first_timestamp of video w, expected it of every video or of none",
        ),
        (
            "video_id,fps\nv1,25\n",
            "v1,903\n",
            "val.csv: video v1 is in train.csv too; a video belongs to one split",
        ),
        (
            "video_id,split,fps\nv1,train,25\n",
            "v1,903\n",
            "val.csv: video v1 is of train in videos.csv; a video belongs to one split",
        ),
        (
            "video_id,rate\nv1,25\n",
            "w,903\n",
            "videos.csv: the first row is 'video_id,rate', expected video_id and any of split, first_timestamp, "
            "offset_seconds, fps, width, height",
        ),
        (
            "video,split\nv1,train\n",
            "w,903\n",
            "videos.csv: the first row is not the header video_id,split,first_timestamp,offset_seconds",
        ),
    ],
)
def test_a_wrong_videos_csv_ends_the_run(tmp_path: Path, videos: str, val: str, message: str) -> None:
    source = write_source(tmp_path, videos=videos, train=GOOD, val=val)
    with pytest.raises(InputError) as error:
        import_ava(source, classes=80)
    assert str(error.value) == f"{source}/{message}"


def test_a_test_split_needs_only_the_list(tmp_path: Path) -> None:
    found = import_ava(write_source(tmp_path, videos=HEADER + "t1,test,0,0\n"), classes=80)
    assert found.annotations.num_rows == found.keyframes.num_rows == 0
    assert found.timelines["split"].to_pylist() == ["test"]


def refusal(source: Path, classes: int = 80) -> str:
    with pytest.raises(InputError) as error:
        import_ava(source, classes=classes)
    return str(error.value)


def test_what_ends_the_run(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent") == f"{tmp_path / 'absent'}: no such folder of annotations"
    source = tmp_path / "source"
    source.mkdir()
    assert refusal(source) == f"{source / 'labelmap.pbtxt'}: no such file"
    write_source(source)
    expected = "expected train.csv, val.csv, test.csv or videos.csv"
    assert refusal(source) == f"{source}: found no CSV file, {expected}"
    write_source(source, train_v2=GOOD)
    assert refusal(source) == f"{source}: found train_v2.csv, {expected}"
    (source / "train_v2.csv").unlink()
    write_source(source, train="")
    assert refusal(source) == f"{source}: no row of the CSV files can be used: there are none"
    write_source(source, train="v1;902\n")
    assert refusal(source) == (
        f"{source}: no row of the CSV files can be used: train.csv: row 1: found column count 1 (fields "
        "are parted by ';', not by commas), expected 2, 7 or 8"
    )
    write_source(source, train=GOOD)
    assert refusal(source, classes=11) == (
        f"{source / 'labelmap.pbtxt'}: class ids go to 12, expected 1 to 11 (dataset.classes)"
    )
    write_source(source, val=GOOD)
    assert refusal(source) == (f"{source / 'val.csv'}: video v1 is in train.csv too; a video belongs to one split")


def test_the_real_sample(tmp_path: Path, real: Path) -> None:
    shutil.copy(real / "ava_dataset/ava_sample.csv", tmp_path / "train.csv")
    shutil.copy(real / "ava_dataset/ava_excluded_timestamps_sample.csv", tmp_path / "excluded_train.csv")
    shutil.copy(real / "label_maps/ava_action_list_v2.1_for_activitynet_2018.pbtxt", tmp_path / "labelmap.pbtxt")
    found = import_ava(tmp_path, classes=80)
    assert found.problems == []
    assert rows(found)[:3] == [
        ("0f39OWEqJ24", 902.0, 2.0, 0.031, 0.162, 0.67, 0.995, action, 0) for action in (12, 17, 79)
    ]
    assert statuses(found) == [
        ("0f39OWEqJ24", 902.0, "train", "annotated"),
        ("0f39OWEqJ24", 903.0, "train", "excluded"),
        ("_-Z6wFjXtGQ", 902.0, "train", "excluded"),
    ]
    assert len(found.labels) == 60
    assert found.summary["splits"]["train"]["boxes"] == 3


def test_the_real_multisports_sample(tmp_path: Path, real: Path) -> None:
    sample = real / "multisports_dataset/multisports_sample.csv"
    videos = sorted({line.split(",")[0] for line in sample.read_text().splitlines()})
    write_source(tmp_path, val=sample.read_text(), videos=HEADER + "".join(f"{v},val,0,0\n" for v in videos))
    found = import_ava(tmp_path, classes=66)
    assert found.problems == []
    assert found.annotations.num_rows == 9
    assert found.annotations["video_id"][0].as_py() == "v_aqMgwPExjD0_c001"


def test_the_real_ground_truth_of_the_evaluation_sample(tmp_path: Path, real: Path) -> None:
    shutil.copy(real / "eval_detection/gt.csv", tmp_path / "val.csv")
    shutil.copy(real / "eval_detection/action_list.txt", tmp_path / "labelmap.pbtxt")
    found = import_ava(tmp_path, classes=3)
    assert (found.problems, found.annotations.num_rows, found.keyframes.num_rows) == ([], 12, 3)


FIELD = st.sampled_from(["v", "0902", "902", "0.1", "0.5", "1", "", "nan", "-1", "1e3", "80", "x", '"', "\x00"])
LINE = st.lists(FIELD, max_size=9).map(",".join) | st.text(max_size=20)


@settings(deadline=None)
@given(train=st.lists(LINE, max_size=6), excluded=st.lists(LINE, max_size=3), videos=st.none() | st.lists(LINE))
def test_garbage_is_a_problem_or_an_input_error(
    scratch: Path, train: list[str], excluded: list[str], videos: list[str] | None
) -> None:
    folder = scratch / "garbage"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "labelmap.pbtxt").write_text(LABELMAP)
    for name, lines in (("train", train), ("excluded_train", excluded)):
        (folder / f"{name}.csv").write_text("\n".join(lines), "utf-8", "surrogatepass", newline="")
    if videos is not None:
        (folder / "videos.csv").write_text(HEADER + "\n".join(videos), "utf-8", "surrogatepass", newline="")
    try:
        found = import_ava(folder, classes=80)
    except InputError:
        return
    for table, schema in ((found.annotations, ANNOTATIONS), (found.keyframes, KEYFRAMES)):
        check_table(table, schema, "table")
    boxes = np.column_stack([found.annotations[name].to_numpy() for name in BOX_COLUMNS])
    assert (boxes[:, :2] < boxes[:, 2:]).all()
    empty = sum(status == "empty" for *_, status in statuses(found))
    assert found.annotations.num_rows + empty <= found.rows
    assert len(found.problems) == len({(problem.file, problem.item) for problem in found.problems})


def test_the_header_of_videos_csv_may_be_in_capitals(tmp_path: Path) -> None:
    videos = "Video_ID,First_Timestamp\nv1,0\n"
    found = import_ava(write_source(tmp_path, videos=videos, train=GOOD, val=""), classes=80)
    assert found.timelines["first_timestamp"].to_pylist() == [0.0]
