import math

import numpy as np
import pytest

from pipeline.predict.scored_seconds import ScoredSecond, scored_seconds, threshold_array
from pipeline.predict.uncertain import least_certain, uncertainty
from tests.predict.made import Person, predicted


def bits(p: float) -> float:
    return -(p * math.log2(p) + (1 - p) * math.log2(1 - p))


def of(*persons: dict[int, float]) -> float:
    found = predicted(*(Person(0.5, n, each, (n / 9, 0.1, n / 9 + 0.1, 0.2)) for n, each in enumerate(persons)))
    (second,) = scored_seconds(found)
    return uncertainty(second, threshold_array(found))


def test_uncertainty_is_one_bit_at_the_threshold_and_none_far_from_it() -> None:
    assert of({1: 0.5}) == of({2: 0.25}) == of({4: 0.8}) == pytest.approx(1.0)
    assert of({1: 0.25}) == of({1: 0.75}) == pytest.approx(bits(0.25))
    assert of({2: 0.125}) == of({2: 0.625}) == pytest.approx(bits(0.25))  # half of the way, on either side
    assert of({1: 0.19}) == of({1: 0.81}) == of({1: 1.0}) == of({}) == 0.0


def test_classes_add_up_and_persons_are_averaged() -> None:
    assert of({1: 0.5, 4: 0.8}) == pytest.approx(2.0)
    assert of({1: 0.5, 4: 0.8}, {}) == of({1: 0.5}, {4: 0.8}) == pytest.approx(1.0)


@pytest.mark.parametrize("threshold", [0.0, 1.0, np.inf])
def test_thresholds_at_the_ends(threshold: float) -> None:
    second = ScoredSecond("a", 0, 0, np.zeros((1, 4)), [None], np.array([[0.0], [0.6], [1.0]]).T)
    found = uncertainty(second, np.full(3, threshold))
    assert found == pytest.approx({0.0: bits(0.8), 1.0: bits(0.3) + 1.0, np.inf: 0.0}[threshold])


def chosen(*persons: Person, count: int, frames: int = 25_000) -> list[tuple[str, float]]:
    found = predicted(*persons, frames=frames)
    kept = least_certain(scored_seconds(found), threshold_array(found), count)
    return [(each.video_id, each.time_seconds) for each in kept]


def test_the_planted_seconds_are_found() -> None:
    planted = {12.5, 37.5, 60.5, 88.5}
    sure = [Person(n + 0.5, 0, {1: 0.95, 2: 0.02}) for n in range(100) if n + 0.5 not in planted]
    unsure = [Person(time, 0, {1: 0.52, 2: 0.24}) for time in planted]
    assert chosen(*sure, *unsure, count=4) == [("a", time) for time in sorted(planted)]
    assert len(chosen(*sure, *unsure, count=1000)) == 100


def test_neighbours_are_spread_over_time() -> None:
    """A minute that is uncertain throughout gives seconds that are apart, not the first six of it."""
    same = [Person(n + 0.5, 0, {1: 0.5}) for n in range(60)]
    times = [time for _, time in chosen(*same, count=6)]
    assert np.diff(times).min() >= 5.0
    # A second next to a chosen one counts a fifth, and so gives way to one that is half as uncertain.
    assert chosen(
        Person(0.5, 0, {1: 0.5}), Person(1.5, 0, {1: 0.5}), Person(20.5, 0, {1: 0.25}), count=2
    ) == [("a", 0.5), ("a", 20.5)]  # fmt: skip


def test_films_share() -> None:
    """The film whose scores are nearest to the thresholds does not get all places."""
    near = [Person(10 * n + 0.5, 0, {1: 0.5}, film="a") for n in range(10)]
    less = [Person(10 * n + 0.5, 0, {1: 0.3}, film="b") for n in range(10)]
    films = [film for film, _ in chosen(*near, *less, count=10)]
    assert (films.count("a"), films.count("b")) == (6, 4)


def test_equal_seconds_go_by_film_and_time() -> None:
    same = [Person(10 * n + 0.5, 0, {1: 0.5}, film=film) for film in "ba" for n in range(3)]
    assert chosen(*same, count=3) == [("a", 0.5), ("a", 10.5), ("b", 0.5)]
    assert chosen(*(Person(n + 0.5) for n in range(5)), count=2) == [("a", 0.5), ("a", 1.5)]
