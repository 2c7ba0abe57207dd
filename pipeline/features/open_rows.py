"""Open the rows that a head works on: a bank, or the baseline's parts under `.work` for a head that reads no bank."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.bank.reader import Bank, check_pair, check_producer, open_parts
from pipeline.bank.remote import open_place
from pipeline.bank.settings import BankSettings
from pipeline.base.hardware import Hardware
from pipeline.checkpoint.weights import read_checkpoint
from pipeline.features.split_parts import Sources, split_parts
from pipeline.models.settings import LongTermHead


@dataclass(frozen=True)
class RowSource:
    """The source of a head's rows."""

    sources: Sources
    settings: BankSettings
    banks: Mapping[str, str]
    "Path or URL of each split's bank."
    reads_bank: bool
    "True: rows come from banks; False: from parts, and missing parts are computed."
    producer: str
    "sha256 of the checkpoint that made the banks; `unknown`; or `baseline`: the sha256 in the sidecar of `sources`."
    allow_mixed: bool
    "Accept banks that differ in producer or settings."
    hardware: Hardware

    @property
    def dataset(self) -> str:
        """The name of the data set."""
        return self.sources.annotations.parent.name

    def for_head(self, head: LongTermHead) -> "RowSource":
        """Return the source of a head's rows: a head that reads windows needs the bank that they come from."""
        return replace(self, reads_bank=self.reads_bank or head.window is not None)

    def for_memory(self, checkpoint: Path) -> "RowSource":
        """Return the source of the memory that `infer_memory` made with the detector at `checkpoint`."""
        return replace(
            self,
            sources=replace(self.sources, checkpoint=checkpoint),
            banks={split: str(self.sources.annotations.parent / "memory" / f"{split}.zarr") for split in self.banks},
            reads_bank=True,
            producer="baseline",
        )


def open_rows(split: str, source: RowSource) -> Bank:
    """Open the bank of a split, or compute the split's parts and open these.

    Raises:
        InputError: there is no complete bank of this split, or another checkpoint made it.
    """
    if not source.reads_bank:
        parts, provenance = split_parts(split, source.sources, source.settings, source.hardware)
        return open_parts(parts, provenance, split=split)
    bank = open_place(source.banks[split])
    foreign_producer(bank, source)
    return bank


def foreign_producer(bank: Bank, source: RowSource) -> dict[str, list[str | None]]:
    """Check that the expected checkpoint made a bank.

    Returns:
        The two checkpoints, for the record, if they differ; else empty.

    Raises:
        InputError: they differ, and `source.allow_mixed` is not set.
    """
    if not source.reads_bank:
        return {}
    expected, remedy = source.producer, "if it is the bank you want, bank.producer=FOUND takes it"
    if expected == "baseline":
        expected, remedy = read_checkpoint(source.sources.checkpoint).sha256, "`dvc repro` makes it anew"
    remedy += ", and bank.allow_mixed=true takes any"
    found = check_producer(bank, expected, allow_mixed=source.allow_mixed, remedy=remedy)
    return {f"{bank.split}_bank_and_expected": both for both in found.values()}


def open_pair(source: RowSource) -> tuple[tuple[Bank, Bank], dict[str, list[str | None]]]:
    """Open the rows of train and val.

    Returns:
        Both banks, and the differences between them, for the record; empty if they were made alike.

    Raises:
        InputError: as `open_rows`, or they differ and `source.allow_mixed` is not set.
    """
    train, val = open_rows("train", source), open_rows("val", source)
    mixed = check_pair(train, val, allow_mixed=source.allow_mixed)
    return (train, val), mixed | foreign_producer(train, source) | foreign_producer(val, source)
