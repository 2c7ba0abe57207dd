import json
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from pipeline.base.command import run
from pipeline.base.files import digest_tree
from pipeline.tables.schemas import BOXES, read_table
from stages.import_annotations import import_annotations
from stages.import_boxes import app, import_boxes
from tests.annotations.sources import write_source
from tests.stages.projects import write_params

OUT = Path("data/small/boxes")
BOX = [0.1, 0.2, 0.3, 0.4]


@pytest.fixture
def proposals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("ACTIONBANK_PARAMS", raising=False)
    dataset = {"name": "small", "annotations": "source", "proposals": "proposals", "classes": 12}
    write_params(tmp_path, dataset=dataset, boxes={"source": "proposals"})
    write_source(tmp_path / "source", train="v1,0902,0.1,0.2,0.3,0.4,1,0\n", val="v2,0902,0.1,0.2,0.3,0.4,2,0\n")
    import_annotations()
    folder = tmp_path / "proposals"
    folder.mkdir()
    rows = {f"v1,{902 + second:04d}": np.array([[*BOX, 0.9], [*BOX[:3], 1, 0.01]]) for second in range(19)}
    (folder / "train.pkl").write_bytes(pickle.dumps(rows))
    (folder / "val.csv").write_text("v2,902,0.1,0.2,0.3,0.4,,0.95\n")
    return folder


def stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["import_boxes"])
    with pytest.raises(SystemExit) as stopped:
        run(app)
    assert stopped.value.code == 1


def test_the_out(proposals: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (proposals / "val.csv").write_text("v2,902,0.1,0.2,0.3,0.4,,0.95\nv2,902,5,6,7,8,,0.9\nx,902,0,0,1,1,,1\n")
    capsys.readouterr()
    import_boxes()
    assert sorted(path.name for path in OUT.iterdir()) == ["boxes.parquet", "problems.json", "summary.json"]
    table = read_table(OUT / "boxes.parquet", BOXES)
    assert table["score"].to_pylist() == [0.9] * 19 + [0.95]
    assert table["source"].to_pylist()[-2:] == ["ava_proposals_pickle", "pyslowfast_csv"]
    assert json.loads((OUT / "summary.json").read_text())["all_files"]["below_min_score"] == 19
    problems = json.loads((OUT / "problems.json").read_text())
    assert problems["total"] == 41
    assert [problem["item"] for problem in problems["problems"]] == ["row 2", "video 'x'"]
    printed = capsys.readouterr()
    assert printed.out == (
        "read train.pkl as ava_proposals_pickle, val.csv as pyslowfast_csv\n"
        "scores from 0 to 1 in tenths: 19 0 0 0 0 0 0 0 0 20\n"
        "train: 19 boxes in 1 of 1 videos; 0 of 1 annotated keyframes without a box\n"
        "val: 1 box in 1 of 1 videos; 0 of 1 annotated keyframes without a box\n"
        "train: boxes cover 100.0% of 1 annotated persons at IoU 0.5, from score 0.9 on 100.0%\n"
        "val: boxes cover 100.0% of 1 annotated persons at IoU 0.5, from score 0.9 on 100.0%\n"
        "data/small/boxes: 20 boxes of 41 rows; left out: 1 bad, 1 of unknown videos, 19 below 0.05, 0 repeated, "
        "0 in two files\n"
    )
    assert printed.err.splitlines()[0].startswith("val.csv: row 2: found box 5 6 7 8, expected")


def test_the_same_boxes_give_the_same_bytes_in_any_order(proposals: Path) -> None:
    import_boxes()
    first = digest_tree(OUT)
    content = pickle.loads((proposals / "train.pkl").read_bytes())
    backwards = {key: content[key][::-1] for key in reversed(content)}
    (proposals / "train.pkl").write_bytes(pickle.dumps(backwards, 2))
    import_boxes()
    assert digest_tree(OUT) == first


def test_too_many_bad_rows_end_the_run(
    proposals: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (proposals / "val.csv").write_text("v2,902,5,6,7,8,,0.9\n" * 3)
    stop(monkeypatch)
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: 3 of 41 rows are bad, more than boxes.max_bad_fraction 0.05 lets pass; the first: val.csv: row 1: "
        "found "
        "box 5 6 7 8, expected coordinates from 0 to 1, as shares of the frame's width and height"
    )
    assert not OUT.exists()


@pytest.mark.parametrize(
    "rows",
    ["v2,902,5,6,7,8,,0.9\n", "unknown,902,0.1,0.1,0.5,0.5,,0.9\n"],
    ids=["the same bad row again and again", "rows of one video that nobody knows"],
)
def test_what_is_counted_are_rows(
    proposals: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, rows: str
) -> None:
    (proposals / "train.pkl").unlink()
    good = "".join(f"v2,902,0.1,0.1,0.{n},0.5,,0.9\n" for n in range(20, 30))
    (proposals / "val.csv").write_text(good + rows * 1000)
    stop(monkeypatch)
    (last,) = capsys.readouterr().err.splitlines()[-1:]
    assert last.startswith(
        "error: 1000 of 1010 rows are bad, more than boxes.max_bad_fraction 0.05 lets pass; the first: "
    )
    assert not OUT.exists()


def test_a_bad_key_of_a_pickle_counts_with_all_its_boxes(
    proposals: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = np.tile([0.1, 0.1, 0.5, 0.5, 0.9], (1000, 1))
    boxes[:, 2] += np.arange(1000) / 1e4
    (proposals / "val.csv").unlink()
    (proposals / "train.pkl").write_bytes(pickle.dumps({"v1,0902": boxes[:10], "v1 902": boxes}, 2))
    stop(monkeypatch)
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: 1000 of 1010 rows are bad")


def test_a_hostile_pickle_is_refused_in_one_line(
    proposals: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (proposals / "train.pkl").write_bytes(b"cposix\nsystem\n(S'touch here'\ntR.")
    capsys.readouterr()
    stop(monkeypatch)
    assert capsys.readouterr().err == (
        "error: proposals/train.pkl: refused: the pickle names posix.system; only NumPy arrays and plain containers "
        "are read, and there is no unsafe fallback: save the data in another format, e.g. CSV\n"
    )
    assert not Path("here").exists()


def test_the_annotations_come_first(
    proposals: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("data/small/annotations/timelines.parquet").unlink()
    capsys.readouterr()
    stop(monkeypatch)
    assert capsys.readouterr().err == "error: data/small/annotations/timelines.parquet: no such table\n"


def test_boxes_that_are_all_below_the_floor_are_refused_with_the_key_and_the_highest_score(
    proposals: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (proposals / "train.pkl").unlink()
    (proposals / "val.csv").write_text("v2,902,0.1,0.2,0.3,0.4,,0.02\nv1,902,0.1,0.2,0.3,0.4,,0.031\n")
    stop(monkeypatch)
    assert capsys.readouterr().err == (
        "error: proposals: no box has a score of at least 0.05 (boxes.min_score), the highest is 0.031; set "
        "boxes.min_score, and baseline.box_threshold, baseline.validation.box_threshold, bank.box_threshold, "
        "head_train.box_threshold, head_train.validation.box_threshold, evaluation.box_threshold, to what they mean\n"
    )
    assert not OUT.exists()


def test_boxes_below_the_usual_threshold_are_said_with_the_keys(
    proposals: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of five persons a fifth is sure; nothing here depends on a threshold, so that setting one re-runs nothing."""
    rows = "".join(f"v1,{902 + n},0.1,0.2,0.3,0.4,1,0\n" for n in range(5))
    write_source(Path("source"), train=rows, val="v2,0902,0.1,0.2,0.3,0.4,2,0\n")
    import_annotations()
    scores = (0.95, 0.72, 0.61, 0.62, 0.63)
    content = {f"v1,{902 + n}": np.array([[*BOX, score]]) for n, score in enumerate(scores)}
    (proposals / "train.pkl").write_bytes(pickle.dumps(content))
    capsys.readouterr()
    import_boxes()
    lines = capsys.readouterr().out.splitlines()
    assert (
        "train: boxes cover 100.0% of 5 annotated persons at IoU 0.5, from score 0.9 on 20.0%, from 0.61 on 100.0%"
        in lines
    )
    assert (
        "thresholds above 0.61 lose persons whom the boxes cover; they are baseline.box_threshold, "
        "baseline.validation.box_threshold, bank.box_threshold, head_train.box_threshold, "
        "head_train.validation.box_threshold, evaluation.box_threshold" in lines
    )


def test_annotations_beside_the_boxes_are_left_out_and_said(
    proposals: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy("source/train.csv", proposals / "gt.csv")
    shutil.copy("source/labelmap.pbtxt", proposals)
    capsys.readouterr()
    import_boxes()
    assert (
        "left out: gt.csv: annotations (rows with action ids and without scores)\nleft out: labelmap.pbtxt: a label map"
        in capsys.readouterr().out
    )
    assert json.loads((OUT / "summary.json").read_text())["left_out"] == ["gt.csv", "labelmap.pbtxt"]
    assert json.loads((OUT / "problems.json").read_text())["problems"] == []
    assert set(read_table(OUT / "boxes.parquet", BOXES)["source"].to_pylist()) == {
        "ava_proposals_pickle", "pyslowfast_csv"
    }  # fmt: skip


def test_objects_of_a_folder_of_their_own_stand_beside_the_persons(
    proposals: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import_boxes()
    persons = read_table(OUT / "boxes.parquet", BOXES)
    objects = proposals.parent / "objects"
    objects.mkdir()
    header = "video_id,timestamp,x1,y1,x2,y2,label,score\n"
    (objects / "a.csv").write_text(f"{header}v1,902,0.1,0.2,0.3,0.4,kite,0.9\nv1,902,0,0,1,1,sports ball,0.5\n")
    (objects / "b.csv").write_text(f"{header}v2,902,0.1,0.2,0.3,0.4,person,0.9\nv2,902,0.1,0.2,0.3,0.4,,0.96\n")
    dataset = {"name": "small", "annotations": "source", "proposals": "proposals", "objects": "objects", "classes": 12}
    write_params(proposals.parent, dataset=dataset, boxes={"source": "proposals", "tracks": "iou"})
    capsys.readouterr()
    import_boxes()
    table = read_table(OUT / "boxes.parquet", BOXES)
    things = table.filter(pc.is_valid(table["label"]))
    assert table.filter(pc.is_null(table["label"])).drop(["track_id"]) == persons.drop(["track_id"])
    assert things["label"].to_pylist() == ["kite", "sports ball", "object"]
    assert things["track_id"].null_count == 3
    assert table["track_id"].null_count == 3
    summary = json.loads((OUT / "summary.json").read_text())
    assert summary["objects"] == {"kite": 1, "object": 1, "sports ball": 1}
    printed = capsys.readouterr().out
    assert "objects/a.csv as csv_with_labels, objects/b.csv as csv_with_labels" in printed
    assert "train: 19 boxes in 1 of 1 videos; 0 of 1 annotated keyframes without a box; 2 objects\n" in printed
    assert "data/small/boxes: 20 boxes and 3 objects of 43 rows; left out: 1 bad" in printed
