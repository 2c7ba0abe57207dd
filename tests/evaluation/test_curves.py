import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.curves import average_precision, envelope, interpolate, precision_recall
from tests.evaluation import reference

SCORES = st.lists(st.tuples(st.sampled_from([0.1, 0.25, 0.5, 0.75, 1.0]), st.booleans()), min_size=1, max_size=12)


@given(rows=SCORES, missed=st.integers(0, 3))
def test_the_area_is_that_of_plain_loops_with_ties_the_wrong_ones_first(
    rows: list[tuple[float, bool]], missed: int
) -> None:
    hits = np.array([score for score, is_true in rows if is_true])
    num_gt = len(hits) + missed
    if not num_gt:
        return
    recall, precision = precision_recall(hits, np.sort([score for score, _ in rows]), num_gt)
    assert average_precision(recall, precision) == pytest.approx(reference.average_precision(rows, num_gt), abs=1e-12)
    assert (np.diff(recall) > 0).all()
    levels = np.linspace(0, 1, 7)
    best = [max((p for r, p in zip(recall, precision, strict=True) if r >= level), default=0.0) for level in levels]
    np.testing.assert_allclose(interpolate(recall, precision, levels), best)


def test_the_envelope_never_rises() -> None:
    assert envelope(np.array([0.5, 0.75, 0.25, 0.5])).tolist() == [0.75, 0.75, 0.5, 0.5]


def test_nothing_found_has_no_area() -> None:
    nothing = np.zeros(0)
    assert average_precision(*precision_recall(nothing, np.array([0.5]), 3)) == 0
    assert interpolate(nothing, nothing, np.array([0.0, 0.5])).tolist() == [0, 0]
