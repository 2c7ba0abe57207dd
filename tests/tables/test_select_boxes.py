import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tables.select_boxes import BoxRule, passing, whole_frames

# Neighbours in float32 and float64 of what people write.
SCORES = [0.0, 0.3, 0.5, float(np.float32(0.9)), 0.9, 0.95, 1.0, 1.5]


@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.sampled_from(SCORES)), max_size=14),
    rule=st.builds(BoxRule, st.sampled_from([*SCORES, -np.inf, 2.0]), st.booleans(), st.booleans()),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_the_rule_in_a_plain_loop(rows: list[tuple[int, float]], rule: BoxRule, dtype: type[np.floating]) -> None:
    groups = 5
    group = np.array([each for each, _ in rows], np.int64)
    scores = np.array([score for _, score in rows], dtype)
    expected = []
    for mine, score in zip(group, scores, strict=True):
        best = max(other for each, other in zip(group, scores, strict=True) if each == mine)
        reached = score >= dtype(rule.threshold)
        none_does = best < dtype(rule.threshold)
        expected.append(bool(reached or (rule.lower and none_does and score == best)))
    assert passing(scores, group, groups, rule, dtype).tolist() == expected
    bare, frames = whole_frames(group, groups, rule)
    assert bare.tolist() == [each for each in range(groups) if rule.full_frame and each not in group]
    assert frames.tolist() == [[0, 0, 1, 1, 1]] * len(bare)


@pytest.mark.parametrize(("dtype", "passes"), [(np.float32, True), (np.float64, False)])
def test_a_threshold_is_rounded_as_the_scores_are(dtype: type[np.floating], passes: bool) -> None:
    stored = np.array([0.9], np.float32).astype(dtype)
    assert passing(stored, np.zeros(1, np.int64), 1, BoxRule(0.9), dtype).tolist() == [passes]
