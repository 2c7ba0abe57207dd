from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.bank import held_features
from pipeline.bank.held_features import HeldFeatures
from pipeline.bank.reader import Bank, open_bank
from tests.bank.banks import make_rows, write_small_bank

FILMS = "abc"
FILM_BYTES = 5 * 4 * 2  # rows, channels, bytes of a value


class Elsewhere:
    """The bank's own folders as those of a bank on another machine; says what was asked for."""

    cache_bytes = 1

    def __init__(self, bank: Bank) -> None:
        self.bank, self.reads, self.asked = bank, set[tuple[str, str]](), list[str]()

    def piece(self, part: str, row_set: str, array: str) -> Path:
        self.asked.append(part)
        return self.bank.folders[part] / row_set


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    rows = {film: make_rows({0.0: 5}, channels=4, seed=seed) for seed, film in enumerate(FILMS)}
    return open_bank(write_small_bank(tmp_path_factory.mktemp("bank") / "train.zarr", rows))


def taken(held: HeldFeatures, bank: Bank, films: str) -> list[np.ndarray]:
    return [held.take(FILMS.index(film), bank, film, "detections") for film in films]


@pytest.mark.parametrize(
    ("most_bytes", "kept"), [(None, [2, 1, 0]), (3 * FILM_BYTES, [2, 1, 0]), (2 * FILM_BYTES, [1, 0]), (1, [0])]
)
def test_those_used_last_are_held(bank: Bank, most_bytes: int | None, kept: list[int]) -> None:
    held = HeldFeatures(most_bytes)
    for film, features in zip("abcba", taken(held, bank, "abcba"), strict=True):
        np.testing.assert_array_equal(features, bank.rows(film, "detections").features)
    assert list(held.held) == kept
    assert held.held_bytes == FILM_BYTES * len(kept)


def test_features_of_this_machine_are_mapped_and_no_more_than_may_be_open(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_features, "MOST_MAPPED", 2)
    held = HeldFeatures(None)
    assert [features.flags.owndata for features in taken(held, bank, "abc")] == [False] * 3
    assert list(held.held) == [1, 2]


def test_features_of_another_machine_are_copied_and_fetched_once_while_they_are_held(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_features, "MOST_MAPPED", 2)
    far = replace(bank, fetched=(elsewhere := Elsewhere(bank)))
    held = HeldFeatures(None)
    assert all(features.flags.owndata for features in taken(held, far, "abcabc"))
    assert elsewhere.asked == [*"abc"]
