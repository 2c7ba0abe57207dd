import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.status import span, status_lines
from pipeline.project.stage_states import Standing, Status, Unfinished, _unfinished, expected_seconds, variant_of

PARAMS: dict[str, Any] = {
    "dataset": {"name": "films"},
    "backbone": {"name": "tiny"},
    "head": {"name": "lfb_nl"},
    "scope": {"name": "head"},
    "baseline": {"schedule": {"epochs": 20}},
    "head_train": {"schedule": {"epochs": 10}},
}


@pytest.fixture(autouse=True)
def _in_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def run(stage: str, variant: str = "", **more: Any) -> dict[str, Any]:
    record = {"stage": stage, "variant": variant, "dataset": "films", "outcome": "finished", "started": 1000.0}
    return {**record, "seconds": 50.0, "start_seconds": 5.0, **more}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 s"), (0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (60, "1 min"), (3569, "59 min"), (3599, "1 h"),
        (11400, "3 h 10 min"), (86400, "1 d"), (187200, "2 d 4 h"),
    ],
)  # fmt: skip
def test_spans_in_words(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_what_the_runs_of_a_stage_are_recorded_for() -> None:
    names = ("make_videos@films", "infer_bank@val", "train_baseline", "train_head", "evaluate", "extract_frames")
    assert [variant_of(name, PARAMS) for name in names] == ["films", "val", "tiny", "lfb_nl_head", "lfb_nl_head", ""]
    assert variant_of("infer_memory@val", PARAMS) == "val"


@pytest.mark.parametrize(
    ("name", "records", "seconds"),
    [
        ("evaluate", [], None),
        ("evaluate", [run("evaluate", "lfb_nl_head"), run("evaluate", "lfb_nl_head", seconds=7.0)], 12.0),
        ("evaluate", [run("evaluate", "linear_head")], None),  # another head
        ("import_boxes", [run("import_boxes", dataset="ava")], None),  # another data set
        ("import_boxes", [run("import_boxes", outcome="failed"), run("import_boxes", outcome="killed")], None),
        ("infer_bank@val", [run("infer_bank", "train"), run("infer_bank", "val", seconds=1.0)], 6.0),
        # Of 20 epochs that run trained 10 in 50 s: 20 take 100 s, and Python needs 5 s to begin.
        ("train_baseline", [run("train_baseline", "tiny", epochs=20, saved_epochs=10)], 105.0),
        ("train_baseline", [run("train_baseline", "tiny", epochs=5, saved_epochs=0)], 205.0),
        ("train_baseline", [run("train_baseline", "tiny", epochs=0, saved_epochs=0)], None),
        ("train_head", [run("train_head", "lfb_nl_head", epochs=20, saved_epochs=0)], 30.0),
        ("train_head", [run("train_head", "lfb_nl_head", seconds=0.5)], 5.5),  # it trained nothing
        # The last run made 2 of 12 films in 50 s, or none: all 12 take 300 s.
        ("extract_frames", [run("extract_frames", items=12, new=2)], 305.0),
        ("extract_frames", [run("extract_frames", items=12, new=2), run("extract_frames", items=6, new=0)], 155.0),
        ("extract_frames", [run("extract_frames", items=6, new=0, seconds=1.0)], 6.0),
    ],
)
def test_how_long_a_stage_takes(name: str, records: list[dict[str, Any]], seconds: float | None) -> None:
    assert expected_seconds(name, PARAMS, records) == seconds


def training(folder: Path, *epochs: int) -> None:
    for epoch in epochs:
        (folder / ".work/train_baseline/key" / f"epoch_{epoch:04d}").mkdir(parents=True)
        os.utime(folder / ".work/train_baseline/key" / f"epoch_{epoch:04d}", (1070, 1070))


def test_a_training_that_ended_early_goes_on_from_its_last_epoch(tmp_path: Path) -> None:
    training(tmp_path, 11, 12)
    before = run("train_baseline", "tiny", epochs=20, saved_epochs=0)
    killed = run("train_baseline", "tiny", epochs=20, saved_epochs=0, outcome="killed", state="key")
    assert expected_seconds("train_baseline", PARAMS, [before, killed]) == 5 + 2.5 * 8
    (found,) = _unfinished([before, killed])
    assert found == Unfinished("train_baseline", "killed", "epoch 12 of 20", 1070)
    other = {**killed, "epochs": 30}  # it was another training
    assert expected_seconds("train_baseline", PARAMS, [before, other]) == 5 + 2.5 * 20


def test_a_training_that_runs_says_how_long_it_still_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training(tmp_path, 7)
    monkeypatch.setattr("pipeline.project.stage_states.time.time", lambda: 1080.0)
    (found,) = _unfinished([run("train_baseline", "tiny", epochs=20, saved_epochs=0, outcome="running", state="key")])
    assert (found.progress, found.left) == ("epoch 7 of 20", 10 * 13 - 10)


def test_records_and_parameters_of_another_shape_end_nothing(tmp_path: Path) -> None:
    training(tmp_path, 3)
    odd = {"stage": "train_baseline", "outcome": "running", "started": 1.0, "state": "key", "host": "x"}
    assert [each.progress for each in _unfinished([odd])] == ["epoch 3"]
    for params in ({}, {"head": "lfb", "dataset": None, "baseline": {"schedule": 3}}):
        assert expected_seconds("train_baseline", params, [run("train_baseline", "tiny", epochs=3)]) is None


def test_a_training_without_a_record_is_listed(tmp_path: Path) -> None:
    training(tmp_path, 3)
    assert _unfinished([]) == [Unfinished("train_baseline", "", "epoch 3", 1070)]


def test_films_of_a_run_that_was_killed_are_counted(tmp_path: Path) -> None:
    for number, name in enumerate(("old", "a", "b", ".c.partial")):
        folder = tmp_path / ".work/extract_frames" / name
        folder.mkdir(parents=True)
        os.utime(folder, (990 + 20 * number, 990 + 20 * number))
    killed = run("extract_frames", outcome="killed", items=9)
    assert _unfinished([killed]) == [Unfinished("extract_frames", "killed", "2 of 9 films made", 1030)]
    assert _unfinished([killed, run("extract_frames", started=1100.0)]) == []


def test_a_status_as_text() -> None:
    stages = [
        Standing("extract_frames", "done", (), 700.0, 100.0, None),
        Standing("train_baseline", "changed", ("parameters baseline.lr", "code x.py"), 800.0, 61.0, 61.0),
        Standing("infer_bank@train", "after", ("train_baseline",), None, None, None),
        Standing("train_head", "never run", (), None, None, None),
    ]
    unfinished = [
        Unfinished("train_baseline", "killed", "epoch 7 of 20", 880.0),
        Unfinished("train_head", "running", "epoch 2 of 10", 990.0, 80.0),
        Unfinished("evaluate", "running", "", None),
        Unfinished("train_head", "", "epoch 2", 940.0),
    ]
    found = Status({"dataset": "films", "head": "lfb_nl"}, stages, unfinished)
    assert status_lines(found, 1000.0) == [
        "dataset films, head lfb_nl",
        "extract_frames               ran 5 min ago, took 2 min              done",
        "train_baseline               ran 3 min ago, took 1 min              changed: parameters baseline.lr; code "
        "x.py",
        "infer_bank@train             no run is recorded                     after train_baseline",
        "train_head                   no run is recorded                     never run",
        "train_baseline was killed: epoch 7 of 20, 2 min ago, the next run goes on from there if nothing it depends on "
        "changed",
        "train_head runs now: epoch 2 of 10, 10 s ago, about 1 min left",
        "evaluate runs now",
        "train_head is not finished: epoch 2, 1 min ago, the next run goes on from there if nothing it depends on "
        "changed",
        "dvc repro runs, as far as what is made anew differs: train_baseline (1 min), infer_bank@train (unknown), "
        "train_head (unknown): about 1 min, and 2 of unknown length",
    ]


@pytest.mark.parametrize(
    ("expected", "line"),
    [
        ([], "nothing to run"),
        ([None], "dvc repro runs, as far as what is made anew differs: s0 (unknown): for how long is unknown"),
        ([60.0, 30.0], "dvc repro runs, as far as what is made anew differs: s0 (1 min), s1 (30 s): about 2 min"),
    ],
)
def test_what_would_run_next_as_text(expected: list[float | None], line: str) -> None:
    stages = [Standing(f"s{n}", "changed", ("code",), None, None, each) for n, each in enumerate(expected)]
    assert status_lines(Status({}, stages, []), 0.0)[-1] == line
