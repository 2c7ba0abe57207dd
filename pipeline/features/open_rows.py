"""The rows that a head works on: a bank, or for a head that reads none the baseline's parts under `.work`."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.bank.reader import Bank, check_producer, open_bank, open_parts
from pipeline.bank.settings import BankSettings
from pipeline.checkpoint.weights import read_checkpoint
from pipeline.features.split_parts import Sources, split_parts


@dataclass(frozen=True)
class RowSource:
    """Where the rows of a head come from."""

    sources: Sources
    settings: BankSettings
    reads_bank: bool
    producer: str  # sha256 of a bank's checkpoint, `unknown`, or `baseline`: that of the baseline's sidecar
    allow_mixed: bool
    workers: int
    device: str
    batch: int


def open_rows(split: str, path: Path, source: RowSource) -> Bank:
    """Open the bank at `path`, or make the parts.

    Raises:
        InputError: there is no whole bank of this split, or another checkpoint made it.
    """
    if not source.reads_bank:
        parts, provenance = split_parts(
            split,
            source.sources,
            source.settings,
            workers=source.workers,
            device=source.device,
            batch=source.batch,
        )
        return open_parts(parts, provenance, split=split)
    bank = open_bank(path)
    foreign_producer(bank, source)
    return bank


def foreign_producer(bank: Bank, source: RowSource) -> dict[str, list[str | None]]:
    """By which other checkpoint a bank was made than the expected one, for the record; empty where it is the same.

    Raises:
        InputError: it is another one, and `source.allow_mixed` is not set.
    """
    if not source.reads_bank:
        return {}
    expected, remedy = source.producer, "if it is the bank you want, bank.producer=FOUND takes it"
    if expected == "baseline":
        expected, remedy = read_checkpoint(source.sources.checkpoint).sha256, "`dvc repro` makes it anew"
    remedy += ", and bank.allow_mixed=true takes any"
    found = check_producer(bank, expected, allow_mixed=source.allow_mixed, remedy=remedy)
    return {f"{bank.split}_bank_and_expected": both for both in found.values()}
