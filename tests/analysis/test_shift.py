import numpy as np
import pytest

from pipeline.analysis.shift import (
    PENALTY,
    RowSample,
    area_under_curve,
    fit_logistic,
    halves,
    mean_shift,
    norms,
    tell_apart,
    tell_halves_apart,
)

CHANNELS = 12


def sample(name: str, films: int, rows: int = 200, *, shift: float = 0, by_film: float = 0, seed: int = 0) -> RowSample:
    """Normal rows; `shift` moves all of them in one channel, `by_film` each film by its own draw in every channel."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((films * rows, CHANNELS))
    film = rng.permutation(np.repeat(np.arange(films), rows))
    features += by_film * rng.standard_normal((films, CHANNELS))[film]
    features[:, 3] += shift
    return RowSample(features.astype(np.float32), film, [f"{name}_{each}" for each in range(films)])


def test_the_shift_is_that_of_the_means_in_standard_deviations() -> None:
    rng = np.random.default_rng(1)
    one = rng.standard_normal((5000, 4)) * [1, 10, 0.1, 0]
    other = rng.standard_normal((3000, 4)) * [1, 10, 0.1, 0] + [0, 5, 0, 0]
    found = mean_shift(one.astype(np.float32), other.astype(np.float32))
    assert found["max"] == pytest.approx(0.5, abs=0.06), "the scale of a channel does not matter"
    assert found["mean"] == pytest.approx(0.5 / 3, abs=0.03), "a channel that never varies is left out"
    assert mean_shift(one[:, 3:], other[:, 3:]) == {"mean": 0.0, "max": 0.0}
    assert mean_shift(one, one) == {"mean": 0.0, "max": 0.0}


def test_norms_of_half_precision_rows_do_not_overflow() -> None:
    rows = np.array([[3e4, 4e4], [0, 5e4]], np.float16)
    assert norms(rows)["mean"] == pytest.approx(5e4, rel=1e-3)
    assert norms(np.array([[3.0, 4], [0, 1]])) == {"mean": 3.0, "std": 2.0}


def test_auc_counts_pairs_and_ties_half() -> None:
    rng = np.random.default_rng(2)
    scores, labels = rng.integers(0, 5, 40).astype(float), rng.random(40) < 0.4
    pairs = [(p > n) + (p == n) / 2 for p in scores[labels] for n in scores[~labels]]
    assert area_under_curve(scores, labels) == pytest.approx(np.mean(pairs))


def test_the_logistic_regression_is_at_its_optimum() -> None:
    rng = np.random.default_rng(3)
    features = rng.standard_normal((500, 6))
    labels = features[:, 0] + 0.5 * rng.standard_normal(500) > 0.3
    weights, bias = fit_logistic(features, labels)
    error = 1 / (1 + np.exp(-(features @ weights + bias))) - labels
    assert np.abs(features.T @ error / 500 + PENALTY * weights).max() < 1e-4
    assert abs(error.mean()) < 1e-4
    assert np.argmax(np.abs(weights)) == 0
    again = fit_logistic(features, labels)
    assert np.array_equal(again[0], weights)


def test_a_shift_of_all_films_is_seen_and_none_is_not() -> None:
    val = sample("val", 4, seed=9)
    apart = tell_apart(sample("train", 6, shift=4), val)
    assert apart is not None
    assert apart["accuracy"] > 0.95
    assert apart["auc"] > 0.98
    assert apart["lowest"] <= apart["accuracy"] <= apart["highest"]
    same = tell_apart(sample("train", 6), val)
    assert same is not None
    assert same["accuracy"] == pytest.approx(0.5, abs=0.03)
    assert same["auc"] == pytest.approx(0.5, abs=0.03)
    assert tell_apart(sample("train", 6), val) == same


def test_what_tells_single_films_apart_does_not_help_on_other_films() -> None:
    train, val = (sample(name, 12, 60, by_film=3, seed=seed) for name, seed in (("train", 1), ("val", 2)))
    for found in (tell_apart(train, val), tell_halves_apart(train)):
        assert found is not None
        assert 0.3 < found["accuracy"] < 0.7
    # The films as such are easily told apart: asked about the rows it saw, the classifier is right.
    features = np.concatenate([train.features, val.features])
    labels = np.arange(len(features)) >= len(train.features)
    weights, bias = fit_logistic(features, labels)
    assert np.mean((features @ weights + bias > 0) == labels) > 0.75


def test_too_few_films_are_not_measured() -> None:
    one, three, four = (sample("x", films, 20) for films in (1, 3, 4))
    assert tell_apart(one, four) is None
    assert tell_apart(four, one) is None
    assert tell_apart(three, four) is not None
    assert tell_halves_apart(three) is None
    assert tell_halves_apart(four) is not None


def test_halves_share_no_film_and_differ_between_divisions() -> None:
    films = [f"film_{number}" for number in range(9)]
    divisions = [halves(films, number) for number in range(5)]
    for one, other in divisions:
        assert sorted(one + other) == films
        assert len(one) == 5
    assert len({tuple(sorted(one)) for one, _ in divisions}) > 1
    assert halves(films[::-1], 2) == divisions[2], "the order of the films does not matter"
