"""Check that windows hold rows: with a bank of other films, or of other times, all windows are empty."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.bank.reader import Bank
from pipeline.base.errors import InputError
from pipeline.base.ranks import is_main
from pipeline.features.windows import WindowSource
from pipeline.tables.film_ids import names_beside
from pipeline.tables.keyframes import KeyframeSet

KEYFRAMES_AT_ONCE = 1 << 14


Filled = dict[str, dict[str, int]]
"By split: the number of `keyframes`, of those with an `empty` window, and of `films_not_in_bank`."


def check_windows(source: WindowSource | None, keyframes: Mapping[str, KeyframeSet]) -> Filled:
    """Count the keyframes whose window is empty, and print the number if there are any.

    Args:
        source: the windows; None for a head that reads none.
        keyframes: by split; a film that is in no bank has empty windows.

    Raises:
        InputError: every window of a split is empty: film names or times of the bank and the annotations differ.
    """
    counts: Filled = {}
    if source is None:
        return counts
    banks = source.banks
    known = {video for bank in banks for video in bank.videos}
    for split, chosen in keyframes.items():
        filled = [np.zeros(0, bool)]
        for first in range(0, len(chosen), KEYFRAMES_AT_ONCE):
            part = slice(first, first + KEYFRAMES_AT_ONCE)
            filled.append(source.has_rows(chosen.video_ids[part], chosen.timestamp[part]))
        empty = int((~np.concatenate(filled)).sum())
        films = sorted(set(chosen.video_ids))
        absent = [each for each in films if each not in known]
        if len(chosen) and empty == len(chosen):
            bank = next((each for each in banks if each.split == split), banks[0])
            raise InputError(_other_films(bank, split, films) if len(absent) == len(films) else
                             _other_times(bank, split, chosen, known, source.window.seconds))  # fmt: skip
        counts[split] = {"keyframes": len(chosen), "empty": empty, "films_not_in_bank": len(absent)}
        if empty and is_main():
            which = f"; {len(absent)} of {len(films)} films are in no bank, the first: {absent[0]!r}" if absent else ""
            print(f"windows of {split}: {empty} of {len(chosen)} hold no row of the bank{which}", file=sys.stderr)
    return counts


def _other_films(bank: Bank, split: str, films: Sequence[str]) -> str:
    return f"{bank.where}: no film of the bank is an annotated film of {split}: " + names_beside(
        "the bank", bank.videos, films
    )


def _other_times(bank: Bank, split: str, chosen: KeyframeSet, known: Iterable[str], seconds: int) -> str:
    common = set(known)
    film = next(each for each in chosen.video_ids if each in common)
    mine = chosen.timestamp[[each == film for each in chosen.video_ids]]
    rows: Any = bank.column(film, "detections", "timestamp") if film in bank.videos else None
    there = f"rows from timestamp {rows.min():g} to {rows.max():g}" if rows is not None and len(rows) else "no row"
    return (
        f"{bank.where}: no window of {seconds} s around a keyframe of {split} holds a row: of film {film!r} the bank "
        f"has {there}, the annotations keyframes from {mine.min():g} to {mine.max():g}; expected the same timestamps"
    )
