import io
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from pipeline.predict.camera import Taken
from pipeline.predict.live_run import LiveCounts, run_live
from pipeline.predict.recent_frames import Due, FrameTap, live_times
from pipeline.predict.typed_results import Second
from pipeline.video.clip_input import ClipInput
from pipeline.video.extract import FrameSettings
from pipeline.video.store import Row
from tests.predict.streams import FakeCamera, picture_of

PICTURE = picture_of(np.zeros((32, 48, 3), np.uint8))
CLIP = ClipInput(frames=4, interval=2, short_side=32, mean=(0, 0, 0), std=(1, 1, 1))


def tap(with_seconds: bool = False, every: float = 1.0) -> FrameTap:
    return FrameTap("a", FrameSettings(15.0, 32, 80), [CLIP], live_times(every, with_seconds=with_seconds))


def camera(seconds: float, lost_after: int | None = None) -> FakeCamera:
    frames = [Taken(number / 30, 1 / 30, PICTURE) for number in range(round(30 * seconds))]
    return FakeCamera(frames, lost_after=lost_after)


class Scorer:
    def __init__(self, wait: float = 0.0) -> None:
        self.seen: list[float] = []
        self.wait = wait

    def step(self, due: Due) -> Second | None:
        time.sleep(self.wait)
        self.seen.append(due.seconds)
        return Second("a", due.seconds, due.seconds, ()) if due.is_scored else None


def run(source, scorer: Scorer, **how) -> tuple[LiveCounts, list[float], str]:
    found: list[float] = []
    report = io.StringIO()
    taps = how.pop("taps", tap())
    counts = run_live(
        source, taps, scorer, sinks=[lambda second: found.append(second.time_seconds)], report=report, **how
    )
    return counts, found, report.getvalue()


def test_every_time_is_scored_until_the_source_ends() -> None:
    source = camera(5)
    rows: list[Row] = []
    counts, found, said = run(source, Scorer(), waiting=10, on_frame=rows.append)
    assert found == [0, 1, 2, 3, 4]
    assert (counts.scored, counts.dropped, counts.outcome, counts.lost) == (5, 0, "ended", None)
    assert said.startswith("camera:0: 5 times due, 0 dropped (0.0%), latency 0.")
    assert said.endswith(" s at most); the source ended\n")
    assert source.is_closed
    assert [row.first_grid for row in rows] == list(range(75))


def test_times_that_only_fill_windows_are_no_results() -> None:
    scorer = Scorer()
    counts, found, _ = run(camera(5), scorer, taps=tap(True, 2.0), waiting=10)
    assert (found, scorer.seen, counts.scored, counts.handled) == ([0, 2, 4], [0, 1, 2, 3, 4], 3, 5)


def test_a_slow_model_drops_the_oldest_times_and_counts_them() -> None:
    counts, found, said = run(camera(20), Scorer(wait=0.3), waiting=2)
    assert found[-2:] == [18, 19], "the latest are kept"
    assert counts.scored + counts.dropped == 20
    assert counts.dropped >= 15
    assert f"20 times due, {counts.dropped} dropped ({counts.dropped / 20:.1%})" in said


def test_a_camera_that_vanishes_is_named_after_what_it_gave() -> None:
    source = camera(5, lost_after=100)
    counts, found, said = run(source, Scorer(), waiting=10)
    assert found == [0, 1, 2, 3]
    assert counts.outcome == str(counts.lost) == "camera:0: was lost after 3.3 s: No such device"
    assert said.endswith("; the source was lost\n")
    assert source.is_closed


def test_a_camera_without_a_frame_ends_without_a_result() -> None:
    counts, found, said = run(camera(0), Scorer())
    assert (counts.outcome, found) == ("ended", [])
    assert said == "camera:0: 0 times due, 0 dropped (0.0%), latency none; the source ended\n"


def test_ctrl_c_ends_it() -> None:
    class Endless(FakeCamera):
        def frames(self) -> Iterator[Taken]:
            number = 0
            while True:
                time.sleep(0.001)
                yield Taken(number / 30, 1 / 30, PICTURE)
                number += 1

    class Interrupted(Scorer):
        def step(self, due: Due) -> Second | None:
            if due.seconds >= 2:
                raise KeyboardInterrupt
            return super().step(due)

    source, before = Endless([]), set(threading.enumerate())
    counts, found, said = run(source, Interrupted(), waiting=100)
    assert (counts.outcome, found) == ("stopped", [0, 1])
    assert said.endswith("; stopped\n")
    assert source.is_closed
    assert set(threading.enumerate()) <= before, "no thread of the run is left"


def test_another_fault_is_not_hidden() -> None:
    class Broken(FakeCamera):
        def frames(self) -> Iterator[Taken]:
            yield Taken(0.0, 0.1, PICTURE)
            raise RuntimeError("a bug")

    source = Broken([])
    with pytest.raises(RuntimeError, match=r"^a bug$"):
        run(source, Scorer())
    assert source.is_closed


def test_counts_are_told_every_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.predict.live_run.REPORT_SECONDS", 0.0)
    said = run(camera(3), Scorer(), waiting=10)[2]
    assert said.count("\n") >= 4
    assert "camera:0: 1 time due, 0 dropped (0.0%), latency 0." in said
