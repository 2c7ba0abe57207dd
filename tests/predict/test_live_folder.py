from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.base.errors import InputError
from pipeline.predict.live_folder import LiveFolder, check_live_out
from pipeline.predict.live_scorer import LiveStep
from pipeline.predict.predicted import read_predicted
from pipeline.predict.typed_results import Second, json_line
from pipeline.video.store import Row
from tests.predict.results import LABELS, tables

BOX = (0.1, 0.2, 0.3, 0.4)
MODEL: Any = SimpleNamespace(
    settings=SimpleNamespace(fps=15.0), labels=LABELS, facts=lambda: {"head": "linear", "thresholds": {"1": 0.5}}
)


def step(seconds: float, persons: bool = True) -> LiveStep:
    rows = [(seconds, 1, BOX, {1: 0.75})] if persons else []
    return LiveStep(Second("cam", seconds, seconds, ()), *tables("cam", rows))


def opened(folder: Path, **how) -> LiveFolder:
    return LiveFolder(folder, MODEL, "cam", "camera:0", told={"every": 1.0}, **how)


def test_lines_come_at_once_and_tables_by_parts(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with opened(out, part_seconds=10.0) as folder:
        for second in range(25):
            folder.see(Row(b"", float(second), 15 * second), (48, 64))
            folder.add(step(float(second), persons=second != 3))
            assert len((out / "seconds.jsonl").read_text().splitlines()) == second + 1
        assert [path.name for path in sorted((out / "parts").iterdir())] == ["00000", "00001"], "the past is whole"
    assert (out / "seconds.jsonl").read_text() == "".join(json_line(step(float(at)).second) for at in range(25))
    parts = [read_predicted(out / "parts" / f"0000{at}") for at in range(3)]
    times = [part.persons["time_seconds"].to_pylist() for part in parts]
    assert times == [[0, 1, 2, *range(4, 10)], list(range(10, 20)), list(range(20, 25))]
    (film,) = parts[2].videos.to_pylist()
    assert (film["video_id"], film["path"], film["frames"], film["width"], film["height"]) == (
        *("cam", "camera:0", 25, 64, 48),
    )
    assert parts[0].model == {"head": "linear", "thresholds": {"1": 0.5}, "every": 1.0}


def test_an_error_leaves_whole_files(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def broken() -> None:
        with opened(out) as folder:
            folder.add(step(0.0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert len(read_predicted(out / "parts/00000").detections) == 1
    assert not [path for path in out.rglob("*") if "partial" in path.name]


def test_a_camera_without_a_result_leaves_no_folder(tmp_path: Path) -> None:
    with opened(tmp_path / "out"):
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["seconds.jsonl"]
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_replaced_on_demand_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with opened(out) as folder:
        folder.add(step(0.0))
    with pytest.raises(InputError, match=r"out: is there already; --force replaces it, --out names another$"):
        opened(out)
    with opened(out, force=True):
        assert not (out / "parts").exists()
    out.mkdir()
    (out / "mine.txt").touch()
    with pytest.raises(InputError, match=r"out: holds mine\.txt, which this command does not write, so it is not"):
        check_live_out(out, force=True)
