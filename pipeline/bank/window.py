"""Windows: the stretch of a bank around a keyframe, a whole batch of them at a time.

A window is `[L, C]` with `L = seconds * per_second`. Its seconds run from `floor(timestamp) - seconds // 2`
on, the keyframe's own included; slot `second * per_second + k` holds the k-th row of that second by score.
That is the layout of Wu et al. 2019 (section 3.2) and of MMAction2's `LFB`, with zeros where there are fewer
rows, and a mask that says where. A row belongs to the second `floor(timestamp)`. Slot number 0 is the row of
zeros.

`ResidentWindows` holds all rows in one tensor, `StreamedWindows` a bounded number of parts. Both give the
same bytes; a slot number means something only to the object that made it.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.bank.draws import cell_hashes, drawn_slots, first_slots
from pipeline.bank.reader import Bank
from pipeline.bank.rows import FloatArray, IntArray
from pipeline.bank.seconds import (
    SecondIndex,
    check_banks,
    check_keyframes,
    features_of,
    index_rows,
    video_key,
    window_seconds,
)
from pipeline.errors import InputError
from pipeline.files import atomic_path, digest_value

FILE_VERSION = 1  # of what `resident_file` writes


def choose_slots(
    starts: IntArray,
    counts: IntArray,
    per_second: int,
    *,
    draw: tuple[int, int] | None,
    keyframes: tuple[Sequence[str], npt.NDArray[np.float64], IntArray],
) -> Tensor:
    """Slots of a batch from the rows of each second: int64 [B, S * per_second].

    Args:
        starts: [B, S], slot of each second's first row.
        counts: [B, S], its rows.
        per_second: K.
        draw: (seed, epoch) draws where a second has more than K rows; None takes the first K.
        keyframes: ids [B], timestamps [B] and seconds [B, S].
    """
    if draw is None:
        slots = first_slots(starts, counts, per_second)
    else:
        ids, times, seconds = keyframes
        slots = drawn_slots(starts, counts, per_second, cell_hashes(draw, list(ids), times, seconds))
    return torch.from_numpy(slots.reshape(len(starts), -1))


def window_buffer(out: Tensor | None, slots: Tensor, like: Tensor, channels: int) -> Tensor:
    """The first B windows of `out`, or a new tensor, of the type and on the device of `like`.

    Raises:
        ValueError: `out` does not fit.
    """
    batch, length = slots.shape
    if out is None:
        return torch.empty((batch, length, channels), dtype=like.dtype, device=like.device)
    fits = out.shape[1:] == (length, channels) and len(out) >= batch and out.is_contiguous()
    if not fits or out.dtype != like.dtype or out.device != like.device:
        raise ValueError(
            f"out is {out.dtype} {tuple(out.shape)} on {out.device}, expected contiguous {like.dtype} "
            f"({batch} or more, {length}, {channels}) on {like.device}"
        )
    return out[:batch]


class ResidentWindows:
    """Windows from one tensor that holds every row a window may read.

    Args:
        banks: all of one width and type, no video in two of them.
        min_score: rows below are not read; at least the banks' `box_threshold`.
        device: where the tensor lies.
        file: what `resident_file` made of the same banks and threshold; it is mapped, so that all processes
            of a machine share one copy. Without it the rows are read into memory.

    Raises:
        InputError: the banks do not fit each other, the threshold or the file.
    """

    def __init__(
        self, banks: Sequence[Bank], *, min_score: float, device: str = "cpu", file: Path | None = None
    ) -> None:
        check_banks(banks, min_score)
        self.min_score = min_score
        self._videos: dict[str, int] = {}
        stretches: list[tuple[Bank, str, IntArray]] = []
        indices: list[SecondIndex] = []
        total = 1
        for bank in banks:
            for part in bank.videos:
                rows, index = index_rows(bank, part, min_score)
                key = video_key(len(self._videos), index.keys)
                indices.append(SecondIndex(key, index.starts + total, index.counts))
                stretches.append((bank, part, rows))
                self._videos[part] = len(self._videos)
                total += len(rows)
        joined = zip(*((each.keys, each.starts, each.counts) for each in indices), strict=True)
        self._index = SecondIndex(*(np.concatenate(arrays) for arrays in joined))
        shape = (total, banks[0].channels)
        if file is None:
            dtype = torch.from_numpy(np.empty(0, banks[0].dtype)).dtype
            self.features = torch.empty(shape, dtype=dtype, device=device)
            self.features[0] = 0
            at = 1
            for bank, part, rows in stretches:
                self.features[at : at + len(rows)] = torch.from_numpy(features_of(bank, part, rows))
                at += len(rows)
        else:
            expected = total * shape[1] * banks[0].dtype.itemsize
            if file.stat().st_size != expected:
                raise InputError(f"{file}: has {file.stat().st_size} bytes, these banks need {expected}")
            mapped = np.memmap(file, banks[0].dtype, mode="c", shape=shape)
            self.features = torch.from_numpy(np.asarray(mapped)).to(device)

    def slots(
        self,
        video_ids: Sequence[str],
        timestamps: FloatArray | Sequence[float],
        *,
        seconds: int,
        per_second: int,
        draw: tuple[int, int] | None = None,
    ) -> Tensor:
        """Which rows fill the windows of a batch of keyframes.

        Args:
            video_ids: [B]; a video that is in no bank has an empty window.
            timestamps: [B].
            seconds: length of the window.
            per_second: slots of each second (K).
            draw: None takes the first K rows of a second by score. (seed, epoch) draws K without replacement
                where there are more, as a function of (seed, epoch, video, timestamp, second) alone.

        Returns:
            int64 [B, seconds * per_second] on the CPU; 0 where a slot is empty.
        """
        times = check_keyframes(video_ids, timestamps)
        wanted = window_seconds(times, seconds)
        videos = np.array([self._videos.get(video, -1) for video in video_ids], np.int64)
        starts, counts = self._index.find(video_key(videos[:, None], wanted))
        return choose_slots(starts, counts, per_second, draw=draw, keyframes=(video_ids, times, wanted))

    def gather(self, slots: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The windows that `slots` describe.

        Args:
            slots: int64 [B, L], from `slots` of this object.
            out: a buffer [at least B, L, C] to reuse; filling a fresh one costs far more.

        Returns:
            (window [B, L, C] in the banks' type, mask bool [B, L], true where a slot holds a row).
        """
        window = window_buffer(out, slots, self.features, self.features.shape[1])
        index = slots.to(self.features.device)
        torch.index_select(self.features, 0, index.view(-1), out=window.view(-1, self.features.shape[1]))
        return window, index != 0


def resident_file(banks: Sequence[Bank], folder: Path, *, min_score: float) -> Path:
    """One flat file of every row that windows read, after a row of zeros, made where it is not there yet.

    Its name is a digest of the banks and the threshold, so that a changed bank has another file.

    Raises:
        InputError: as `ResidentWindows`.
    """
    check_banks(banks, min_score)
    key = digest_value([FILE_VERSION, [bank.digest for bank in banks], float(min_score)])
    path = folder / f"{key[:40]}.features"
    if path.is_file():
        return path
    with atomic_path(path) as partial, partial.open("wb") as file:
        file.write(bytes(banks[0].channels * banks[0].dtype.itemsize))
        for bank in banks:
            for part in bank.videos:
                file.write(features_of(bank, part, index_rows(bank, part, min_score)[0]).data)
    return path


@dataclass(frozen=True)
class _LoadedPart:
    features: npt.NDArray[Any]  # all rows as stored
    rows: IntArray  # positions of the rows that windows read, in the order of the index
    index: SecondIndex


class StreamedWindows:
    """Windows from a bounded number of parts, read when they are needed; for banks larger than memory.

    Args:
        banks: all of one width and type, no video in two of them.
        min_score: rows below are not read; at least the banks' `box_threshold`.
        cache_bytes: features kept, the most recently used parts first; at least one part is kept.

    Raises:
        InputError: the banks do not fit each other or the threshold.
    """

    def __init__(self, banks: Sequence[Bank], *, min_score: float, cache_bytes: int = 1 << 30) -> None:
        check_banks(banks, min_score)
        self.min_score = min_score
        self.cache_bytes = cache_bytes
        self._parts = [(bank, part) for bank in banks for part in bank.videos]
        self._videos = {part: number for number, (_, part) in enumerate(self._parts)}
        rows = [bank.count("detections", part) for bank, part in self._parts]
        self._offsets = 1 + np.cumsum([0, *rows])  # slot of each part's first row
        self._empty = torch.from_numpy(np.empty((0, banks[0].channels), banks[0].dtype))
        self._loaded: OrderedDict[int, _LoadedPart] = OrderedDict()

    def slots(
        self,
        video_ids: Sequence[str],
        timestamps: FloatArray | Sequence[float],
        *,
        seconds: int,
        per_second: int,
        draw: tuple[int, int] | None = None,
    ) -> Tensor:
        """As `ResidentWindows.slots`."""
        times = check_keyframes(video_ids, timestamps)
        wanted = window_seconds(times, seconds)
        videos = np.array([self._videos.get(video, -1) for video in video_ids], np.int64)
        starts, counts = np.zeros_like(wanted), np.zeros_like(wanted)
        for number in np.unique(videos[videos >= 0]):
            here = videos == number
            found, counts[here] = self._load(int(number)).index.find(wanted[here])
            starts[here] = found + self._offsets[number]
        return choose_slots(starts, counts, per_second, draw=draw, keyframes=(video_ids, times, wanted))

    def gather(self, slots: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `ResidentWindows.gather`, on the CPU."""
        channels = self._empty.shape[1]
        window = window_buffer(out, slots, self._empty, channels)
        flat = slots.numpy().reshape(-1)
        target = window.view(-1, channels).numpy()
        target[flat == 0] = 0
        owner = np.where(flat == 0, -1, np.searchsorted(self._offsets, flat, side="right") - 1)
        for number in np.unique(owner[owner >= 0]):
            here = np.flatnonzero(owner == number)
            part = self._load(int(number))
            target[here] = part.features[part.rows[flat[here] - self._offsets[number]]]
        return window, slots != 0

    def _load(self, number: int) -> _LoadedPart:
        if number not in self._loaded:
            bank, part = self._parts[number]
            features = bank.column(part, "detections", "features")
            assert features is not None  # every bank has it
            self._loaded[number] = _LoadedPart(features, *index_rows(bank, part, self.min_score))
            while len(self._loaded) > 1 and self._held_bytes() > self.cache_bytes:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(number)
        return self._loaded[number]

    def _held_bytes(self) -> int:
        return sum(part.features.nbytes for part in self._loaded.values())
