"""The asynchronous memory: what a detector has computed lately of the films that it trains on (AlphAction's pool).

A step reads windows of rows that earlier steps have left, and leaves the pooled features of its own boxes. So a head
reads its window without a pass over the film, and its rows are as old as the last visit of their second. What they
count is `MemoryWeight`. docs/memory.md has the rules.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.bank.feature_rows import FloatArray, IntArray
from pipeline.bank.windows.seconds import SecondIndex, check_keyframes, video_key
from pipeline.bank.windows.slots import Windows, window_buffer
from pipeline.base.distributed import gather_all, gather_tensors
from pipeline.base.ranks import rank, world_size
from pipeline.training.settings import MemoryWeight


@dataclass(frozen=True)
class _Seen:
    """The rows of one part of a step."""

    part: int
    "Its number in the step, over all ranks."
    keyframes: list[int]
    counts: list[int]
    "Rows of each keyframe."


class Held(NamedTuple):
    """What the memory holds of a second."""

    start: int
    "The slot of its first row."
    rows: int
    tag: float
    "Loss of the step that wrote them."


class Memory(Windows):
    """The rows that training has computed of each second, in one tensor with room for all boxes; on the CPU.

    Every rank has an equal copy. Keyframes of one second share its place, and the last one visited holds it.
    """

    def __init__(
        self,
        video_ids: Sequence[str],
        timestamps: FloatArray | Sequence[float],
        boxes: IntArray,
        *,
        channels: int,
        weight: MemoryWeight,
        steps_per_pass: int = 1,
    ) -> None:
        """Make an empty memory.

        Args:
            video_ids: of the keyframes of the training, [n].
            timestamps: of these keyframes, [n].
            boxes: the most rows that each of them can leave, [n].
            channels: of a row.
            weight: how much a row counts.
            steps_per_pass: optimiser steps of a pass over the keyframes, for a weight by age.
        """
        self._videos = {video: number for number, video in enumerate(dict.fromkeys(video_ids))}
        seconds = np.floor(check_keyframes(video_ids, timestamps)).astype(np.int64)
        keys, self._place = np.unique(video_key(self._numbers(video_ids), seconds), return_inverse=True)
        self._room = np.zeros(len(keys), np.int64)
        np.maximum.at(self._room, self._place, boxes)
        starts = 1 + np.cumsum(self._room) - self._room  # row 0 is the empty slot's
        self.counts = np.zeros(len(keys), np.int64)
        self._index = SecondIndex(keys, starts, self.counts)
        # The pages of a row that was never written take no memory.
        self.rows = torch.zeros(1 + int(self._room.sum()), channels)
        self._second_of_row = torch.from_numpy(np.concatenate([[0], np.repeat(np.arange(len(keys)), self._room)]))
        self.tags = torch.zeros(len(keys), dtype=torch.float64)
        self.written = torch.zeros(len(keys), dtype=torch.int64)
        self.now, self.step = 0.0, 0
        self.weight, self._per_pass = weight, steps_per_pass
        self.min_score, self.like = 0.0, self.rows[:0]
        self._seen: list[tuple[_Seen, Tensor]] = []

    def _numbers(self, video_ids: Sequence[str]) -> IntArray:
        return np.array([self._videos.get(video, -1) for video in video_ids], np.int64)

    def held(self, video_id: str, second: int) -> Held | None:
        """Return what the memory holds of a second; None if no step has written it."""
        key = int(video_key(self._videos.get(video_id, -1), np.array(second)))
        at = int(np.searchsorted(self._index.keys, key))
        if at == len(self._index.keys) or self._index.keys[at] != key or not self.written[at]:
            return None
        return Held(int(self._index.starts[at]), int(self.counts[at]), float(self.tags[at]))

    def find(self, video_ids: Sequence[str], first: IntArray, seconds: int) -> tuple[IntArray, IntArray]:
        """See `Windows.find`."""
        return self._index.find(video_key(self._numbers(video_ids), first), seconds)

    def gather(self, slots: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See `Windows.gather`; each row is multiplied by its weight."""
        window = window_buffer(out, slots, self.like)
        torch.index_select(self.rows, 0, slots.view(-1), out=window.view(-1, self.rows.shape[1]))
        if self.weight.by != "none":
            window.mul_(self.factors(slots)[..., None])
        return window, slots != 0

    def factors(self, slots: Tensor) -> Tensor:
        """Return the weight of the row in each slot, float32 with the shape of `slots`; of empty slots any number."""
        second = self._second_of_row[slots]
        if self.weight.by == "age":
            passes = (self.step - self.written[second]).double() / self._per_pass
            return torch.pow(0.5, passes / self.weight.half_life).float()
        tags = self.tags[second]
        highest = tags.clamp(min=self.now)
        # Equal losses weigh 1, two that are 0 too.
        return torch.where(highest > 0, tags.clamp(max=self.now) / highest, 1.0).float()

    def keep(self, keyframes: Tensor, clip_index: Tensor, rows: Tensor) -> None:
        """Take the rows of one part of a step; `after_step` writes them.

        Args:
            keyframes: [B], their numbers among those of the training.
            clip_index: [R], ascending: the keyframe of each row.
            rows: [R, C], without gradient.
        """
        counts = torch.bincount(clip_index, minlength=len(keyframes)).tolist()
        part = rank() + len(self._seen) * world_size()
        self._seen.append((_Seen(part, keyframes.tolist(), counts), rows.float().cpu()))

    def after_step(self, loss: float) -> None:
        """Write the rows of the step, from all ranks, in place of what their seconds held; `loss` is their tag.

        A keyframe without a row leaves its second empty.

        Raises:
            ValueError: a keyframe has more rows than it has room for.
        """
        self.now, self.step = loss, self.step + 1
        nothing = self.like.new_empty(0, self.rows.shape[1])
        seen = gather_all([each for each, _ in self._seen])
        rows = gather_tensors(torch.cat([nothing, *(each for _, each in self._seen)]))
        self._seen.clear()
        parts = [
            (part, values)
            for mine, together in zip(seen, rows, strict=True)
            for part, values in zip(mine, torch.split(together, [sum(each.counts) for each in mine]), strict=True)
        ]
        for part, values in sorted(parts, key=lambda each: each[0].part):
            for keyframe, found in zip(part.keyframes, torch.split(values, part.counts), strict=True):
                self._write(int(self._place[keyframe]), found)

    def _write(self, second: int, found: Tensor) -> None:
        if len(found) > self._room[second]:
            raise ValueError(f"a keyframe has {len(found)} rows, and room for {self._room[second]}")
        start = int(self._index.starts[second])
        self.rows[start : start + len(found)] = found
        self.counts[second] = len(found)
        self.tags[second], self.written[second] = self.now, self.step

    def state_dict(self) -> dict[str, Tensor]:
        """See `ExtraState`."""
        return {
            "rows": self.rows,
            "counts": torch.from_numpy(self.counts),
            "tags": self.tags,
            "written": self.written,
            "now": torch.tensor([self.now], dtype=torch.float64),
            "step": torch.tensor([self.step]),
        }

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """See `ExtraState`."""
        now, step = tensors.pop("now"), tensors.pop("step")
        self.now, self.step = float(now), int(step)
        own = self.state_dict()
        for name, value in tensors.items():
            own[name].copy_(value)
