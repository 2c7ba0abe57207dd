"""`actionbank score`, called in this process and as users call it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.base.command import new_app
from pipeline.commands.score import score
from tests.commands.ending import ended

FOLDER = Path(__file__).parents[1] / "fixtures" / "parity" / "ava_eval"
APP = new_app()
APP.command()(score)
PROGRAM = "from pipeline.base.command import run; from tests.commands.test_score import APP; run(APP)"


def files(case: str) -> list[str]:
    return ["--ground-truth", str(FOLDER / case / "gt.csv"), "--detections", str(FOLDER / case / "det.csv")]


def invoke(*words: str):
    return CliRunner().invoke(APP, words)


def run_program(*words: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    return subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, cwd=root)


def test_json_is_that_of_the_official_code(tmp_path):
    path = tmp_path / "out.json"
    excluded = ["--excluded", str(FOLDER / "05_excluded" / "excluded.csv")]
    result = invoke(*files("05_excluded"), *excluded, "--json", str(path))
    assert result.exit_code == 0, result.output
    found = json.loads(path.read_text())
    expected = json.loads((FOLDER / "05_excluded" / "expected.json").read_text())["official"]["60"]
    assert found["map"] == pytest.approx(expected["map"], abs=1e-9)
    assert found["num_gt"] == expected["num_gt"]
    assert found["ap"] == {
        key: value if value is None else pytest.approx(value) for key, value in expected["ap"].items()
    }
    assert sorted(found) == ["ap", "map", "num_gt"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "0.503757 over 36 of 60 classes, IoU 0.5, protocol official"),
        (["--cap", "0"], "0.505064"),
        (["--protocol", "pyslowfast"], "0.410797"),
        (["--iou", "0.75"], "0.379201"),
        (["--labels", str(FOLDER / "labelmap_ava80.csv")], "0.512992"),
    ],
)
def test_options(words, expected):
    result = invoke(*files("07_cap50"), *words)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1].startswith(f"mAP {expected}")


def test_what_it_prints(tmp_path):
    (tmp_path / "gt.csv").write_text("a,902,0.1,0.1,0.5,0.5,1,0\na,903\na,904,0.1,0.1,0.5,0.5,70,0\n")
    (tmp_path / "det.csv").write_text("a,902,0.1,0.1,0.5,0.5,1,0.5\na,903,0.1,0.1,0.5,0.5,1,0.6\nb,1,0,0,1,1,1,1\n")
    (tmp_path / "labels").write_text("1: bow\n2: crawl\n70: hug\n")
    paths = [word for name in ("gt", "det") for word in (f"--{NAMES[name]}", str(tmp_path / f"{name}.csv"))]
    result = invoke(*paths, "--labels", str(tmp_path / "labels"))
    assert result.output.splitlines() == [
        "  id  class                 boxes      AP",
        "   1  bow                       1  0.5000",
        "  70  hug                       1  0.0000",
        "      person_movement           1  0.5000",
        "      person_interaction        1  0.0000",
        "3 detections, of which 2 count; 2 ground-truth boxes",
        "mAP 0.250000 over 2 of 3 classes, IoU 0.5, protocol official",
    ]


NAMES = {"gt": "ground-truth", "det": "detections"}


def test_a_bad_file_ends_in_one_line(tmp_path):
    bad = tmp_path / "det.csv"
    bad.write_text("a,902,0.1,0.1,0.5,0.5,1,high\n")
    words = [*files("01_plain")[:3], str(bad)]
    assert ended(APP, *words) == (1, "", f"error: {bad}: row 1: score is 'high', expected a finite number\n")


def test_as_a_program(tmp_path):
    result = run_program(*files("01_plain"), "--json", str(tmp_path / "a.json"))
    assert result.returncode == 0
    assert result.stderr == ""
    assert result.stdout.splitlines()[-1].startswith("mAP 0.553293 over ")
    invoke(*files("01_plain"), "--json", str(tmp_path / "b.json"))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_nothing_in_common_is_said(tmp_path):
    (tmp_path / "det.csv").write_text("other,902,0.1,0.1,0.5,0.5,1,0.5\n")
    result = invoke(*files("01_plain")[:3], str(tmp_path / "det.csv"))
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "warning: no film of the detections is in the ground truth: 'other' in the detections, '4_3bYGmt8zF' in the "
        "ground truth",
    ]


def test_classes_that_are_not_scored_are_said(tmp_path):
    (tmp_path / "labels.txt").write_text("50: a\n")
    result = invoke(*files("01_plain"), "--labels", str(tmp_path / "labels.txt"))
    assert result.stderr == (
        "warning: no detection has a keyframe of the ground truth, a scored class and a box with an area\n"
    )


def test_usage_errors():
    assert invoke(*files("01_plain"), "--protocol", "coco").exit_code == 2
    assert invoke(*files("01_plain"), "--iou", "2").exit_code == 2
    assert invoke().exit_code == 2
    assert "--ground-truth" in invoke("--help").output


def test_json_replaces_a_report_and_no_other_file(tmp_path):
    path = tmp_path / "coco.json"
    path.write_text('{"images": []}')
    result = invoke(*files("05_excluded"), "--json", str(path))
    assert str(result.exception) == (
        f"{path}: is there and not what this command writes, so it is not replaced; choose another name"
    )
    assert path.read_text() == '{"images": []}'
    again = tmp_path / "again.json"
    assert [invoke(*files("05_excluded"), "--json", str(again)).exit_code for _ in range(2)] == [0, 0]


CASE = FOLDER.parents[1] / "cases" / "10-score-pixels"
BOX = "0.1,0.2,0.3,0.8"


def scored(truth: Path, found: Path, labels: Path, *words: str):
    result = invoke("--ground-truth", str(truth), "--detections", str(found), "--labels", str(labels), *words)
    assert result.exit_code == 0, result.output
    return result


def test_detections_in_pixels_are_said(tmp_path):
    truth, labels = CASE / "gt.csv", CASE / "labels.txt"
    result = scored(truth, CASE / "det_pixels.csv", labels)
    assert "mAP 0.000000 over 3 of 3 classes" in result.stdout
    assert result.stderr == (
        "warning: coordinates reach 224 in the detections and 0.8 in the ground truth: 32 of 32 boxes of the "
        "detections are in pixels (or percent), and not in shares of the frame from 0 to 1\n"
    )
    rows = [line.split(",") for line in (CASE / "det_pixels.csv").read_text().splitlines()]
    for row in rows:
        row[2:6] = [str(float(value) / side) for value, side in zip(row[2:6], (320, 180, 320, 180), strict=True)]
    (tmp_path / "shares.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    result = scored(truth, tmp_path / "shares.csv", labels)
    assert "mAP 1.000000 over 3 of 3 classes" in result.stdout
    assert result.stderr == ""


def test_widths_and_heights_are_said_and_before_a_refusal(tmp_path):
    corners, widths = tmp_path / "corners.csv", tmp_path / "widths.csv"
    corners.write_text("".join(f"a,{n},0.5,0.5,0.7,0.8,{n % 3 + 1}\n" for n in range(902, 910)))
    widths.write_text("".join(f"a,{n},0.5,0.5,0.2,0.3,{n % 3 + 1}\n" for n in range(902, 910)))
    labels = CASE / "labels.txt"
    result = scored(corners, widths, labels)
    assert result.stderr == (
        "warning: boxes of the detections look like x, y, width, height: read so, detections cover 100% of the boxes "
        "of the ground truth, and as x1, y1, x2, y2 0%\n"
    )
    result = invoke("--ground-truth", str(widths), "--detections", str(corners), "--labels", str(labels))
    assert str(result.exception).startswith("ground truth: a,902: box")
    assert result.stderr.startswith("warning: boxes of the ground truth look like x, y, width, height: read so")


def test_ids_and_label_maps_are_read_as_import_reads_them(tmp_path):
    truth, found, labels = (tmp_path / name for name in ("gt.csv", "det.csv", "labels.txt"))
    truth.write_text(f"a.mp4, 902 ,{BOX},0.0,\n a ,903,{BOX},1,7\na,904\n")
    found.write_text(f"a,902,{BOX},0,0.9\na,903,{BOX},1.0,0.8\n")
    labels.write_text("0: walk\n1: sit\n")
    result = scored(truth, found, labels, "--json", str(tmp_path / "out.json"))
    assert "mAP 1.000000 over 2 of 2 classes" in result.stdout
    assert "   0  walk" in result.stdout
    assert result.stderr == ""
    assert json.loads((tmp_path / "out.json").read_text())["ap"] == {"0": 1.0, "1": 1.0}
    truth.write_text(f"a,902,{BOX},0.5\n")
    result = invoke("--ground-truth", str(truth), "--detections", str(found), "--labels", str(labels))
    assert str(result.exception) == f"{truth}: row 1: action_id is '0.5', expected an integer"
