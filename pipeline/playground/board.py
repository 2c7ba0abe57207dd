"""Record which figure is busy when: the board on which the events of a film are placed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.playground.actions import MOTION_ID


@dataclass(frozen=True, order=True)
class Event:
    """A motion of a figure over whole seconds, with the labels of its keyframes."""

    start: int
    seconds: int
    motion: str
    labels: tuple[int, ...]


class Board:
    """The seconds of each figure, and the events that fill them."""

    def __init__(self, figures: int, seconds: int) -> None:
        self.busy = np.zeros((figures, seconds), bool)
        self.events: list[list[Event]] = [[] for _ in range(figures)]

    @property
    def figures(self) -> int:
        """Return the number of figures."""
        return self.busy.shape[0]

    @property
    def seconds(self) -> int:
        """Return the length of the film in seconds."""
        return self.busy.shape[1]

    def free(self, figure: int, start: int, seconds: int) -> bool:
        """Return whether a figure is free in these seconds, all of them within the film."""
        inside = start >= 0 and start + seconds <= self.seconds
        return inside and not self.busy[figure, start : start + seconds].any()

    def place(self, figure: int, start: int, seconds: int, motion: str, *more_labels: int) -> None:
        """Let a figure do a motion; `more_labels` are action ids in addition to the motion's own."""
        self.busy[figure, start : start + seconds] = True
        self.events[figure].append(Event(start, seconds, motion, (MOTION_ID[motion], *more_labels)))

    def draw_slots(
        self,
        rng: np.random.Generator,
        *,
        groups: Sequence[tuple[int, ...]],
        seconds: int,
        count: int,
        taken: np.ndarray,
    ) -> list[tuple[int, tuple[int, ...]]]:
        """Draw up to `count` slots (start, group), no two at the same time; nothing is placed yet.

        Args:
            rng: the random generator.
            groups: groups of figures that must be free together; one group is drawn for each slot.
            seconds: length of a slot.
            count: number of slots; fewer are drawn if there is no room.
            taken: bool [film seconds]; seconds to leave out. The seconds of the drawn slots are set.
        """
        slots: list[tuple[int, tuple[int, ...]]] = []
        idle_at = [set(_idle_starts(each, seconds)) for each in self.busy]
        while len(slots) < count:
            free = [
                (start, group)
                for start in _idle_starts(taken, seconds)
                for group in groups
                if all(start in idle_at[figure] for figure in group)
            ]
            if not free:
                break
            start, group = free[int(rng.integers(len(free)))]
            taken[start : start + seconds] = True
            slots.append((start, group))
        return slots


def _idle_starts(busy: np.ndarray, length: int) -> list[int]:
    """Return the starts of all stretches of `length` seconds without a busy second; `busy` is bool [seconds]."""
    stretches = np.lib.stride_tricks.sliding_window_view(busy, length)
    return [int(start) for start in np.flatnonzero(stretches.sum(1) == 0)]
