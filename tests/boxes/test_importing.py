import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.annotations.ava import import_ava
from pipeline.base.errors import InputError
from pipeline.boxes.formats_of_boxes import EXPECTED
from pipeline.boxes.importing import FATES, BoxImport, import_boxes
from pipeline.playground.make import film_specs
from pipeline.playground.write_files import describe_film, write_annotations, write_proposals
from pipeline.tables.schemas import BOXES, check_table
from pipeline.tables.timelines import Timeline, timelines_table

A, B = (0.1, 0.2, 0.3, 0.4), (0.5, 0.5, 1.0, 1.0)
TIMELINES = timelines_table({"v1": Timeline("train"), "v2": Timeline("train", 0, 0.5), "w": Timeline("val")})


def write(folder: Path, **files: dict | list[tuple]) -> Path:
    """`name_pkl={...}` writes a pickle, `name_csv=[(video, timestamp, box, score), ...]` a CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name.replace("_", ".")
        if isinstance(content, dict):
            path.write_bytes(pickle.dumps({key: np.array(rows) for key, rows in content.items()}))
        else:
            lines = [",".join([video, str(t), *map(repr, box), "", repr(score)]) for video, t, box, score in content]
            path.write_text("\n".join(lines))
    return folder


def run(folder: Path, *, min_score: float = 0.05, timelines: pa.Table = TIMELINES) -> BoxImport:
    found = import_boxes(folder, timelines, min_score=min_score)
    check_table(found.boxes, BOXES, "boxes")
    return found


def rows(found: BoxImport) -> list[tuple]:
    return [tuple(row.values()) for row in found.boxes.to_pylist()]


def test_boxes_of_both_formats_become_one_sorted_table(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        b_pkl={"v1,0903": [[*A, 0.5]], "v1,0902": [[*A, 0.9], [*B, 0.9], [*B[:3], 0.9, 1.0]], "w,0950": [[*A, 1.0]]},
        a_csv=[("v2", 3, A, 0.25)],
    )
    (folder / ".gitignore").write_text("*")
    found = run(folder)
    assert found.problems == []
    assert rows(found) == [
        ("v1", 902.0, 2.0, *B[:3], 0.9, 1.0, "ava_proposals_pickle", None, None),
        ("v1", 902.0, 2.0, *A, 0.9, "ava_proposals_pickle", None, None),
        ("v1", 902.0, 2.0, *B, 0.9, "ava_proposals_pickle", None, None),
        ("v1", 903.0, 3.0, *A, 0.5, "ava_proposals_pickle", None, None),
        ("v2", 3.0, 3.5, *A, 0.25, "pyslowfast_csv", None, None),
        ("w", 950.0, 50.0, *A, 1.0, "ava_proposals_pickle", None, None),
    ]


def test_the_account_of_what_became_of_every_row(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        a_pkl={
            "v1,0902": [[*A, 0.5], [*B, 0.01], [*A, 0.7], [3, 0, 1, 1, 0.5]],
            "v1,0903": [[*A, 0.04]],
            "v1,0904": [],
            "unknown,0902": [[*A, 0.5], [*B, 0.5]],
            "no timestamp": [[*A, 0.5]],
        },
        b_csv=[("v1", 902, A, 0.6), ("v1", 902, A, 0.9), ("v1", 902, B, 0.05), ("w", 901, A, 0.99)],
    )
    found = run(folder)
    assert rows(found) == [
        ("v1", 902.0, 2.0, *A, 0.9, "pyslowfast_csv", None, None),
        ("v1", 902.0, 2.0, *B, 0.05, "pyslowfast_csv", None, None),
        ("w", 901.0, 1.0, *A, 0.99, "pyslowfast_csv", None, None),
    ]
    assert list(map(str, found.problems)) == [
        "a.pkl: key 'no timestamp': found no number after the last comma, expected 'video_id,timestamp'",
        "a.pkl: key 'v1,0902', box 4: found box 3 0 1 1, expected coordinates from 0 to 1, as shares of the frame's "
        "width and height",
        "a.pkl: video 'unknown': found 2 rows of a video without annotations, expected a video of train.csv, "
        "val.csv, test.csv or videos.csv",
        "a.pkl: 1 boxes: found boxes that b.csv has too, expected each box in one file",
    ]
    assert found.rows == 13
    first: dict[str, Any] = {
        "file": "a.pkl",
        "format": "ava_proposals_pickle",
        "kept": 0,
        "keyframes_without_a_box": 1,
        "bad": 2,
        "unknown_video": 2,
        "below_min_score": 2,
        "same_box_again": 1,
        "same_box_in_another_file": 1,
        "not_persons": 0,
        "rows": 9,
    }
    second: dict[str, Any] = {
        "file": "b.csv",
        "format": "pyslowfast_csv",
        "kept": 3,
        "keyframes_without_a_box": 0,
        "bad": 0,
        "unknown_video": 0,
        "below_min_score": 0,
        "same_box_again": 1,
        "same_box_in_another_file": 0,
        "not_persons": 0,
        "rows": 4,
    }
    assert found.summary["files"] == [first, second]
    assert found.summary["all_files"] == {
        key: first[key] + second[key] for key in first if key not in ("file", "format")
    }
    assert found.summary["splits"] == {
        "train": {
            "videos": 2,
            "videos_without_a_box": 1,
            "keyframes": 3,
            "keyframes_without_a_box": 2,
            "boxes": 2,
        },
        "val": {"videos": 1, "videos_without_a_box": 0, "keyframes": 1, "keyframes_without_a_box": 0, "boxes": 1},
    }
    histogram = found.summary["score_histogram"]
    assert histogram["bin_width"] == 0.05
    assert [(i, n) for i, n in enumerate(histogram["counts"]) if n] == [
        (0, 2), (1, 1), (10, 1), (12, 1), (14, 1), (18, 1), (19, 1)
    ]  # fmt: skip
    assert (found.summary["rows"], found.summary["min_score"]) == (13, 0.05)


def test_boxes_without_a_score_have_score_one(tmp_path: Path) -> None:
    assert rows(run(write(tmp_path, a_pkl={"v1,0902": [A]})))[0][7] == 1.0


def test_the_floor_is_kept(tmp_path: Path) -> None:
    folder = write(tmp_path, a_csv=[("v1", 902, A, 0.5), ("v1", 902, B, 0.4999)])
    assert [row[7] for row in rows(run(folder, min_score=0.5))] == [0.5]
    assert len(rows(run(folder, min_score=0.0))) == 2


def test_the_same_box_in_two_files_with_one_score_stays_in_the_first(tmp_path: Path) -> None:
    folder = write(tmp_path, a_csv=[("v1", 902, A, 0.5)], b_pkl={"v1,0902": [[*A, 0.5]]})
    found = run(folder)
    assert [row[8] for row in rows(found)] == ["pyslowfast_csv"]
    assert list(map(str, found.problems)) == [
        "b.pkl: 1 boxes: found boxes that a.csv has too, expected each box in one file"
    ]


def test_a_box_before_its_film_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path, a_pkl={"v1,0899": [[*A, 0.5]], "v1,0900": [[*A, 0.5]], "v2,-1": [[*A, 0.5]]})
    found = run(folder)
    assert list(map(str, found.problems)) == [
        "a.pkl: key 'v1,0899', box 1: found timestamp 899 in a film that begins at timestamp 900, expected a time in "
        "the film (videos.csv sets first_timestamp and offset_seconds)",
        "a.pkl: key 'v2,-1', box 1: found timestamp -1 in a film that begins at timestamp -0.5, expected a time in "
        "the film (videos.csv sets first_timestamp and offset_seconds)",
    ]
    assert [row[2] for row in rows(found)] == [0.0]


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as error:
        run(folder)
    return str(error.value)


def test_what_ends_the_run(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent") == f"{tmp_path / 'absent'}: no such folder of boxes"
    expected = f"expected {EXPECTED}"
    folder = tmp_path / "boxes"
    folder.mkdir()
    assert refusal(folder) == f"{folder}: found no file, {expected}"
    (folder / "boxes.json").write_text("[]")
    assert refusal(folder) == f"{folder}: found boxes.json, {expected}"
    (folder / "boxes.json").unlink()
    (folder / "a.csv").write_text("v1,902\n")
    nothing = f"{folder}: no row is a box of a video that the annotations name: "
    assert refusal(folder) == nothing + "there are no rows"
    image = {"id": 1, "movie": "v1", "timestamp": 902, "width": 200, "height": 100}
    box = {"image_id": 1, "bbox": [20, 10, 40, 50], "score": 0.75, "category_id": 7}
    (folder / "others.json").write_text(json.dumps({"images": [image], "annotations": [box]}))
    assert refusal(folder) == f"{folder}: no row is a box of a person: 1 boxes have other classes"
    (folder / "others.json").unlink()
    write(folder, a_csv=[("other", 902, A, 0.5)])
    assert refusal(folder) == nothing + (
        "a.csv: video 'other': found 1 row of a video without annotations, expected a video of train.csv, val.csv, "
        "test.csv or videos.csv"
    )
    write(folder, a_csv=[("v1", 902, (1, 2, 3, 4), 0.5)])
    assert refusal(folder) == nothing + (
        "a.csv: row 1: found box 1 2 3 4, expected coordinates from 0 to 1, as shares of the frame's width and height"
    )
    (folder / "b.pkl").write_bytes(b"cos\nsystem\n.")
    assert refusal(folder).startswith(f"{folder / 'b.pkl'}: refused: the pickle names os.system; only")


def test_the_real_samples(tmp_path: Path, real: Path) -> None:
    shutil.copy(real / "ava_dataset/ava_proposals_sample.pkl", tmp_path / "train.pkl")
    shutil.copy(real / "eval_detection/proposal.pkl", tmp_path / "val.pkl")
    shutil.copy(real / "eval_detection/pred.csv", tmp_path / "val.csv")
    videos = {"0f39OWEqJ24": "train", "_-Z6wFjXtGQ": "train"}
    videos |= dict.fromkeys(["3reY9zJKhqN", "HmR8SmNIoxu", "5HNXoce1raG"], "val")
    timelines = timelines_table({video: Timeline(split) for video, split in videos.items()})
    found = run(tmp_path, timelines=timelines)
    assert [row[3:8] for row in rows(found) if row[0] == "0f39OWEqJ24" and row[1] == 902] == [
        (0.011, 0.157, 0.655, 0.983, 0.998163)
    ]
    # The proposals of this sample are the boxes of its 30 detections, of which one scores below the floor.
    assert list(map(str, found.problems)) == [
        "val.csv: 29 boxes: found boxes that val.pkl has too, expected each box in one file"
    ]
    assert found.summary["splits"]["val"]["boxes"] == 30
    assert found.summary["splits"]["train"] == {
        "videos": 2,
        "videos_without_a_box": 0,
        "keyframes": 3,
        "keyframes_without_a_box": 0,
        "boxes": 5,
    }


def test_the_playgrounds_pickle_and_csv_hold_the_same_boxes(tmp_path: Path) -> None:
    specs = film_specs(train_videos=1, val_videos=1, min_seconds=20, max_seconds=20, width=160, height=120, seed=1)
    films = [describe_film(spec.script(), 1) for spec in specs]
    pickles, tables, annotations = (tmp_path / name for name in ("pickles", "tables", "annotations"))
    write_proposals(pickles, tables, films)
    write_annotations(annotations, films)
    timelines = import_ava(annotations, classes=100).timelines
    one, two = (run(folder, timelines=timelines) for folder in (pickles, tables))
    assert one.problems == two.problems == []
    assert one.boxes.num_rows > 50
    assert one.boxes.drop(["source"]).equals(two.boxes.drop(["source"]))


BOXES_IN = st.lists(
    st.tuples(
        st.sampled_from(["v1", "v2", "w", "unknown"]),
        st.integers(899, 902),
        st.sampled_from([A, B, (0.3, 0.3, 0.2, 0.4), (0.0, 0.0, 1.0, 1.0)]),
        st.sampled_from([0.0, 0.04, 0.05, 0.5, 1.0, 2.0]),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(first=BOXES_IN, second=BOXES_IN)
def test_every_row_is_accounted_for(scratch: Path, first: list, second: list) -> None:
    folder = scratch / "boxes"
    shutil.rmtree(folder, ignore_errors=True)
    keys: dict[str, list] = {}
    for video, stamp, box, score in second:
        keys.setdefault(f"{video},{stamp:04d}", []).append([*box, score])
    write(folder, a_csv=first, b_pkl=keys)

    def usable(row: tuple) -> bool:
        video, stamp, box, score = row
        in_film = stamp >= 900 or video == "v2"
        return bool(video != "unknown" and in_film and box[0] < box[2] and score <= 1)

    best: dict[tuple, float] = {}
    for video, stamp, box, score in filter(usable, [*first, *second]):
        if score >= 0.05:
            best[video, stamp, box] = max(score, best.get((video, stamp, box), 0))
    if not any(map(usable, [*first, *second])):
        with pytest.raises(InputError):
            run(folder)
        return
    found = run(folder)
    expected = [(video, stamp, *box, score) for (video, stamp, box), score in best.items()]
    expected.sort(key=lambda row: (row[0], row[1], -row[-1], row[2:6]))
    assert [(row[0], row[1], *row[3:8]) for row in rows(found)] == expected
    for counts in (*found.summary["files"], found.summary["all_files"]):
        assert sum(counts[fate] for fate in FATES) == counts["rows"]
    assert found.summary["all_files"]["rows"] == len(first) + len(second)
    assert found.summary["all_files"]["kept"] == found.boxes.num_rows
    assert sum(each["boxes"] for each in found.summary["splits"].values()) == found.boxes.num_rows


def test_names_of_files_are_films(tmp_path: Path) -> None:
    found = run(write(tmp_path, a_csv=[("clips/v1.mp4", 903, A, 0.25), ("w", 950, A, 0.5)]))
    assert found.problems == []
    assert [row[0] for row in rows(found)] == ["v1", "w"]
    assert found.told[1] == "a.csv: ids are files (clips/v1.mp4 is film v1)"


def test_other_names_are_refused_with_a_guess(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        run(write(tmp_path, a_csv=[("x/V1", 903, A, 0.25)]))
    assert str(error.value).endswith("expected a video of train.csv, val.csv, test.csv or videos.csv (is x/V1 v1?)")


@pytest.mark.parametrize(
    ("key", "source", "second"),
    [
        ("v1.mp4,903", "ava_proposals_pickle", 3.0),
        ("clips/v1.mp4,0903", "ava_proposals_pickle", 3.0),  # as AVA writes seconds
        ("clips/v1.mp4,903.5", "ava_proposals_pickle", 3.5),
    ],
)
def test_seconds_of_files_are_no_frames(tmp_path: Path, key: str, source: str, second: float) -> None:
    ((video_id, _, at, *_, found, _, _),) = rows(run(write(tmp_path, a_pkl={key: [[*A, 0.5]]})))
    assert (video_id, at, found) == ("v1", second, source)


def test_frames_of_proposals_are_said(tmp_path: Path) -> None:
    timelines = timelines_table({"v_aqMgwPExjD0_c001": Timeline("train", 0)})
    found = run(write(tmp_path, a_pkl={"x/v_aqMgwPExjD0_c001.mp4,26": [[*A, 0.5]]}), timelines=timelines)
    assert rows(found)[0][:3] == ("v_aqMgwPExjD0_c001", 1.0, 1.0)
    assert found.told[1] == "a.pkl: timestamps are frames, of which 25 are a second, as in MultiSports"
