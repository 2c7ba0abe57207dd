"""Records of runs: one file each, whatever became of the run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.base import runs
from pipeline.base.errors import InputError
from pipeline.base.files import write_json
from pipeline.base.runs import list_runs, recorded_run, saved_epoch
from pipeline.base.work import work_root


@pytest.fixture(autouse=True)
def _in_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def test_a_run_is_recorded_outside_the_outs() -> None:
    with recorded_run("stage", "key") as extra:
        extra["videos"] = 3
    (record,) = list_runs()
    assert record["stage"] == "stage"
    assert record["videos"] == 3
    assert record["seconds"] >= 0
    assert record["processes"] == 1
    assert record["peak_rss_mib"]["self"] > 0


def test_of_several_processes_the_first_records_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with recorded_run("stage", "key"):
        pass
    assert list_runs() == []
    monkeypatch.setenv("RANK", "0")
    with recorded_run("stage", "key"):
        pass
    assert [record["processes"] for record in list_runs()] == [2]


@pytest.mark.parametrize(
    "harm",
    [
        {"started": "x"}, {"started": 1e300}, {"seconds": None}, {"stage": 3}, {"host": None},
        {"peak_rss_mib": {}}, {"peak_rss_mib": 3}, {"peak_rss_mib": {"self": "x"}}, {"outcome": "x"}, {"outcome": []},
        {"variant": 3}, {"epochs": "x"},
    ],
)  # fmt: skip
def test_a_damaged_record_of_a_run_is_left_out(harm: dict[str, object]) -> None:
    with recorded_run("stage", "key"):
        pass
    (record,) = list_runs()
    write_json(work_root() / "runs/stage/other.json", {**record, **harm})
    assert list_runs() == [record]


def test_every_run_has_its_own_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "wider")
    for _ in range(3):
        with recorded_run("stage", "variant", dataset="films", epochs=20):
            pass
    records = list_runs()
    assert len(records) == 3
    for record in records:
        assert (record["variant"], record["dataset"], record["epochs"]) == ("variant", "films", 20)
        assert (record["outcome"], record["experiment"]) == ("finished", "wider")
        assert record["start_seconds"] > 0


def test_a_failed_run_is_recorded_and_its_fault_goes_on() -> None:
    with pytest.raises(InputError, match="no such film"), recorded_run("stage", "key"):
        raise InputError("no such film")
    (record,) = list_runs()
    assert record["outcome"] == "failed"


def test_a_run_says_so_while_it_goes_on() -> None:
    with recorded_run("stage", "key", items=12):
        (record,) = list_runs()
        assert (record["outcome"], record["items"]) == ("running", 12)
        assert "seconds" not in record
    (record,) = list_runs()
    assert record["outcome"] == "finished"


def test_a_killed_run_keeps_what_was_known_at_its_start(tmp_path: Path) -> None:
    script = "import os\nfrom pipeline.base.runs import recorded_run\nwith recorded_run('stage', 'key', epochs=20):\n"
    subprocess.run(
        [sys.executable, "-c", script + "    os.kill(os.getpid(), 9)"],
        check=False, env={**os.environ, "DVC_ROOT": str(tmp_path)},
    )  # fmt: skip
    (record,) = list_runs()
    assert (record["outcome"], record["epochs"]) == ("killed", 20)


def test_another_process_of_the_same_number_does_not_keep_a_killed_run_alive() -> None:
    with recorded_run("stage", "key"):
        (path,) = work_root().glob("runs/stage/*.json")
        record = list_runs()[0]
        write_json(path, {**record, "born": record["born"] - 1})
        assert [each["outcome"] for each in list_runs()] == ["killed"]
        write_json(path, {**record, "host": "elsewhere"})  # nothing is known of its processes here
        assert [each["outcome"] for each in list_runs()] == ["running"]


def test_a_killed_run_whose_parent_has_not_asked_for_it_is_killed(tmp_path: Path) -> None:
    script = "from pipeline.base.runs import recorded_run\nwith recorded_run('stage', 'key', epochs=20):\n"
    run = subprocess.Popen(
        [sys.executable, "-c", script + "    print('begun', flush=True)\n    input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "DVC_ROOT": str(tmp_path)},
    )  # fmt: skip
    with run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"begun\n"
        assert [each["outcome"] for each in list_runs()] == ["running"]
        run.kill()
        os.waitid(os.P_PID, run.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
        assert [each["outcome"] for each in list_runs()] == ["killed"]


def test_the_oldest_records_of_a_stage_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "MOST_RECORDS", 4)
    for number in range(6):
        with recorded_run("stage", str(number)):
            pass
    with recorded_run("other", "0"):
        pass
    assert [each["variant"] for each in list_runs()] == ["2", "3", "4", "5", "0"]
    assert all(path.stat().st_size < 1024 for path in work_root().glob("runs/*/*"))


def test_records_of_an_older_version_are_listed() -> None:
    peak = {"self": 100, "largest_child": 50}
    old = {"stage": "stage", "started": 1.0, "seconds": 2.0, "host": "x", "processes": 1, "peak_rss_mib": peak}
    write_json(work_root() / "runs/stage/key.json", old)
    assert list_runs() == [{**old, "outcome": "finished"}]


def test_the_newest_saved_epoch(tmp_path: Path) -> None:
    assert saved_epoch(tmp_path / "nothing") == 0
    for name in ("epoch_0006", "epoch_0007", ".epoch_0008.1.partial", "epoch_x"):
        (tmp_path / name).mkdir()
    (tmp_path / "epoch_0009").touch()
    assert saved_epoch(tmp_path) == 7
