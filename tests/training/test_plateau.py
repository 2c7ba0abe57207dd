"""Early stopping: what a plateau is, and what a training makes of it."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.plateau import Plateau, find_plateau
from tests.training.test_loop import Killed, run


def history(*maps: float | str | None) -> list[dict]:
    """A row for each epoch; "-" is one that was not validated."""
    return [{"epoch": at, **({} if score == "-" else {"map": score})} for at, score in enumerate(maps, 1)]


@pytest.mark.parametrize(
    ("maps", "min_delta", "expected"),
    [
        ((), 0.0, Plateau()),
        (("-", "-"), 0.0, Plateau()),
        ((0.1,), 0.0, Plateau(1, 0.1, 0)),
        ((0.1, 0.1), 0.0, Plateau(1, 0.1, 1)),
        ((0.1, 0.2, 0.15, 0.2), 0.0, Plateau(2, 0.2, 2)),
        (("-", 0.1, "-", 0.05, "-", 0.0), 0.0, Plateau(2, 0.1, 2)),
        # Small rises that add up to a large one are a rise of the last one that counted.
        ((0.10, 0.14, 0.18), 0.05, Plateau(3, 0.18, 0)),
        ((0.10, 0.14, 0.15), 0.05, Plateau(1, 0.10, 2)),
        ((None, float("nan"), None), 0.0, Plateau(1, -1.0, 2)),
        ((None, 0.0), 0.0, Plateau(2, 0.0, 0)),
        ((0.0, 0.0), 0.0, Plateau(1, 0.0, 1)),
    ],
)
def test_a_plateau_is_counted_from_the_last_rise(maps: tuple, min_delta: float, expected: Plateau) -> None:
    assert find_plateau(history(*maps), min_delta) == expected


@given(st.lists(st.one_of(st.just("-"), st.none(), st.floats(0, 1))), st.floats(0, 1))
def test_what_holds_for_any_history(maps: list, min_delta: float) -> None:
    rows = history(*maps)
    found = find_plateau(rows, min_delta)
    scores = [row["map"] for row in rows if row.get("map") is not None]
    assert found.since == sum("map" in row for row in rows if row["epoch"] > found.epoch)
    assert all(score <= found.score + min_delta for score in scores)
    assert (found.score == -math.inf) == (found.epoch == 0) == (not any("map" in row for row in rows))
    if min_delta == 0 and scores:
        assert found.score == max(scores), "without a margin the last rise is the highest mAP"


SCORES = (0.1, 0.5, 0.3, 0.5, 0.9, 0.9)
"Validated after each epoch: no rise after the second one until the fifth."


@pytest.mark.parametrize(
    ("patience", "min_delta", "interval", "epochs"),
    [(1, 0.0, 1, 3), (2, 0.0, 1, 4), (3, 0.0, 1, 6), (2, 0.5, 1, 3), (1, 0.0, 2, 4), (0, 0.0, 1, 6), (0, 1.0, 1, 6)],
)
def test_a_training_ends_where_the_map_has_stopped_rising(
    tmp_path: Path, patience: int, min_delta: float, interval: int, epochs: int
) -> None:
    _, fitted = run(tmp_path, scores=SCORES, epochs=6, patience=patience, min_delta=min_delta, interval=interval)
    assert len(fitted.history) == epochs
    assert fitted.selected_epoch == epochs
    assert "map" in fitted.history[-1], "it stops after a validation"


@pytest.mark.parametrize("select", ["last", "best"])
@pytest.mark.parametrize("die_after", [1, 2, 3])
def test_a_resumed_training_stops_where_the_whole_one_does(tmp_path: Path, select: str, die_after: int) -> None:
    changes = {"scores": SCORES, "epochs": 6, "patience": 2, "select": select}
    whole, first = run(tmp_path / "whole", **changes)  # type: ignore[arg-type]
    with pytest.raises(Killed):
        run(tmp_path / "killed", die_after=die_after, **changes)  # type: ignore[arg-type]
    resumed, second = run(tmp_path / "killed", **changes)  # type: ignore[arg-type]
    assert first == second
    assert (len(first.history), first.selected_epoch) == (4, 2 if select == "best" else 4)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    # Killed between its last state and its outs, it trains no epoch more.
    again, third = run(tmp_path / "killed", **changes)  # type: ignore[arg-type]
    assert third == first
    assert torch.equal(again[0].weight, whole[0].weight)  # type: ignore[index]


def test_the_epochs_before_the_stop_are_those_of_a_whole_training(tmp_path: Path) -> None:
    """The learning rate falls as it would over all epochs."""
    _, whole = run(tmp_path / "whole", scores=SCORES, epochs=6)
    _, stopped = run(tmp_path / "stopped", scores=SCORES, epochs=6, patience=2)
    assert stopped.history == whole.history[:4]


@pytest.mark.parametrize(
    ("scores", "min_delta", "line"),
    [
        (SCORES, 0.0, "has not risen for 2 validations, since 0.5000 after epoch 2"),
        (SCORES, 0.45, "has not risen by more than 0.45 for 2 validations, since 0.1000 after epoch 1"),
        ((float("nan"),) * 6, 0.0, "has not risen for 2 validations, since none after epoch 1"),
    ],
)
def test_the_stop_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scores: tuple, min_delta: float, line: str
) -> None:
    _, fitted = run(tmp_path, scores=scores, epochs=6, patience=2, min_delta=min_delta)
    done = len(fitted.history)
    assert capsys.readouterr().err.splitlines()[done:] == [
        f"train: stopped after epoch {done} of 6: the validation mAP {line}"
    ]


def test_a_stop_at_the_last_epoch_is_no_early_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, scores=SCORES, epochs=4, patience=2)
    assert "stopped" not in capsys.readouterr().err
