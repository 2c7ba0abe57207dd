"""Merge several banks with equal settings into one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.bank.collect import collect_videos
from pipeline.bank.format import PER_SPLIT, ROW_SETS
from pipeline.bank.reader import Bank, differing_settings, open_bank
from pipeline.base.errors import InputError
from pipeline.base.progress import progress


def merge_banks(banks: Sequence[Bank], out: Path) -> tuple[Bank, int]:
    """Make the bank `out` from all videos of several banks; it appears (or is replaced) as a whole.

    Provenance that belongs to the films (`frames_sha256` ...) becomes a list where the banks differ in it.

    Args:
        banks: of one split, producer and type, and with equal settings. They stay unchanged; their files are linked
            where the file system allows it.
        out: `<split>.zarr`.

    Returns:
        The new bank, and how many videos were in more than one bank.

    Raises:
        InputError: banks differ in a setting, or a video is in two of them with different bytes.
    """
    first = banks[0]
    for bank in banks[1:]:
        differences = {
            **{
                key: [ours, theirs]
                for key, ours, theirs in (
                    ("split", first.split, bank.split),
                    ("codec", first.manifest.codec, bank.manifest.codec),
                )
                if ours != theirs
            },
            **differing_settings(first, bank),
        }
        if differences:
            shown = "; ".join(f"{key} is {one!r} and {other!r}" for key, (one, other) in differences.items())
            raise InputError(f"{first.where} and {bank.where} cannot be one bank: {shown}")
    owners: dict[str, Bank] = {}
    chosen: list[tuple[Bank, set[str]]] = []
    shared = 0
    for bank in banks:
        twice = [video for video in bank.videos if video in owners]
        for video in progress(twice, what="compare", unit="video"):
            differing = differing_column(owners[video], bank, video)
            if differing:
                raise InputError(f"video {video!r} has other {differing} in {owners[video].where} than in {bank.where}")
        new = set(bank.videos) - set(owners)
        chosen.append((bank, new))
        owners |= dict.fromkeys(new, bank)
        shared += len(twice)
    provenance = {**first.provenance, **_joined(banks)}
    collect_videos(out, chosen, split=first.split, provenance=provenance, what="merge")
    return open_bank(out), shared


def differing_column(one: Bank, other: Bank, video: str) -> str | None:
    """Return the name of the first array of a video that differs in two banks, to the bit; None if nothing differs."""
    if not np.array_equal(one.timestamps_seen(video), other.timestamps_seen(video)):
        return "timestamps_seen"
    for row_set in ROW_SETS:
        if one.has_rows(video, row_set) != other.has_rows(video, row_set):
            return f"rows of {row_set}"
        if not one.has_rows(video, row_set):
            continue
        ours, theirs = (bank.rows(video, row_set).arrays() for bank in (one, other))
        # First an array that only one bank has: without it the rows may be in another order.
        for name in [*sorted(set(ours) ^ set(theirs)), *sorted(set(ours) & set(theirs))]:
            if name not in ours or name not in theirs or ours[name].tobytes() != theirs[name].tobytes():
                return f"{name} of {row_set}"
    return None


def _joined(banks: Sequence[Bank]) -> dict[str, Any]:
    """Combine the films' provenance of all banks: one value where all agree, else the sorted list of all values."""
    joined: dict[str, Any] = {}
    for key in PER_SPLIT:
        values: list[Any] = []
        for bank in banks:
            value = bank.provenance.get(key, [])
            values += value if isinstance(value, list) else [value]
        distinct = sorted(set(values))
        if distinct:
            joined[key] = distinct[0] if len(distinct) == 1 else distinct
    return joined
