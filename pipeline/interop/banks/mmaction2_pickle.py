"""MMAction2's `lfb_<split>.pkl`: torch.save of `{video: {second: [tensor (C,), ...] or tensor (n, C)}}`."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.bank.reader import Bank
from pipeline.base.files import atomic_path
from pipeline.base.progress import progress
from pipeline.interop.banks.foreign import ForeignBank
from pipeline.interop.banks.keyed import Array, parse_keyed, rows_by_second
from pipeline.interop.torch_files import load_torch


def read_mmaction2(path: Path) -> ForeignBank:
    """Read a bank in the form that MMAction2 writes (lists) or that it makes of it when it loads it (stacked).

    Raises:
        InputError: the file is absent, damaged, names anything that is not read, or holds something else.
    """
    return parse_keyed(path, load_torch(path), "MMAction2's LFB", _to_array)


def _to_array(value: Any) -> Array | None:
    if isinstance(value, Tensor):
        value = value.detach()
        array: Array = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
        return array
    return value if isinstance(value, np.ndarray) else None


def write_mmaction2(bank: Bank, path: Path, *, dtype: str, lists: bool) -> None:
    """Write the detections as MMAction2's `LFB` loads them; every video is in it, be it without a second.

    The features are held in memory whole, as they are where MMAction2 loads them.

    Args:
        bank: the bank.
        path: the file, replaced whole.
        dtype: "fp16" or "fp32".
        lists: a list of vectors for each second, as upstream writes them, in place of one tensor.

    Raises:
        InputError: a feature is too large for fp16.
    """
    value: dict[str, dict[int, Any]] = {}
    for video in progress(bank.videos, what="export", unit="video"):
        seconds = {at: torch.from_numpy(np.array(rows)) for at, rows in rows_by_second(bank, video, dtype)}
        value[video] = {at: list(rows) if lists else rows for at, rows in seconds.items()}
    # Into an open file: a name would become that of the archive's folder.
    with atomic_path(path) as partial, partial.open("wb") as file:
        torch.save(value, file)
