"""Given the motion, only what defines a label predicts it; the check would notice any other predictor."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.playground import timeline
from pipeline.playground.actions import JUMP_IDS
from tests.playground.leaks import MOTIONS, Rows, draw_rows, guessed

TRAIN_FILMS, VAL_FILMS = 60, 40
# Of mean AP above the rate that the motion alone gives. Chance alone reached 0.07 (jumps, 160 events) in trials.
MARGIN = 0.1

Split = tuple[dict[str, Rows], dict[str, Rows]]


@pytest.fixture(scope="module")
def drawn() -> Split:
    return draw_rows(11, "train", TRAIN_FILMS), draw_rows(11, "val", VAL_FILMS)


@pytest.mark.parametrize("motion", MOTIONS)
def test_no_channel_tells_a_label_beyond_the_motion(drawn: Split, motion: str) -> None:
    train, val = drawn
    assert len(val[motion].labels) > 300
    above = guessed(train[motion], val[motion])
    assert set(above) == {"box", "time", "look", "place", "manner", "background", "all"} | (
        {"objects"} if motion != "point" else set()
    )
    assert {name: gain for name, gain in above.items() if gain > MARGIN} == {}


COLUMNS = {"box": 5, "time": 0, "look": 3, "place": 0, "manner": 1, "background": 0, "objects": 1}


@pytest.mark.parametrize(
    ("motion", "channel"),
    [(motion, name) for motion in MOTIONS for name in COLUMNS if (motion, name) != ("point", "objects")],
)
def test_a_planted_leak_is_seen(drawn: Split, motion: str, channel: str) -> None:
    """One label's rows are given a column that lies one standard deviation higher."""
    column = COLUMNS[channel]
    marked = []
    for rows in (drawn[0][motion], drawn[1][motion]):
        table = rows.channels[channel].copy()
        chosen = rows.labels == MOTIONS[motion][0]
        table[chosen, column] += table[:, column].std()
        marked.append(replace(rows, channels={**rows.channels, channel: table}))
    above = guessed(*marked)
    assert above[channel] > MARGIN
    assert all(gain <= MARGIN for name, gain in above.items() if name not in (channel, "all"))


def test_a_leak_of_the_scripts_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the shuffling of pairs, every first jump of a film would come after its crouch."""

    def in_order(rng: np.random.Generator, count: int) -> list[int]:
        return [each for _ in range(count // 2) for each in (0, 1)]

    monkeypatch.setattr(timeline, "_shuffled_pairs", in_order)
    train, val = draw_rows(11, "train", 30)["jump"], draw_rows(11, "val", 20)["jump"]
    assert set(val.labels) == set(JUMP_IDS)
    assert guessed(train, val)["time"] > 2 * MARGIN
