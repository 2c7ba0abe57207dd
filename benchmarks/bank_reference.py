"""Re-create how MMAction2 1.x reads the feature bank, for comparison.

Every process loads a whole file of {video: {second: list of features [C], half}} and then stacks the features. A window
is made anew for every RoI, second by second: K rows, drawn by a random permutation of all rows, are copied into zeros
of float32.

`their_lfb` runs MMAction2's own class instead, from its file alone, which is no part of this project:
`mmaction/models/roi_heads/shared_heads/lfb.py` of the package mmaction2.
"""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from pipeline.bank.reader import open_bank

Reference = dict[str, dict[int, Tensor]]


def write_reference(bank: Path, path: Path) -> None:
    """Write the detections of a bank in the reference's form."""
    opened = open_bank(bank)
    content: dict[str, dict[int, list[Tensor]]] = {}
    for video in opened.videos:
        rows = opened.rows(video, "detections")
        seconds = content.setdefault(video, {})
        for second, feature in zip(rows.timestamp.astype(int).tolist(), rows.features, strict=True):
            # A tensor of its own for every person: a view would be saved with the whole film behind it.
            seconds.setdefault(second, []).append(torch.from_numpy(feature.copy()))
    torch.save(content, path)


def load_reference(path: Path) -> Reference:
    """Load and stack."""
    content = torch.load(path, weights_only=False)
    return {
        video: {second: torch.stack(features) for second, features in seconds.items()}
        for video, seconds in content.items()
    }


def reference_window(
    bank: Reference, video: str, second: int, *, seconds: int, per_second: int, channels: int
) -> Tensor:
    """The window of one RoI: float32 [seconds * per_second, channels]."""
    window = torch.zeros(seconds * per_second, channels)
    film = bank[video]
    for place, each in enumerate(range(second - seconds // 2, second + (seconds + 1) // 2)):
        if each not in film:
            continue
        chosen = torch.randperm(len(film[each]))[:per_second]
        window[place * per_second : place * per_second + len(chosen)] = film[each][chosen]
    return window


def reference_batch(
    bank: Reference, keyframes: list[tuple[str, int]], *, seconds: int, per_second: int, channels: int
) -> Tensor:
    """The windows of a batch, one RoI each: float32 [B, seconds * per_second, channels]."""
    shape = {"seconds": seconds, "per_second": per_second, "channels": channels}
    return torch.stack([reference_window(bank, video, second, **shape) for video, second in keyframes])


def their_lfb(file: Path, bank: Reference, *, seconds: int, per_second: int, channels: int) -> Any:
    """MMAction2's `LFB` of a loaded bank, which `their_batch` asks; of its other packages it gets one function."""
    distributed = ModuleType("mmengine.dist")
    distributed.get_dist_info = lambda: (0, 1)  # type: ignore[attr-defined]
    code: dict[str, Any] = {"__name__": "lfb"}
    with patch.dict(sys.modules, {"mmengine": ModuleType("mmengine"), "mmengine.dist": distributed}):
        exec(compile(file.read_text(), str(file), "exec"), code)
    lfb = object.__new__(code["LFB"])  # its constructor would load the file once more
    given = {"window_size": seconds, "max_num_sampled_feat": per_second, "lfb_channels": channels}
    vars(lfb).update(lfb=bank, device="cpu", **given)
    return lfb


def their_batch(lfb: Any, keyframes: list[tuple[str, int]]) -> Tensor:
    """As `reference_batch`, by MMAction2's class and its head's stack."""
    return torch.stack([lfb[f"{video},{second:04d}"] for video, second in keyframes])
