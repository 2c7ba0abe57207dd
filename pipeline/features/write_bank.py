"""Run a split through a detector and write its rows as a bank: the body of `infer_bank` and of `infer_memory`."""

from pathlib import Path

from pipeline.bank.pack import pack_parts
from pipeline.bank.settings import BankSettings
from pipeline.bank.writer import assemble_bank
from pipeline.base.hardware import Hardware
from pipeline.base.ranks import is_main
from pipeline.features.split_parts import Sources, split_parts


def write_bank(
    path: Path, split: str, sources: Sources, settings: BankSettings, *, pack: int | str, hardware: Hardware
) -> None:
    """Write the bank of a split, with the checkpoint of `sources` as its producer; print its films.

    Args:
        path: of the bank.
        split: train, val or test.
        sources: outs of the earlier stages, and the checkpoint.
        settings: see `BankSettings`.
        pack: the number of parts that share the films; `none`: a part for each.
        hardware: see `make_parts`.

    Raises:
        InputError: as `split_parts`.
    """
    parts, provenance = split_parts(split, sources, settings, hardware)
    if not is_main():
        return
    films = len(parts)
    if isinstance(pack, int):
        parts = pack_parts(parts, pack)
    assemble_bank(path, parts=parts, split=split, provenance=provenance)
    print(f"{path}: {films} films")
