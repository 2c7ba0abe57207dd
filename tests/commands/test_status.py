import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.commands.status import span, status_lines
from pipeline.project.stage_states import Standing, Status, Unfinished

UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


@given(seconds=st.floats(0, 10**8))
def test_a_span_is_told_to_its_second_unit(seconds: float) -> None:
    words = span(seconds).split()
    parts = list(zip(words[::2], words[1::2], strict=True))
    assert 1 <= len(parts) <= 2
    told = sum(int(number) * UNITS[unit] for number, unit in parts)
    # What is left of a unit is cut off, and minutes are rounded.
    slack = {"s": 1, "min": 31, "h": 31, "d": 3600 + 30}[parts[0][1]]
    assert abs(told - seconds) <= slack
    assert all(int(number) < {"s": 60, "min": 60, "h": 24, "d": 10**9}[unit] for number, unit in parts)


@pytest.mark.parametrize(
    ("unfinished", "line"),
    [
        (
            Unfinished("train", "running", "epoch 7 of 20", 940, 90),
            "train runs now: epoch 7 of 20, 1 min ago, about 2 min left",
        ),
        (
            Unfinished("train", "killed", "epoch 7 of 20", 940),
            "train was killed: epoch 7 of 20, 1 min ago, the next run goes on from there if nothing it depends on "
            "changed",
        ),
        (Unfinished("train", "failed", "", 970), "train failed: 30 s ago"),
        (Unfinished("train", "", "", None), "train is not finished"),
    ],
)
def test_what_a_run_has_finished_so_far(unfinished: Unfinished, line: str) -> None:
    assert status_lines(Status({}, [], [unfinished]), 1000) == [line, "nothing to run"]


def test_files_that_dvc_follows_are_no_stages_that_run() -> None:
    stages = [
        Standing("data.dvc", "changed", ("data",), None, None, None),
        Standing("train", "after", ("frames",), None, None, 60.0),
        Standing("score", "never run", (), 900.0, 5.0, None),
    ]
    first, *lines = status_lines(Status({"head": "lfb_nl", "scope": "all"}, stages, []), 1000)
    assert first == "head lfb_nl, scope all"
    assert [" ".join(line.split()) for line in lines] == [
        "data.dvc no run is recorded changed: data",
        "train no run is recorded after frames",
        "score ran 2 min ago, took 5 s never run",
        "dvc repro runs, as far as what is made anew differs: train (1 min), score (unknown): about 1 min, and 1 of "
        "unknown length",
    ]
