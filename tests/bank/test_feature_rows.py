import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.bank.feature_rows import FeatureRows, non_finite_rows
from tests.bank.banks import make_rows


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes_xyxy": np.zeros((2, 4))}, r"boxes_xyxy has shape (2, 4), expected (3, 4)"),
        ({"score": np.zeros(2)}, "score has shape (2,), expected (3,)"),
        ({"track_id": np.zeros((3, 1), np.int64)}, "track_id has shape (3, 1), expected (3,)"),
        ({"timestamp": np.zeros((3, 1))}, "timestamp has shape (3, 1), expected (3,)"),
        ({"features": np.zeros((2, 5))}, "features have shape (2, 5), expected (3, channels)"),
        ({"features": np.zeros((3, 0))}, "features have shape (3, 0), expected (3, channels)"),
        ({"features": np.zeros(3)}, "features have shape (3,), expected (3, channels)"),
    ],
)
def test_arrays_of_other_shapes_are_refused(changes: dict, message: str) -> None:
    arrays = {"features": np.zeros((3, 5)), "timestamp": np.zeros(3), "boxes_xyxy": np.zeros((3, 4))}
    with pytest.raises(ValueError, match="shape") as error:
        FeatureRows(**{**arrays, **changes})
    assert str(error.value) == message


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), scored=st.booleans())
def test_the_order_is_by_time_score_and_box(seed: int, scored: bool) -> None:
    rows = make_rows({1.0: 4, 0.0: 3, 2.5: 2}, seed=seed, scored=scored, tracked=True)
    found = rows.take(rows.order())
    score = np.zeros(len(found)) if found.score is None else found.score
    keys = [
        (at, -value, *box) for at, value, box in zip(found.timestamp, score, found.boxes_xyxy.tolist(), strict=True)
    ]
    assert keys == sorted(keys)
    assert sorted(rows.order().tolist()) == list(range(9))


def test_equal_rows_stay_as_they_stand() -> None:
    assert FeatureRows(np.zeros((4, 1)), np.zeros(4), np.zeros((4, 4)), np.zeros(4)).order().tolist() == [0, 1, 2, 3]


def test_rows_are_taken_by_place_or_mask_and_absent_arrays_stay_absent() -> None:
    rows = make_rows({0.0: 4}, scored=False)
    assert set(rows.arrays()) == {"features", "timestamp", "boxes_xyxy"}
    some, masked = rows.take(np.array([2, 0])), rows.take(np.array([True, False, True, False]))
    np.testing.assert_array_equal(some.features, rows.features[[2, 0]])
    np.testing.assert_array_equal(masked.boxes_xyxy, rows.boxes_xyxy[[0, 2]])
    assert (len(some), some.score, masked.track_id) == (2, None, None)
    assert repr(some) == "FeatureRows(features=float64[2, 4], timestamp=float64[2], boxes_xyxy=float64[2, 4])"


def test_rows_that_are_no_numbers_are_named() -> None:
    values = np.zeros((4, 2), np.float16)
    values[1, 0], values[3, 1] = np.nan, -np.inf
    assert non_finite_rows(values).tolist() == [1, 3]
    assert non_finite_rows(values[:, 0]).tolist() == [1]
