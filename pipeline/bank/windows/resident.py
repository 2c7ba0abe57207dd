"""Windows from one tensor that holds all rows that windows may read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.bank.feature_rows import IntArray
from pipeline.bank.reader import Bank
from pipeline.bank.windows.seconds import SecondIndex, check_banks, features_of, index_rows, video_key
from pipeline.bank.windows.slots import Windows, window_buffer
from pipeline.base.errors import InputError
from pipeline.base.files import atomic_path, digest_value
from pipeline.base.work import make_item

STAGE = "windows"
FEATURES = "rows.features"
FILE_VERSION = 1  # format version of the file that `resident_file` writes


class ResidentWindows(Windows):
    """Windows from one tensor: a batch is one gather.

    Args:
        banks: all with the same channels and type; a video may be in two of them only if both hold the same rows.
        min_score: rows with a lower score are not read; at least the banks' `box_threshold`.
        device: device that holds the tensor.
        file: the result of `resident_file` for the same banks and threshold. It is mapped, so that all processes
            of a machine share one copy. Without it the rows are read into memory.

    Raises:
        InputError: the banks do not fit each other, the threshold or the file.
    """

    def __init__(
        self,
        banks: Sequence[Bank],
        *,
        min_score: float,
        device: str | torch.device = "cpu",
        file: Path | None = None,
    ) -> None:
        sources = check_banks(banks, min_score)
        self.min_score = min_score
        self._videos: dict[str, int] = {}
        stretches: list[tuple[Bank, str, IntArray]] = []
        indices: list[SecondIndex] = []
        total = 1
        for bank, video in sources:
            rows, index = index_rows(bank, video, min_score)
            key = video_key(len(self._videos), index.keys)
            indices.append(SecondIndex(key, index.starts + total, index.counts))
            stretches.append((bank, video, rows))
            self._videos[video] = len(self._videos)
            total += len(rows)
        joined = zip(*((each.keys, each.starts, each.counts) for each in indices), strict=True)
        self._index = SecondIndex(*(np.concatenate(arrays) for arrays in joined))
        shape = (total, banks[0].channels)
        if file is None:
            dtype = torch.from_numpy(np.empty(0, banks[0].dtype)).dtype
            self.features = torch.empty(shape, dtype=dtype, device=device)
            self.features[0] = 0
            at = 1
            for bank, video, rows in stretches:
                self.features[at : at + len(rows)] = torch.from_numpy(features_of(bank, video, rows))
                at += len(rows)
        else:
            expected = total * shape[1] * banks[0].dtype.itemsize
            if file.stat().st_size != expected:
                raise InputError(f"{file}: has {file.stat().st_size} bytes, these banks need {expected}")
            mapped = np.memmap(file, banks[0].dtype, mode="c", shape=shape)
            self.features = torch.from_numpy(np.asarray(mapped)).to(device)
        self.like, self.table = self.features[:0], self.features

    def find(self, video_ids: Sequence[str], first: IntArray, seconds: int) -> tuple[IntArray, IntArray]:
        """See `Windows.find`."""
        videos = np.array([self._videos.get(video, -1) for video in video_ids], np.int64)
        return self._index.find(video_key(videos, first), seconds)

    def gather(self, slots: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See `Windows.gather`."""
        window = window_buffer(out, slots, self.like)
        index = slots.to(self.features.device)
        torch.index_select(self.features, 0, index.view(-1), out=window.view(-1, self.features.shape[1]))
        return window, index != 0


def resident_key(banks: Sequence[Bank], *, min_score: float) -> str:
    """Compute a digest of the banks and the threshold, so that a changed bank gets another file."""
    return digest_value([FILE_VERSION, [bank.digest for bank in banks], float(min_score)])[:40]


def resident_file(banks: Sequence[Bank], *, min_score: float) -> Path:
    """Write all rows that windows read into one flat file, after a row of zeros; the file is an item of `.work`.

    Raises:
        InputError: as `ResidentWindows`.
    """
    sources = check_banks(banks, min_score)

    def make(folder: Path) -> None:
        with atomic_path(folder / FEATURES) as partial, partial.open("wb") as file:
            file.write(bytes(banks[0].channels * banks[0].dtype.itemsize))
            for bank, video in sources:
                file.write(features_of(bank, video, index_rows(bank, video, min_score)[0]).data)

    return make_item(STAGE, resident_key(banks, min_score=min_score), make) / FEATURES
