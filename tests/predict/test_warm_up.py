"""Before a camera is opened its model has run once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.boxes.detectors import ChosenDetector
from pipeline.boxes.film_frames import FilmFrames
from pipeline.predict import live_to_folder as module
from pipeline.predict.film_plans import UserChoice
from pipeline.predict.find_persons import FrameDetector
from pipeline.predict.live_to_folder import LiveOutputs, live_to_folder
from pipeline.predict.load_model import Model, load_model
from pipeline.predict.warm_up import warm_up
from tests.predict.conftest import CHOICES, Trained
from tests.predict.streams import FakeCamera


@pytest.fixture(scope="module", params=CHOICES)
def model(request, trained: Callable[[str], Trained]) -> Iterator[Model]:
    threads = torch.get_num_threads()
    yield load_model(trained(request.param).folder, device="cpu", workers=1, batch=2)
    torch.set_num_threads(threads)


def nets(model: Model) -> list[torch.nn.Module]:
    return [model.predictor.model, *([model.producer.detector.backbone] if model.producer else [])]


def detector_of(shapes: list[tuple[int, ...]], name: str = "squares") -> FrameDetector:
    def detect(frames: FilmFrames) -> list[np.ndarray]:
        found = []
        for frame in frames:
            shapes.append(frame.shape)
            found.append(np.empty((0, 6)))
        return found

    return FrameDetector(ChosenDetector({}, lambda: detect), name, 0.05, 2, [])


def test_each_net_and_the_detector_run_once(model: Model) -> None:
    calls: list[torch.nn.Module] = []
    hooks = [net.register_forward_hook(lambda net, *_: calls.append(net)) for net in nets(model)]
    shapes: list[tuple[int, ...]] = []
    warm_up(model, detector_of(shapes))
    for hook in hooks:
        hook.remove()
    assert {id(net) for net in calls} == {id(net) for net in nets(model)}
    side = model.settings.short_side
    assert side is not None
    assert shapes == [(side, side * 16 // 9, 3)]


def test_all_is_ready_when_the_camera_is_opened(model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[str] = []
    hook = model.predictor.model.register_forward_hook(lambda *_: calls.append("forward"))
    detector = detector_of([])
    monkeypatch.setattr(module, "choose_persons", lambda *_, **__: detector)

    def opened(source: str) -> FakeCamera:
        assert calls == ["forward"]
        assert detector.loaded
        return FakeCamera([])

    counts = live_to_folder(
        "camera:0", model, UserChoice(detector="squares"), 1.0, LiveOutputs(out=tmp_path / "out"), open_source=opened
    )
    hook.remove()
    assert (counts.outcome, counts.dropped) == ("ended", 0)
    assert not (tmp_path / "out").exists()
