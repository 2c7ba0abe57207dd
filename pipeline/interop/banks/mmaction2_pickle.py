"""Read and write MMAction2's `lfb_<split>.pkl`: torch.save of `{video: {second: features}}`.

The features of a second are a list of tensors (C,) or one tensor (n, C).
"""

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
    """Read a bank in the form that MMAction2 writes (lists) or in the form that it keeps after loading (stacked).

    Raises:
        InputError: the file is absent, damaged, names an object that is not read, or holds something else.
    """
    return parse_keyed(path, load_torch(path), "MMAction2's LFB", _to_array)


def _to_array(value: Any) -> Array | None:
    if isinstance(value, Tensor):
        value = value.detach()
        array: Array = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
        return array
    return value if isinstance(value, np.ndarray) else None


def write_mmaction2(bank: Bank, path: Path, *, dtype: str, lists: bool) -> None:
    """Write the detections as MMAction2's `LFB` loads them; every video is written, even one without a second.

    All features are held in memory, as MMAction2 holds them after loading.

    Args:
        bank: the bank.
        path: the file; it is replaced as a whole.
        dtype: "fp16" or "fp32".
        lists: whether to write a list of vectors per second, as upstream does, instead of one tensor.

    Raises:
        InputError: a feature is too large for fp16.
    """
    value: dict[str, dict[int, Any]] = {}
    for video in progress(bank.videos, what="export", unit="video"):
        seconds = {at: torch.from_numpy(np.array(rows)) for at, rows in rows_by_second(bank, video, dtype)}
        value[video] = {at: list(rows) if lists else rows for at, rows in seconds.items()}
    # Pass an open file: torch.save would store a file's name as the archive's folder.
    with atomic_path(path) as partial, partial.open("wb") as file:
        torch.save(value, file)
