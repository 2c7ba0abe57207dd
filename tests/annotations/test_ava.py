import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.annotations.ava import AvaImport, import_ava
from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.errors import InputError
from pipeline.tables.csv_rows import VIDEO_ID_EXPECTED
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


def test_the_other_columns_of_an_empty_keyframe_may_be_there_and_empty(tmp_path: Path) -> None:
    found = import_ava(write_source(tmp_path, train="v1,902,,,,,,\nv1,903,,,,,\n"), classes=80)
    assert statuses(found) == [("v1", 902.0, "train", "empty"), ("v1", 903.0, "train", "empty")]


BAD_ROWS = {
    "v1,902,0.1,0.2,0.3,0.4": "found column count 6, expected 2, 7 or 8",
    "v1": "found column count 1, expected 2, 7 or 8",
    "v1,902,0.1,0.2,0.3,0.4,1,0,0": "found column count 9, expected 2, 7 or 8",
    ",902,0.1,0.2,0.3,0.4,1,0": f"found no video id, expected {VIDEO_ID_EXPECTED}",
    "../v,902,0.1,0.2,0.3,0.4,1,0": f"found video id '../v', expected {VIDEO_ID_EXPECTED}",
    "v1,soon,0.1,0.2,0.3,0.4,1,0": "found timestamp 'soon', expected a number of seconds",
    "v1,": "found timestamp '', expected a number of seconds",
    "v1,1e10": "found timestamp '1e10', expected a number of seconds",
    "video_id,timestamp,x1,y1,x2,y2,action_id,person_id": "found timestamp 'timestamp', expected a number of seconds",
    "v1,902,left,0.2,0.3,0.4,1,0": "found x1 'left', expected a finite number",
    "v1,902,0.1,nan,0.3,0.4,1,0": "found y1 'nan', expected a finite number",
    "v1,902,0.1,0.2,inf,0.4,1,0": "found x2 'inf', expected a finite number",
    "v1,902,0.1,0.2,0.3,,1,0": "found y2 '', expected a finite number",
    "v1,902,32,64,96,128,1,0": "found box 32 64 96 128, expected coordinates from 0 to 1, as shares of the frame's "
    "width and height",
    "v1,902,-0.001,0.2,0.3,0.4,1,0": "found box -0.001 0.2 0.3 0.4, expected coordinates from 0 to 1, as shares of "
    "the frame's width and height",
    "v1,902,0.3,0.2,0.1,0.4,1,0": "found box 0.3 0.2 0.1 0.4, expected x1 < x2 and y1 < y2",
    "v1,902,0.1,0.2,0.3,0.2,1,0": "found box 0.1 0.2 0.3 0.2, expected x1 < x2 and y1 < y2",
    "v1,902,0.1,0.2,0.3,0.4,0,0": "found action id '0', expected a whole number from 1 to 80",
    "v1,902,0.1,0.2,0.3,0.4,81,0": "found action id '81', expected a whole number from 1 to 80",
    "v1,902,0.1,0.2,0.3,0.4,1.5,0": "found action id '1.5', expected a whole number from 1 to 80",
    "v1,902,0.1,0.2,0.3,0.4,walk,0": "found action id 'walk', expected a whole number from 1 to 80",
    "v1,902,0.1,0.2,0.3,0.4,,0": "found action id '', expected a whole number from 1 to 80",
    "v1,902,0.1,0.2,0.3,0.4,1,me": "found person id 'me', expected a whole number or nothing",
    "v1,902,0.1,0.2,0.3,0.4,1,99999999999": "found person id '99999999999', expected a whole number or nothing",
    "v1,899,0.1,0.2,0.3,0.4,1,0": "found timestamp 899 in a film that begins at timestamp 900, expected a time in "
    "the film (videos.csv sets first_timestamp and offset_seconds)",
    "v1,0902.0,0.10,0.2,0.3,0.4,1,0": "found a repetition of row 1, expected each row once",
    "v1,902,0.1,0.2,0.3,0.4,1,3": "found another person with the box and action of row 1, expected one person in a box",
    "v1,902,0.1,0.2,0.3,0.4,1": "found another person with the box and action of row 1, expected one person in a box",
    "v1,902": "found an empty keyframe that has a box in row 1, expected two columns only for a keyframe without boxes",
}


@pytest.mark.parametrize("bad", BAD_ROWS)
def test_a_bad_row_is_told_and_nothing_else_is_lost(tmp_path: Path, bad: str) -> None:
    source = write_source(tmp_path, train=f"{GOOD}{bad}\nv1,0903,0.1,0.2,0.3,0.4,80,0\n")
    found = import_ava(source, classes=80)
    assert told(found) == [f"train.csv: row 2: {BAD_ROWS[bad]}"]
    assert [(row[1], row[7]) for row in rows(found)] == [(902.0, 1), (903.0, 80)]
    assert statuses(found) == [("v1", 902.0, "train", "annotated"), ("v1", 903.0, "train", "annotated")]
    assert found.rows == 3
    assert found.summary["bad_rows"] == 1
    assert list(found.summary["bad_rows_by_expectation"].values()) == [1]


def test_all_bad_rows_together_are_told_as_each_alone(tmp_path: Path) -> None:
    found = import_ava(write_source(tmp_path, train=GOOD + "\n".join(BAD_ROWS)), classes=80)
    assert told(found) == [f"train.csv: row {row}: {text}" for row, text in enumerate(BAD_ROWS.values(), start=2)]
    assert len(rows(found)) == 1


def test_the_rounding_of_float32_is_no_fault_and_stays(tmp_path: Path) -> None:
    found = import_ava(write_source(tmp_path, train="v1,902,-0.0000001,0,1.0000001,1,1,0\n"), classes=80)
    assert rows(found)[0][3:7] == (-1e-7, 0.0, 1.0000001, 1.0)


def test_repeated_empty_keyframes_and_excluded_rows_are_told(tmp_path: Path) -> None:
    source = write_source(tmp_path, train="v1,902\nv1,902\n", excluded_train="v1,903\nv1,903\nv1,904,1\nv1,x\n")
    found = import_ava(source, classes=80)
    assert told(found) == [
        "train.csv: row 2: found a repetition of row 1, expected each row once",
        "excluded_train.csv: row 2: found a repetition of row 1, expected each row once",
        "excluded_train.csv: row 3: found column count 3, expected 2",
        "excluded_train.csv: row 4: found timestamp 'x', expected a number of seconds",
    ]
    assert statuses(found) == [("v1", 902.0, "train", "empty"), ("v1", 903.0, "train", "excluded")]


def test_an_excluded_keyframe_of_another_split_is_told(tmp_path: Path) -> None:
    source = write_source(tmp_path, train=GOOD, excluded_val="v1,902\nnew,902\n", excluded_test="new,903\n")
    found = import_ava(source, classes=80)
    assert told(found) == [
        "excluded_val.csv: row 1: found video 'v1' of train, expected a video of val",
        "excluded_test.csv: row 1: found video 'new' of val, expected a video of test",
    ]
    assert statuses(found) == [("new", 902.0, "val", "excluded"), ("v1", 902.0, "train", "annotated")]


def test_an_excluded_keyframe_of_a_video_that_is_not_listed_is_told(tmp_path: Path) -> None:
    source = write_source(tmp_path, videos=HEADER + "v1,train,900,0\n", train=GOOD, excluded_train="v9,902\n")
    found = import_ava(source, classes=80)
    assert told(found) == ["excluded_train.csv: row 1: found video 'v9' of no split, expected a video of train"]


def test_a_keyframe_whose_rows_are_all_bad_is_not_called_empty(tmp_path: Path) -> None:
    found = import_ava(write_source(tmp_path, train=GOOD + "v1,903,0.3,0.2,0.1,0.4,1,0\n"), classes=80)
    assert statuses(found) == [("v1", 902.0, "train", "annotated")]


def test_classes_that_the_label_map_does_not_list_are_kept(tmp_path: Path) -> None:
    found = import_ava(write_source(tmp_path, train="v1,902,0.1,0.2,0.3,0.4,80,0\n"), classes=80)
    assert rows(found)[0][7] == 80
    assert found.summary["splits"]["train"]["labels_of_classes_not_in_the_label_map"] == 1
    assert found.summary["splits"]["train"]["labels_per_class"] == {"1": 0, "2": 0, "12": 0, "80": 1}


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


LABELS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "-_"]),
        st.integers(900, 903),
        st.tuples(st.floats(0, 0.4), st.floats(0, 0.4), st.floats(0.5, 1), st.floats(0.5, 1)),
        st.integers(1, 80),
        st.none() | st.integers(0, 3),
    ),
    unique_by=lambda row: row[:4],
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(labels=LABELS, order=st.randoms())
def test_round_trip_in_any_order(scratch: Path, labels: list, order) -> None:
    lines = [
        ",".join([video, f"{stamp:04d}", *map(repr, box), str(action), *([] if person is None else [str(person)])])
        for video, stamp, box, action, person in labels
    ]
    folder = scratch / "round_trip"
    found = import_ava(write_source(folder, train="\n".join(lines)), classes=80)
    assert found.problems == []
    assert rows(found) == sorted(
        [(video, float(stamp), stamp - 900.0, *box, action, person) for video, stamp, box, action, person in labels],
        key=lambda row: (row[0], row[1], row[3:7], row[7]),
    )
    order.shuffle(lines)
    again = import_ava(write_source(folder, train="\n".join(lines)), classes=80)
    assert again.annotations.equals(found.annotations)
    assert again.keyframes.equals(found.keyframes)
    assert again.summary == found.summary


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


def test_rows_that_are_parted_otherwise_and_wide_rows(tmp_path: Path) -> None:
    wide = GOOD.replace("v1,", '"v1, part 2",', 1)
    for rows, message in (
        (GOOD.replace(",", ";"), "column count 1 (fields are parted by ';', not by commas), expected 2, 7 or 8"),
        (GOOD.replace(",", "\t"), "column count 1 (fields are parted by tabs, not by commas), expected 2, 7 or 8"),
        (wide, "column count 9, expected 2, 7 or 8"),
    ):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        source = write_source(folder, train=rows, val="w,903,0.1,0.2,0.3,0.4,1,0\n")
        found = import_source(source, SourceOptions(classes=80))  # a shifted column is not taken for ids from 0
        assert f"train.csv: row 1: found {message}" in map(str, found.problems)


def test_the_header_of_videos_csv_may_be_in_capitals(tmp_path: Path) -> None:
    videos = "Video_ID,First_Timestamp\nv1,0\n"
    found = import_ava(write_source(tmp_path, videos=videos, train=GOOD, val=""), classes=80)
    assert found.timelines["first_timestamp"].to_pylist() == [0.0]
