"""`actionbank runs` as text."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.base.files import write_json
from pipeline.base.work import work_root
from pipeline.cli import build_app


def runs(*options: str) -> str:
    done = CliRunner().invoke(build_app("runs"), ["runs", *options])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_runs_are_listed_oldest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert runs() == "no run of a stage is recorded here\n"
    peak = {"self": 100, "largest_child": 453}
    shared = {"stage": "train_head", "variant": "lfb_nl_head", "host": "box", "processes": 1}
    ended = {"seconds": 9.24, "start_seconds": 3.1, "peak_rss_mib": peak, "outcome": "finished", "experiment": "wide"}
    for number in range(3):
        write_json(work_root() / f"runs/train_head/{number}.json", {**shared, **ended, "started": 1000.0 + number})
    killed = {**shared, "variant": "", "started": 1003.0, "outcome": "running", "host": "elsewhere"}
    write_json(work_root() / "runs/train_head/3.json", killed)
    lines = [re.sub(r"^[\d-]{10} [\d:]{8}  ", "", line) for line in runs().splitlines()]
    assert lines == [
        *["train_head lfb_nl_head           12.3 s     453 MiB  finished  box  wide"] * 3,
        f"{'train_head':<51}  running   elsewhere",
    ]
    assert runs("--last", "1").splitlines()[1:] == ["3 older runs are not shown (--last)"]
    assert runs("--json").count('"stage": "train_head"') == 4
