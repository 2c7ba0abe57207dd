"""Make a bank from some videos of another one."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.bank.collect import collect_videos
from pipeline.bank.reader import Bank, open_bank
from pipeline.base.errors import InputError

SHOWN = 5


def subset_bank(bank: Bank, out: Path, videos: Sequence[str]) -> Bank:
    """Make the bank `out` from some videos of a bank; it appears (or is replaced) as a whole.

    Args:
        bank: the bank; it stays unchanged, and its files are linked where the file system allows it.
        out: `<split>.zarr`.
        videos: ids; a repeated id counts once.

    Raises:
        InputError: no id is given, or an id is not in the bank.
    """
    if not videos:
        raise InputError(f"{out}: no video is named, expected one at least")
    unknown = sorted(set(videos) - set(bank.videos))
    if unknown:
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        raise InputError(f"{bank.where}: has no video {', '.join(map(repr, unknown[:SHOWN]))}{more}")
    collect_videos(out, [(bank, set(videos))], split=bank.split, provenance=bank.provenance, what="subset")
    return open_bank(out)
