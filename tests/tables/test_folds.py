import hashlib
import re

import numpy as np
import pytest

from pipeline.base.errors import InputError
from pipeline.tables.folds import in_folds, keyframes_in_folds
from pipeline.tables.keyframes import KeyframeSet

FILMS = [f"train_{number:03d}" for number in range(12)]


def keyframes(films: list[str]) -> KeyframeSet:
    """Two keyframes of each film, with one person each."""
    names = [name for name in films for _ in range(2)]
    n = len(names)
    ends = np.arange(n + 1)
    stamps = np.tile([900.0, 901.0], len(films))
    boxes = np.tile([0.1, 0.1, 0.5, 0.5], (n, 1))
    labels = np.zeros((n, 3), bool)
    return KeyframeSet(names, stamps, stamps - 900, boxes, labels, ends, boxes, np.ones(n), ends)


def test_a_fold_is_what_sha256sum_says_and_each_film_is_in_one() -> None:
    for folds in (2, 3):
        of = {film: int(hashlib.sha256(film.encode()).hexdigest(), 16) % folds for film in FILMS}
        for film, fold in of.items():
            assert [in_folds(film, folds=folds, use=[each]) for each in range(folds)] == [
                each == fold for each in range(folds)
            ]
    halves = [{film for film in FILMS if in_folds(film, folds=2, use=[fold])} for fold in (0, 1)]
    assert [len(half) for half in halves] == [6, 6], "docs/gap.md says so of the playground"
    assert "train_001" in halves[0]
    assert "train_000" in halves[1]


def test_keyframes_of_chosen_films_keep_their_order() -> None:
    every = keyframes(FILMS)
    zero, one = (keyframes_in_folds(every, folds=2, use=[fold], what="x") for fold in (0, 1))
    assert sorted({*zero.video_ids, *one.video_ids}) == FILMS
    assert not {*zero.video_ids} & {*one.video_ids}
    assert zero.video_ids == [name for name in every.video_ids if name in zero.video_ids]
    assert zero.timestamp.tolist() == [900, 901] * 6
    assert keyframes_in_folds(every, folds=2, use=[0, 1], what="x").video_ids == every.video_ids
    assert keyframes_in_folds(every, folds=1, use=[0], what="x") is every


def test_a_choice_without_films_is_refused() -> None:
    message = "baseline.videos: none of the 1 train films is in folds 0, 2 of 3"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        keyframes_in_folds(keyframes(["train_002"]), folds=3, use=[0, 2], what="baseline.videos")
    with pytest.raises(InputError, match=r"in fold 0 of 2$"):
        keyframes_in_folds(keyframes(["train_000"]), folds=2, use=[0], what="baseline.videos")
    assert len(keyframes_in_folds(keyframes([]), folds=2, use=[0], what="x")) == 0, (
        "that nothing is there is said later"
    )
