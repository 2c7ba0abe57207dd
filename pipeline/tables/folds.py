"""Choose the films of a split that a training uses: folds by video id let two trainings use different films."""

from collections.abc import Sequence

import numpy as np

from pipeline.base.errors import InputError
from pipeline.base.packing import pack_of
from pipeline.tables.keyframes import KeyframeSet


def in_folds(video_id: str, *, folds: int, use: Sequence[int]) -> bool:
    """Return whether the fold of a film (sha256 of its id modulo `folds`) is one of `use`."""
    return pack_of(video_id, folds) in use


def keyframes_in_folds(keyframes: KeyframeSet, *, folds: int, use: Sequence[int], what: str) -> KeyframeSet:
    """Select the keyframes of the films in the chosen folds, in their order.

    Args:
        keyframes: those of a split.
        folds: number of folds.
        use: the chosen folds, each in [0, folds).
        what: the parameter, for messages.

    Raises:
        InputError: there are keyframes, but none belongs to a chosen film.
    """
    if folds == 1:
        return keyframes
    films = set(keyframes.video_ids)
    chosen = {each for each in films if in_folds(each, folds=folds, use=use)}
    if films and not chosen:
        raise InputError(f"{what}: none of the {len(films)} train films is in {named(folds=folds, use=use)}")
    return keyframes.select(np.flatnonzero([each in chosen for each in keyframes.video_ids]))


def named(*, folds: int, use: Sequence[int]) -> str:
    """Describe the chosen folds in words, e.g. `fold 0 of 2`."""
    return f"fold{'s' if len(use) > 1 else ''} {', '.join(map(str, use))} of {folds}"
