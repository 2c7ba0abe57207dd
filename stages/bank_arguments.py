"""From the typed parameters to the bank's arguments; not beside those of training, on whose code no bank depends."""

from pathlib import Path
from typing import Any

import torch

from pipeline import params as parameters
from pipeline.bank.reader import open_bank
from pipeline.checkpoint.weights import BASELINE, read_sidecar
from pipeline.features.open_rows import RowSource
from pipeline.features.split_parts import BankSettings, Sources
from pipeline.models.build import build_backbone
from pipeline.models.roi import RoiSettings, roi_channels
from pipeline.tables.select_boxes import BoxRule


def bank_settings(bank: parameters.Bank) -> BankSettings:
    """What a bank's bytes depend on."""
    return BankSettings(
        rule=BoxRule(bank.box_threshold, bank.lower_threshold, bank.full_frame_box),
        seconds=bank.seconds,
        dtype=bank.dtype,
        codec=bank.codec,
        compute_dtype=bank.compute_dtype,
    )


def row_source(params: parameters.Params, *, reads_bank: bool, workers: int, device: str, batch: int) -> RowSource:
    """Where the rows of a head come from."""
    data = Path("data", params.dataset.name)
    return RowSource(
        sources=Sources(Path(params.scope.frames), data / "annotations", Path(params.scope.boxes), BASELINE),
        settings=bank_settings(params.bank),
        reads_bank=reads_bank or params.bank.name == "external",
        producer=params.bank.producer,
        allow_mixed=params.bank.allow_mixed,
        workers=workers,
        device=device,
        batch=batch,
    )


def feature_source(params: parameters.Params) -> dict[str, Any]:
    """What makes the features that a head works on, in the words of a baseline's sidecar.

    In scope head an external bank says it itself, None for what it does not say; in scope all the parameters do, where
    nothing of the baseline is read (`inputs.use` of conf/config.yaml).

    Raises:
        InputError: there is no sidecar, or no bank.
    """
    if params.scope.sidecar == str(BASELINE.with_suffix(".json")):
        return read_sidecar(BASELINE)
    if params.scope.name == "all":
        width, roi = params.backbone.width, params.roi.model_dump()
        with torch.device("meta"):
            maps = build_backbone(params.backbone.name, width=width).out_channels
        return {
            "backbone": params.backbone.name,
            "width": width,
            "input": params.backbone.input.model_dump(),
            "roi": roi,
            "sha256": None,
            "channels": roi_channels(maps, RoiSettings(**roi)),
        }
    bank = open_bank(Path(params.bank.train))
    names = {"backbone": "recipe", "width": "width", "input": "clip", "roi": "roi", "sha256": "checkpoint_sha256"}
    return {name: bank.provenance.get(key) for name, key in names.items()} | {"channels": bank.channels}
