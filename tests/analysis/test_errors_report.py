import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.analysis.confusions import find_confusions
from pipeline.analysis.error_kinds import KINDS
from pipeline.analysis.errors_report import (
    TITLES,
    confused,
    error_summary,
    text,
    total_shares,
    worst_frames,
    write_error_tables,
)
from pipeline.tables.label_map import Label
from tests.analysis.test_error_kinds import FAR, LEFT, LEFT_SHIFTED, RIGHT, SIT, WALK, WAVE, found_in

NAMES = [Label(WALK, "walk", "g"), Label(WAVE, "wave", "g"), Label(SIT, "sit", "g")]
BOXES = st.sampled_from([LEFT, LEFT_SHIFTED, RIGHT, FAR])
ACTIONS = st.sampled_from([WALK, WAVE, SIT])
SECONDS = st.integers(1, 3)
SCORES = st.sampled_from([0.25, 0.5, 0.75])


def test_every_kind_has_a_title() -> None:
    assert set(TITLES) == set(KINDS)


@settings(max_examples=40)
@given(
    labels=st.lists(st.tuples(SECONDS, BOXES, ACTIONS), unique=True, max_size=5),
    rows=st.lists(st.tuples(SECONDS, BOXES, ACTIONS, SCORES), unique_by=lambda row: row[:3], min_size=1, max_size=6),
)
def test_keyframes_share_the_cost_of_their_rows_and_kinds_all_that_is_lost(labels: list, rows: list) -> None:
    errors = found_in(labels, rows)
    worst = worst_frames(errors, 100)
    costs = [cost for _, cost in worst]
    assert sum(costs) == pytest.approx(errors.label_loss.sum() + errors.row_loss.sum())
    ranked = np.round(costs, 12).tolist()  # equal but for rounding: by number of frame
    assert ranked == sorted(ranked, reverse=True)
    assert all(cost > 0 for cost in costs)
    assert worst_frames(errors, 1) == worst[:1]
    defined = ~np.isnan(errors.ap)
    assert sum(total_shares(errors)) == pytest.approx(1 if (errors.ap[defined] < 1 - 1e-9).any() else 0)
    confusions = find_confusions(errors)
    shares = [confusions.above[pair] / confusions.examples[pair] for pair in confused(confusions)]
    assert shares == sorted(shares, reverse=True)


def test_the_files_say_what_the_errors_are(tmp_path: Path) -> None:
    """Of two who walk one has no box; the other has a wave above his walk. Nobody sits."""
    errors = found_in(
        [(1, LEFT, WALK), (1, RIGHT, WALK), (2, RIGHT, WAVE)],
        [(1, LEFT, WALK, 0.5), (1, LEFT, WAVE, 0.75), (2, RIGHT, WAVE, 0.9)],
    )
    confusions = find_confusions(errors)
    write_error_tables(tmp_path, errors, confusions, NAMES)
    told = json.loads((tmp_path / "errors.json").read_text())
    assert told == json.loads(json.dumps(error_summary(errors)))
    assert told["labels"] == 3
    assert {kind: each["labels_not_found"] for kind, each in told["kinds"].items() if each["labels_not_found"]} == {
        "missed": 1
    }
    assert {kind: each["false_rows"] for kind, each in told["kinds"].items() if each["false_rows"]} == {"class": 1}
    with (tmp_path / "per_class.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["class"], row["examples"], row["not_found_missed"], row["false_class"]) for row in rows] == [
        ("walk", "2", "1", "0"), ("wave", "1", "0", "1"), ("sit", "0", "0", "0")
    ]  # fmt: skip
    with (tmp_path / "confusions.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    assert [first[key] for key in ("class", "other", "examples", "other_above")] == ["walk", "wave", "1", "1"]


def test_few_examples_are_no_confusion_that_is_printed() -> None:
    def printed(count: int) -> str:
        labels = [(second, LEFT, WALK) for second in range(count)]
        rows = [
            (second, LEFT, action, score) for second in range(count) for action, score in ((WALK, 0.5), (WAVE, 0.9))
        ]
        errors = found_in(labels, rows)
        return text(errors, find_confusions(errors), NAMES)

    assert "scored above the class that it is:" not in printed(4)
    assert printed(5).splitlines()[-2:] == ["scored above the class that it is:", "  wave above walk: 5 of 5"]
