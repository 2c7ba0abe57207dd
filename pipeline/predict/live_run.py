"""Predict a camera while it runs: one thread takes frames, this one scores the times that are due."""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TextIO

import numpy as np

from pipeline.base.errors import counted
from pipeline.predict.camera import Camera, CameraLost, Taken
from pipeline.predict.latest_queue import LatestQueue
from pipeline.predict.recent_frames import Due, FrameTap
from pipeline.predict.typed_results import Second
from pipeline.video.store import Row

WAITING = 2
"Times that wait while another is scored; older ones are dropped."
REPORT_SECONDS = 10.0
LATEST = 600
"Latencies of which the median is printed."
POLL_SECONDS = 0.2
GOODBYE_SECONDS = 2.0
"How long a thread that reads a stopped camera may take to end."


class Scorer(Protocol):
    """What turns a time into scores."""

    def step(self, due: Due) -> Second | None:
        """Score a time; None for one that only fills windows."""


@dataclass
class LiveCounts:
    """What a live prediction has done so far."""

    name: str
    handled: int = 0
    "Times that were scored, or filled windows."
    scored: int = 0
    dropped: int = 0
    "Times of either kind that came while others waited."
    worst_seconds: float = 0.0
    "The longest latency: from a frame's arrival to its line."
    outcome: str = ""
    "`ended`, `stopped`, or why the source was lost."
    lost: CameraLost | None = None
    latest: deque[float] = field(default_factory=lambda: deque(maxlen=LATEST))

    def add(self, latency_seconds: float) -> None:
        """Count a time that was scored."""
        self.scored += 1
        self.latest.append(latency_seconds)
        self.worst_seconds = max(self.worst_seconds, latency_seconds)

    def text(self) -> str:
        """Return the counts as one line."""
        total = self.handled + self.dropped
        share = self.dropped / total if total else 0.0
        latency = f"{np.median(self.latest):.2f} s ({self.worst_seconds:.2f} s at most)" if self.latest else "none"
        return f"{self.name}: {counted(total, 'time')} due, {self.dropped} dropped ({share:.1%}), latency {latency}"


def run_live(
    camera: Camera,
    tap: FrameTap,
    scorer: Scorer,
    *,
    sinks: Sequence[Callable[[Second], None]],
    on_frame: Callable[[Row], None] = lambda _: None,
    waiting: int = WAITING,
    report: TextIO | None = None,
) -> LiveCounts:
    """Score a camera until it ends or vanishes, or a KeyboardInterrupt comes; memory does not grow.

    Args:
        camera: it is closed at the end.
        tap: finds the times that are due.
        scorer: called in this thread.
        sinks: get every scored time.
        on_frame: gets every stored frame, in the thread that reads the camera.
        waiting: times that wait while another is scored; if there are more, the oldest ones are dropped.
        report: where counts are printed every REPORT_SECONDS and at the end; None takes standard error.

    Returns:
        The counts; `outcome` says how it ended.
    """
    report = report or sys.stderr
    counts = LiveCounts(camera.name)
    queue: LatestQueue[Due] = LatestQueue(waiting)
    stop = threading.Event()
    reader = threading.Thread(target=_read, args=(camera, tap, queue, on_frame, stop), daemon=True)
    reader.start()
    try:
        _score(queue, scorer, sinks, counts, report)
        counts.outcome = "ended"
    except CameraLost as error:
        counts.outcome, counts.lost = str(error), error
    except KeyboardInterrupt:
        counts.outcome = "stopped"
    finally:
        stop.set()
        reader.join(GOODBYE_SECONDS)
        if not reader.is_alive():
            camera.close()  # else it is being read; it goes with the process
    counts.dropped = queue.dropped
    print(f"{counts.text()}; {_ending(counts.outcome)}", file=report, flush=True)
    return counts


def _read(
    camera: Camera,
    tap: FrameTap,
    queue: LatestQueue[Due],
    on_frame: Callable[[Row], None],
    stop: threading.Event,
) -> None:
    """Take frames until the camera ends or `stop` is set; the thread's body."""

    def arriving() -> Iterator[tuple[float, Taken]]:
        for frame in camera.frames():
            if stop.is_set():
                return
            yield time.monotonic(), frame

    try:
        for row, due in tap.due(arriving()):
            if row is not None:
                on_frame(row)
            for each in due:
                queue.put(each)
        queue.end()
    except BaseException as error:  # it must reach the other thread, whatever it is
        queue.end(error)


def _score(
    queue: LatestQueue[Due],
    scorer: Scorer,
    sinks: Sequence[Callable[[Second], None]],
    counts: LiveCounts,
    report: TextIO,
) -> None:
    told = time.monotonic()
    while True:
        try:
            due = queue.get(POLL_SECONDS)
        except EOFError:
            return
        if due is not None:
            second = scorer.step(due)
            counts.handled += 1
            if second is not None:
                for sink in sinks:
                    sink(second)
                counts.add(time.monotonic() - due.arrived)
        if time.monotonic() - told >= REPORT_SECONDS:
            told = time.monotonic()
            counts.dropped = queue.dropped
            print(counts.text(), file=report, flush=True)


def _ending(outcome: str) -> str:
    return {"ended": "the source ended", "stopped": "stopped"}.get(outcome, "the source was lost")
