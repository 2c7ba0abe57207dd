"""Windows: the rows of a bank in the seconds around a keyframe, computed for a whole batch of keyframes at once.

A window is `[L, C]` with `L = seconds * per_second`. Its seconds lie around the keyframe's own second (`centred`), or
end (`past`) or begin (`future`) with it. Slot `second * per_second + k` holds the k-th row of that second by score.
Centred is the layout of Wu et al. 2019 (section 3.2) and of MMAction2's `LFB`. Slots without a row hold zeros, and a
mask marks them. A row belongs to the second `floor(timestamp)`. A slot number is the position of a row among all rows
that windows read; number 0 is a row of zeros.

`ResidentWindows` holds all rows in one tensor, `StreamedWindows` those of a bounded number of videos. Both give
the same bytes. A slot number is valid only for the object that returned it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.bank.feature_rows import FloatArray, IntArray
from pipeline.bank.windows.draws import cell_hashes, drawn_slots, first_slots, person_hashes
from pipeline.bank.windows.seconds import check_keyframes
from pipeline.tables.window_span import USUAL_SPAN, Span, own_second


class Windows(ABC):
    """Base class of both kinds of windows: it chooses the rows.

    Attributes:
        min_score: rows with a lower score are not read.
        like: [0, C], an empty tensor of the rows' type on the windows' device.
        table: [N, C], all rows by the numbers that `slots` gives, for who reads windows without a copy; None where
            there is no such tensor.
    """

    min_score: float
    like: Tensor
    table: Tensor | None = None

    @abstractmethod
    def find(self, video_ids: Sequence[str], first: IntArray, seconds: int) -> tuple[IntArray, IntArray]:
        """Find the rows of each second.

        Args:
            video_ids: [B]; a video that is in no bank has no rows.
            first: [B], the first second of each window.
            seconds: S, length of the windows.

        Returns:
            (slot of each second's first row, number of its rows), [B, S] each.
        """

    def has_rows(self, video_ids: Sequence[str], first: IntArray, seconds: int) -> npt.NDArray[np.bool_]:
        """Return whether each second has a row, bool [B, S]; the arguments are those of `find`."""
        return self.find(video_ids, first, seconds)[1] > 0

    @abstractmethod
    def gather(self, slots: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read the windows that `slots` describe.

        Args:
            slots: int64 [B, L], from `slots` of this object.
            out: a buffer [at least B, L, C] to reuse; a fresh one takes twice as long to fill.

        Returns:
            (window [B, L, C] in the banks' type, mask bool [B, L], true where a slot holds a row).

        Raises:
            ValueError: `out` does not fit.
        """

    def slots(
        self,
        video_ids: Sequence[str],
        timestamps: FloatArray | Sequence[float],
        *,
        seconds: int,
        per_second: int,
        span: Span = USUAL_SPAN,
        exclude_keyframe: bool = False,
        draw: tuple[int, int] | None = None,
        persons: IntArray | None = None,
    ) -> Tensor:
        """Choose the rows that fill the windows of a batch of keyframes.

        Args:
            video_ids: [B]; a video that is in no bank has an empty window.
            timestamps: [B].
            seconds: length of the window (S).
            per_second: slots of each second (K).
            span: see `own_second`.
            exclude_keyframe: leave the slots of the keyframe's own second empty.
            draw: None takes the first K rows of a second by score. (seed, epoch) draws K rows without replacement
                from seconds with more than K; the draw depends on (seed, epoch, video, timestamp, second) alone.
            persons: [B], number of persons of each keyframe: each person gets a window, whose draw also depends
                on the person's number within the keyframe. None makes one window per keyframe.

        Returns:
            int64 [B, S * K] on the CPU, 0 where a slot is empty; with `persons` [sum of persons, S * K], in the
            order of the keyframes.
        """
        times = check_keyframes(video_ids, timestamps)
        own = own_second(seconds, span)
        first = np.floor(times).astype(np.int64) - own
        starts, counts = self.find(video_ids, first, seconds)
        if exclude_keyframe:
            counts[:, own] = 0
        hashes = None
        if draw is not None:
            hashes = cell_hashes(draw, list(video_ids), times, first[:, None] + np.arange(seconds))
        if persons is not None:
            starts, counts = np.repeat(starts, persons, axis=0), np.repeat(counts, persons, axis=0)
            hashes = None if hashes is None else person_hashes(hashes, persons)
        if hashes is None:
            slots = first_slots(starts, counts, per_second)
        else:
            slots = drawn_slots(starts, counts, per_second, hashes)
        return torch.from_numpy(slots.reshape(len(starts), seconds * per_second))


def window_buffer(out: Tensor | None, slots: Tensor, like: Tensor) -> Tensor:
    """Return the first B windows of `out`, or a new buffer: [B, L, C], with type and device of `like` [0, C].

    Raises:
        ValueError: `out` does not fit.
    """
    batch, length = slots.shape
    channels = like.shape[1]
    if out is None:
        return torch.empty((batch, length, channels), dtype=like.dtype, device=like.device)
    fits = out.shape[1:] == (length, channels) and len(out) >= batch and out.is_contiguous()
    if not fits or out.dtype != like.dtype or out.device != like.device:
        raise ValueError(
            f"out is {out.dtype} {tuple(out.shape)} on {out.device}, expected contiguous {like.dtype} "
            f"({batch} or more, {length}, {channels}) on {like.device}"
        )
    return out[:batch]
