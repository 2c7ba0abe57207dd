import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.base.command import new_app
from pipeline.commands.score_multisports import score_multisports

APP = new_app()
APP.command()(score_multisports)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    frames = np.arange(1, 21)
    tube = np.column_stack([frames, *([value] * 20 for value in (10, 10, 60, 90))]).astype(np.float32)
    content = {
        "labels": ["football pass", "basketball save", "football shoot"],
        "test_videos": [["football/a"]],
        "train_videos": [["football/b"]],
        "nframes": {"football/a": 30, "football/b": 30},
        "resolution": {"football/a": (100, 200), "football/b": (100, 200)},
        "gttubes": {"football/a": {0: [tube], 1: [tube]}, "football/b": {2: [tube]}},
    }
    (tmp_path / "gt.pkl").write_bytes(pickle.dumps(content))
    return tmp_path / "gt.pkl"


def detections(folder: Path, frames: range, action_id: int = 1) -> Path:
    rows = [f"football/a,{frame:04d},0.05,0.1,0.3,0.9,{action_id},0.5\n" for frame in frames]
    (folder / "det.csv").write_text("".join(rows))
    return folder / "det.csv"


def invoke(truth: Path, found: Path, *words: str):
    return CliRunner().invoke(APP, ["--ground-truth", str(truth), "--detections", str(found), *words])


def test_a_split_is_scored(tmp_path: Path, truth: Path) -> None:
    result = invoke(truth, detections(tmp_path, range(1, 17)), "--json", str(tmp_path / "out.json"))
    assert result.exit_code == 0, result.output
    # 16 of 20 boxes; 15 / 19 of the time.
    assert result.output == (
        "  id  class              boxes      AP   tubes       @0.2       @0.5 @0.10:0.90\n"
        "   1  football pass         20  0.8000       1     1.0000     1.0000     0.7778\n"
        "16 detections, of which 16 count, in 1 tubes\n"
        "frame-mAP@0.5 0.800000, video-mAP @0.2 1.000000, @0.5 1.000000, @0.10:0.90 0.777778, protocol official\n"
    )
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["frame_map"] == 0.8
    assert found["video_map"]["0.5"] == 1
    assert sorted(found["per_class"]) == ["1", "3"], "basketball save does not count"
    assert found["per_class"]["3"]["frame_ap"] is None


def test_shorter_tubes_other_splits_and_protocols(tmp_path: Path, truth: Path) -> None:
    short = detections(tmp_path, range(1, 11))
    assert "in 0 tubes" in invoke(truth, short).output
    assert "in 1 tubes" in invoke(truth, short, "--min-frames", "10").output
    assert "protocol mmaction2_1x" in invoke(truth, short, "--protocol", "mmaction2_1x").output
    (tmp_path / "none.csv").write_text("")
    assert "   3  football shoot" in invoke(truth, tmp_path / "none.csv", "--split", "train").output
    result = invoke(truth, short, "--split", "train")
    assert str(result.exception) == ("detections: found video football/a, expected one of the 1 whose size is known")


def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, truth: Path) -> None:
    result = invoke(tmp_path / "no.pkl", detections(tmp_path, range(1, 3)))
    assert str(result.exception) == f"{tmp_path / 'no.pkl'}: cannot be read: No such file or directory"


def test_of_three_ways_to_split_one_is_scored_and_said(tmp_path: Path) -> None:
    path = Path(__file__).parents[1] / "fixtures/cases/18-tubes-of-three-splits/annotations/JHMDB-GT.pkl"
    (tmp_path / "none.csv").write_text("")
    printed = invoke(path, tmp_path / "none.csv").output
    assert "JHMDB-GT.pkl has 3 ways to split its videos; number 1 counts (--split-number)" in printed
    assert "number 3 counts" in invoke(path, tmp_path / "none.csv", "--split-number", "3").output
    result = invoke(path, tmp_path / "none.csv", "--split-number", "4")
    assert str(result.exception) == f"{path}: test_videos: found 3 lists of videos, expected number 4 of them"


def test_detections_of_other_units_times_and_names_are_said(tmp_path: Path, truth: Path) -> None:
    def warning(row: str) -> str:
        (tmp_path / "det.csv").write_text("".join(row.format(n=n, s=(n - 1) / 25) for n in range(1, 17)))
        return str(invoke(truth, tmp_path / "det.csv").stderr)

    assert "coordinates reach 90 in the detections and 0.9 in the ground truth" in warning(
        "football/a,{n},10,10,60,90,1,0.5\n"
    )
    assert "16 rows of the detections have an action id one below the first class" in warning(
        "football/a,{n},0.05,0.1,0.3,0.9,0,0.5\n"
    )
    assert "boxes of the detections look like y1, x1, y2, x2" in warning("football/a,{n},0.1,0.05,0.9,0.3,1,0.5\n")
    assert "timestamps of football/a go from 0.04 to 0.64 in the detections, and from 1 to 20 in the" in warning(
        "football/a,{s},0.05,0.1,0.3,0.9,1,0.5\n".replace("{s}", "{s:.2f}").replace("0.00", "0.04")
    ).replace("go from 0 to 0.6 ", "go from 0.04 to 0.64 ")
    assert "'a.mp4' in the detections, 'football/a' in the ground truth (is a.mp4 football/a?)" in warning(
        "a.mp4,{n},0.05,0.1,0.3,0.9,1,0.5\n"
    )


def test_frames_that_count_from_0_are_said(tmp_path: Path, truth: Path) -> None:
    line = "warning: 1 rows of the detections are of frames before 1, the first: do they count from 0?\n"
    assert line in invoke(truth, detections(tmp_path, range(20))).stderr
    assert line not in invoke(truth, detections(tmp_path, range(1, 21))).stderr
