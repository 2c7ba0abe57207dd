from pathlib import Path

import numpy as np
import pytest

from pipeline.analysis.feature_gap import load_producer, measure_gap, sample_rows
from pipeline.bank.reader import Bank, open_bank
from pipeline.base.errors import InputError
from pipeline.tables.folds import in_folds
from tests.bank.banks import PROVENANCE, make_rows, write_small_bank


def bank(folder: Path, split: str = "train", films: int = 4, **changes: object) -> Bank:
    rows = {f"{split}{each}": make_rows({1.0: 3, 2.0: each}, seed=each) for each in range(films)}
    return open_bank(write_small_bank(folder / split, rows, split=split, provenance={**PROVENANCE, **changes}))


def stored(bank: Bank, film: str) -> set[tuple[float, ...]]:
    return {tuple(row) for row in bank.rows(film, "detections").features.astype(float).tolist()}


def test_the_same_rows_are_drawn_every_time_and_stand_with_their_film(tmp_path: Path) -> None:
    made = bank(tmp_path)
    whole = sample_rows(made, made.videos, 1000)
    assert len(whole.features) == sum(made.count("detections", film) for film in made.videos)
    few = sample_rows(made, made.videos, 5)
    np.testing.assert_array_equal(few.features, whole.features[:5])
    for sample in (whole, few):
        assert len({tuple(row) for row in sample.features.tolist()}) == len(sample.features)
        for row, film in zip(sample.features.astype(float).tolist(), sample.film.tolist(), strict=True):
            assert tuple(row) in stored(made, sample.films[film])
    assert whole.films == list(made.videos)


def test_another_film_moves_no_row_of_the_others_behind_each_other(tmp_path: Path) -> None:
    made = bank(tmp_path)
    every, fewer = (sample_rows(made, films, 1000).features.tolist() for films in (made.videos, made.videos[1:]))
    assert [row for row in every if row in fewer] == fewer


def test_films_without_rows_are_refused(tmp_path: Path) -> None:
    empty = open_bank(write_small_bank(tmp_path / "x", {"a": make_rows({})}))
    with pytest.raises(InputError) as error:
        sample_rows(empty, ["a"], 10)
    assert str(error.value) == f"{empty.where}: its 1 films have no rows of detections"


def test_what_is_measured_without_the_model(tmp_path: Path) -> None:
    train, val = bank(tmp_path), bank(tmp_path, "val", films=2)
    report = measure_gap(train, val, producer=None, tables=None, cap=6)
    sides = {
        side: (report[side]["films"], report[side]["rows"], report[side]["rows_in_films"]) for side in ("train", "val")
    }
    assert sides == {"train": (4, 6, 18), "val": (2, 6, 7)}
    assert (report["choice"], report["train"]["digest"]) == ("fold 0 of 1", train.digest)
    assert "ap" not in report["train"]


def test_banks_that_do_not_belong_together_and_folds_without_a_film_are_refused(tmp_path: Path) -> None:
    train, other = bank(tmp_path, films=1), bank(tmp_path, "val", checkpoint_sha256="d" * 64)
    with pytest.raises(InputError, match="do not belong together"):
        measure_gap(train, other, producer=None, tables=None)
    fold = int(in_folds(train.videos[0], folds=2, use=[0]))  # that the film is not in
    with pytest.raises(InputError) as error:
        measure_gap(train, train, producer=None, tables=None, folds=2, use=[fold])
    assert str(error.value) == f"{train.where}: none of its 1 films is in fold {fold} of 2"


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        load_producer(tmp_path / "absent.safetensors")
    assert str(error.value) == f"{tmp_path / 'absent.json'}: no such file"
