"""Show a training while it runs: a bar on a terminal, or else a line per epoch; and points in a log.

Only rank 0 shows anything, and none of it enters an out.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.base.progress import duration_text, whole_bar
from pipeline.base.ranks import is_main
from pipeline.training.history import OF_EPOCH, Metrics
from pipeline.training.logs import Log, LogSettings, open_log

if TYPE_CHECKING:
    from tqdm import tqdm


class Watch:
    """Shows one training; see `watch_training`."""

    def __init__(
        self, what: str, extent: tuple[int, int], history: Sequence[Metrics], log: Log | None, headline: str = "map"
    ) -> None:
        self.what, self._log, self._headline = what, log, headline
        self._epochs, self.steps_per_epoch = extent
        self._first = self._epoch = len(history)
        self._scores = [row[headline] for row in history if row.get(headline) is not None]
        self._started = self._epoch_started = time.monotonic()
        self._loss, self._steps = 0.0, 0
        self.bar: tqdm[Any] | None = None

    def step(self, number: int, loss: float, rate: float) -> None:
        """Show and log an optimiser step that is done (`number` counts within the epoch, from 0)."""
        self._loss, self._steps = self._loss + loss, self._steps + 1
        if self._log is not None:
            done = self._epoch * self.steps_per_epoch + number + 1
            self._log.add({"train/loss": loss, "train/lr": rate}, done)
        if self.bar is not None:
            self.bar.set_description_str(self.place(), refresh=False)
            shown = [f"loss {self._loss / self._steps:.4f}", f"lr {rate:.3g}"]
            shown += [f"{self._headline} {self._scores[-1]:.3f}"] if self._scores else []
            self.bar.set_postfix_str(", ".join(shown), refresh=False)
            self.bar.update(self._epoch * self.steps_per_epoch + number + 1 - self.bar.n)

    def validating(self) -> None:
        """Show that the model is being validated."""
        if self.bar is not None:
            self.bar.set_postfix_str("validation")

    def end_epoch(self, row: Metrics) -> None:
        """Show and log an epoch that is done, with its validation if it has one."""
        self._epoch += 1
        now = time.monotonic()
        if self._log is not None:
            scores = {f"val/{name}": value for name, value in row.items() if name not in OF_EPOCH}
            self._log.add({"epoch": row["epoch"], **scores}, self._epoch * self.steps_per_epoch)
            self._log.flush()
        if row.get(self._headline) is not None:
            self._scores.append(row[self._headline])
        if self.bar is None and is_main():
            left = (self._epochs - self._epoch) * (now - self._started) / (self._epoch - self._first)
            print(self._line(row, now - self._epoch_started, left), file=sys.stderr, flush=True)
        self._loss, self._steps, self._epoch_started = 0.0, 0, now

    def place(self) -> str:
        """Return the training's name and its current epoch."""
        return f"{self.what} epoch {min(self._epoch + 1, self._epochs)}/{self._epochs}"

    def _line(self, row: Metrics, seconds: float, left: float) -> str:
        parts = [f"{self.what}: epoch {row['epoch']}/{self._epochs}", f"loss {row['loss']:.4f}", f"lr {row['lr']:.3g}"]
        if self._headline in row:
            score = row[self._headline]
            parts.append(f"{self._headline} none" if score is None else f"{self._headline} {score:.4f}")
        parts.append(duration_text(seconds))
        parts += [f"{duration_text(left)} left"] if self._epoch < self._epochs else []
        return ", ".join(parts)


@contextmanager
def watch_training(
    what: str,
    extent: tuple[int, int],
    *,
    history: Sequence[Metrics],
    log: LogSettings | None,
    headline: str = "map",
) -> Iterator[Watch]:
    """Show a training while the context is open.

    Args:
        what: its name.
        extent: (epochs of the whole training, optimiser steps per epoch).
        history: a row for each epoch that earlier runs have done.
        log: where to log it, besides what is printed.
        headline: the number of a validation that is shown.

    Raises:
        InputError: the log cannot be written.
    """
    epochs, steps_per_epoch = extent
    done = len(history) * steps_per_epoch
    opened = open_log(log, done) if log is not None and log.kind != "none" and is_main() else None
    watch = Watch(what, extent, history, opened, headline)
    failed = True
    try:
        with whole_bar(watch.place(), total=epochs * steps_per_epoch, done=done) as watch.bar:
            yield watch
        failed = False
    finally:
        if opened is not None:
            opened.close(failed=failed)
