"""Derive the source of a head's rows, in training and in evaluation, from the typed parameters."""

from pathlib import Path

from pipeline.base.hardware import Hardware
from pipeline.checkpoint.weights import BASELINE
from pipeline.features.open_rows import RowSource
from pipeline.features.split_parts import Sources
from pipeline.params import Params


def row_source(params: Params, hardware: Hardware) -> RowSource:
    """Return the source of a head's rows."""
    data = Path("data", params.dataset.name)
    return RowSource(
        sources=Sources(Path(params.scope.frames), data / "annotations", Path(params.scope.boxes), BASELINE),
        settings=params.bank,
        banks={"train": params.bank.train, "val": params.bank.val},
        reads_bank=params.bank.name == "external",
        producer=params.bank.producer,
        allow_mixed=params.bank.allow_mixed,
        hardware=hardware,
    )
