"""Windows: the stretch of a bank around a keyframe, a whole batch of them at a time.

A window is `[L, C]` with `L = seconds * per_second`. Its seconds lie around the keyframe's own (`centred`), or end
(`past`) or begin (`future`) with it; slot `second * per_second + k` holds the k-th row of that second by score.
Centred is the layout of Wu et al. 2019 (section 3.2) and of MMAction2's `LFB`. Where there are fewer rows there
are zeros, and a mask says where. A row belongs to the second `floor(timestamp)`. Slot number 0 is the row of
zeros.

`ResidentWindows` holds all rows in one tensor, `StreamedWindows` those of a bounded number of videos. Both give
the same bytes; a slot number means something only to the object that made it.
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
    """What both kinds of windows share: how rows are chosen.

    Attributes:
        min_score: rows below are not read.
        like: [0, C], in the type of the rows and on the device of the windows.
    """

    min_score: float
    like: Tensor

    @abstractmethod
    def find(self, video_ids: Sequence[str], first: IntArray, seconds: int) -> tuple[IntArray, IntArray]:
        """Where the rows of each second are.

        Args:
            video_ids: [B]; a video that is in no bank has no rows.
            first: [B], the first second of each window.
            seconds: S, length of the windows.

        Returns:
            (slot of each second's first row, its rows), [B, S] each.
        """

    def has_rows(self, video_ids: Sequence[str], first: IntArray, seconds: int) -> npt.NDArray[np.bool_]:
        """Whether each second has a row [B, S]; arguments as of `find`."""
        return self.find(video_ids, first, seconds)[1] > 0

    @abstractmethod
    def gather(self, slots: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The windows that `slots` describe.

        Args:
            slots: int64 [B, L], from `slots` of this object.
            out: a buffer [at least B, L, C] to reuse; filling a fresh one costs twice as much.

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
        """Which rows fill the windows of a batch of keyframes.

        Args:
            video_ids: [B]; a video that is in no bank has an empty window.
            timestamps: [B].
            seconds: length of the window (S).
            per_second: slots of each second (K).
            span: see `own_second`.
            exclude_keyframe: leave the slots of the keyframe's own second empty.
            draw: None takes the first K rows of a second by score. (seed, epoch) draws K without replacement
                where there are more, as a function of (seed, epoch, video, timestamp, second) alone.
            persons: [B], a window for each of so many persons of a keyframe, the number of the person among them
                being part of the draw; None makes one for all.

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
    """The first B windows of `out`, or new ones, [B, L, C], of the type and on the device of `like` [0, C].

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
