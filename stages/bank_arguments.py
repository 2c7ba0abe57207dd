"""From the typed parameters to the bank's arguments; not beside those of training, on whose code no bank depends."""

from pathlib import Path

from pipeline import params as parameters
from pipeline.checkpoint import BASELINE
from pipeline.inference.banks import BankSettings, Sources
from pipeline.inference.open_rows import RowSource


def bank_settings(bank: parameters.Bank) -> BankSettings:
    """What a bank's bytes depend on."""
    return BankSettings(
        box_threshold=bank.box_threshold,
        seconds=bank.seconds,
        dtype=bank.dtype,
        codec=bank.codec,
        compute_dtype=bank.compute_dtype,
        lower_threshold=bank.lower_threshold,
        full_frame_box=bank.full_frame_box,
    )


def row_source(params: parameters.Params, *, reads_bank: bool, workers: int, device: str, batch: int) -> RowSource:
    """Where the rows of a head come from."""
    data = Path("data", params.dataset.name)
    return RowSource(
        sources=Sources(Path(params.scope.frames), data / "annotations", Path(params.scope.boxes), BASELINE),
        settings=bank_settings(params.bank),
        reads_bank=reads_bank,
        producer=params.bank.producer,
        allow_mixed=params.bank.allow_mixed,
        workers=workers,
        device=device,
        batch=batch,
    )
