import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.predict.camera import CameraLost, StreamCamera, Taken, open_camera
from pipeline.predict.film_plans import UserChoice
from pipeline.predict.live_server import Hub
from pipeline.predict.live_to_folder import LiveOutputs, camera_id, live_to_folder, stopped_by_signals
from pipeline.predict.load_model import Model, load_model
from pipeline.predict.predicted import read_predicted
from tests.predict.conftest import Trained
from tests.predict.streams import FakeCamera, frames_of, served

MOTION = UserChoice(detector="motion")


@pytest.fixture(scope="module")
def model(trained: Callable[[str], Trained]) -> Iterator[Model]:
    threads = torch.get_num_threads()
    loaded = load_model(trained("bank").folder, device="cpu", workers=1, batch=2, box_threshold=0.5)
    yield replace(loaded, thresholds=dict.fromkeys(loaded.thresholds, 0.0))
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def frames(trained: Callable[[str], Trained]) -> list[Taken]:
    return [frame for frame in frames_of(trained("bank").film) if frame.seconds < 8]


def test_a_camera_that_vanishes_leaves_whole_files(model: Model, frames, tmp_path: Path, capsys) -> None:
    out, hub = tmp_path / "out", Hub()
    camera = FakeCamera(frames, lost_after=150)
    outputs = LiveOutputs(out=out, echo=True, hub=hub)
    with pytest.raises(CameraLost, match=r"^camera:0: was lost after \d\.\d s: No such device$"):
        live_to_folder("camera:0", model, MOTION, 1.0, outputs, open_source=lambda _: camera)
    assert camera.is_closed
    printed = capsys.readouterr()
    lines = (out / "seconds.jsonl").read_text()
    assert lines == printed.out
    assert "; the source was lost\n" in printed.err
    assert lines.endswith("\n")
    assert lines.count("\n") >= 2
    written = read_predicted(out / "parts/00000")
    assert written.videos["video_id"].to_pylist() == ["camera_0"]
    assert written.model["memory"] == "past"
    events = list(hub.events())
    assert [text for kind, text in events if kind == "second"] == lines.splitlines()
    assert events[-1][0] == "end"
    assert list(hub.frames()), "viewers see frames"


def test_a_stream_is_scored_to_its_end(model: Model, trained, tmp_path: Path) -> None:
    data = trained("bank").film.read_bytes()
    with served(data) as url:
        # Much faster than it was taken: the test must not wait 20 s.
        def opened(source: str) -> StreamCamera:
            camera = open_camera(source)
            camera._sleep = lambda _: None
            return camera

        outputs = LiveOutputs(out=tmp_path / "out")
        counts = live_to_folder(url, model, MOTION, 2.0, outputs, open_source=opened)
    assert counts.outcome == "ended"
    assert counts.handled + counts.dropped == 20
    assert 1 <= counts.scored <= 10


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_and_leaves_whole_files(model: Model, frames, tmp_path: Path, number: int) -> None:
    class Killed(FakeCamera):
        def frames(self) -> Iterator[Taken]:
            for frame in super().frames():
                time.sleep(0.01)
                if frame.seconds > 4:
                    os.kill(os.getpid(), number)
                    time.sleep(1)
                    return
                yield frame

    before = signal.getsignal(number)
    outputs = LiveOutputs(out=tmp_path / "out")
    counts = live_to_folder("camera:0", model, MOTION, 1.0, outputs, open_source=lambda _: Killed(frames))
    assert counts.outcome == "stopped"
    assert signal.getsignal(number) == before
    assert len((tmp_path / "out/seconds.jsonl").read_text().splitlines()) == counts.scored
    if counts.scored:
        read_predicted(tmp_path / "out/parts/00000")


def test_a_second_signal_interrupts() -> None:
    def twice() -> None:
        with stopped_by_signals() as asked:
            os.kill(os.getpid(), signal.SIGINT)
            assert asked.wait(5)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        twice()


def test_what_is_refused(model: Model, tmp_path: Path) -> None:
    def ask(chosen: UserChoice = MOTION, every: float = 1.0, **outputs) -> None:
        live_to_folder("rtsp://me:key@h/a", model, chosen, every, LiveOutputs(**outputs), open_source=None)  # type: ignore[arg-type]

    message = r"^--boxes: does not go with rtsp://h/a: persons are found by --detector$"
    with pytest.raises(InputError, match=message):
        ask(UserChoice(boxes=Path("b.csv")))
    with pytest.raises(InputError, match=r"^--times: does not go with"):
        ask(UserChoice(times=Path("t.csv")))
    with pytest.raises(InputError, match=r"^--every 0\.001: expected seconds, at least 0\.02$"):
        ask(every=0.001)
    (tmp_path / "x").touch()
    with pytest.raises(InputError, match=r": is there already; --force replaces it, --out names another$"):
        ask(out=tmp_path)


def test_the_id_of_a_camera() -> None:
    assert camera_id("camera:0") == "camera_0"
    assert camera_id("rtsp://me:key@10.0.0.2:554/door?x=1") == "rtsp_10.0.0.2_554_door"
