import numpy as np
import pytest

from pipeline.base.errors import InputError
from pipeline.predict.scored_times import check_step, first_of_each, of_windows, stepped


def test_steps_begin_at_the_first_time_and_end_before_the_last() -> None:
    assert stepped(900.0, 903.0, 1.0).tolist() == [900, 901, 902]
    assert stepped(0.0, 2.0, 0.4).tolist() == [0, 0.4, 0.8, 1.2, 1.6]
    assert stepped(0.0, 0.1, 1.0).tolist() == [0]
    assert stepped(3.0, 2.0, 1.0).tolist() == []


def test_the_earliest_time_of_each_span_is_taken() -> None:
    times = np.array([900.52, 900.0, 901.2, 902.9, 903.0])
    assert first_of_each(times, 900.0, 1.0).tolist() == [900.0, 901.2, 902.9, 903.0]
    assert first_of_each(times, 900.0, 2.0).tolist() == [900.0, 902.9]
    steps = np.array([0.0, 0.4, 0.8, 0.4 * 3, 1.6])
    assert first_of_each(steps, 0.0, 0.4).tolist() == steps.tolist()
    assert first_of_each(np.empty(0), 0.0, 1.0).tolist() == []


def test_windows_hold_one_time_of_each_second() -> None:
    assert of_windows(np.array([900.5, 901.0, 901.5, 903.25])).tolist() == [900.5, 901.0, 903.25]


@pytest.mark.parametrize("every", [0.0, -1.0, 0.001, float("nan"), float("inf")])
def test_a_step_is_no_shorter_than_a_frame(every: float) -> None:
    with pytest.raises(InputError) as error:
        check_step(every)
    assert str(error.value) == f"--every {every:g}: expected seconds, at least 0.02"
    assert check_step(0.5) == 0.5
