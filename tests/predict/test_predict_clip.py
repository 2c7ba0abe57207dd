"""Arrays in place of films."""

from collections.abc import Callable

import numpy as np
import pytest

from pipeline.base.errors import InputError
from pipeline.predict.load_model import load_model
from pipeline.predict.predict_clip import predict_clip
from pipeline.video.clip_indices import clip_indices
from pipeline.video.store import FrameStore
from tests.predict.conftest import CHOICES, FILM, Trained
from tests.stages.zoo import DATA

Train = Callable[[str], Trained]
BOXES = np.array([[0.1, 0.2, 0.4, 0.9], [0.5, 0.2, 0.9, 0.8]])


def middle_clip(project: Trained, frames: int, interval: int) -> np.ndarray:
    store = FrameStore(project.folder / DATA / "frames")
    total = store.grid_frames(FILM)
    return store.read_clip(FILM, clip_indices(5.5, fps=store.fps, frames=frames, interval=interval, total=total))


@pytest.mark.parametrize("name", CHOICES)
def test_the_persons_of_a_clip_are_scored(name: str, trained: Train) -> None:
    model = load_model(trained(name).folder, device="cpu")
    clip = model.producer.clip if model.producer else model.spec.clip
    frames = middle_clip(trained(name), clip.frames, clip.interval)
    one, other = model.predict_clip(frames, BOXES)
    assert one.box_xyxy == tuple(BOXES[0])
    assert one.scores.shape == (20,)
    assert not np.array_equal(one.scores, other.scores)
    assert len(model.shown_from(0).predict_clip(frames, BOXES)[0].actions) == 20
    assert model.predict_clip(frames, BOXES[:0]) == ()


def test_a_detector_gives_what_it_gives_in_a_film(trained: Train) -> None:
    """The same clip and boxes as in `predict`: a keyframe at 5.5 s with its proposals."""
    project = trained("all")
    model = load_model(project.folder, device="cpu")
    (second,) = [each for each in model.predict(project.film) if each.timestamp == 905]
    clip = model.spec.clip
    boxes = np.array([each.box_xyxy for each in second.persons])
    found = predict_clip(model, middle_clip(project, clip.frames, clip.interval), boxes)
    for one, other in zip(found, second.persons, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)


def test_arrays_of_another_form_are_refused(trained: Train) -> None:
    model = load_model(trained("all").folder, device="cpu")
    clip = model.spec.clip
    frames = np.zeros((clip.frames, 20, 30, 3), np.uint8)

    def refused(frames: np.ndarray, boxes: np.ndarray) -> str:
        with pytest.raises(InputError) as error:
            predict_clip(model, frames, boxes)
        return str(error.value)

    grey = f"clip: found uint8 ({clip.frames}, 20, 30, 1), expected uint8 (T, height, width, 3), RGB"
    assert refused(frames[..., :1], BOXES) == grey
    assert refused(frames / 255, BOXES).startswith("clip: found float64 ")
    expected = f"clip: found 1 frames, expected {clip.frames}, every {clip.interval} of the model's grid"
    assert refused(frames[:1], BOXES) == expected
    assert refused(frames, BOXES[:, :3]) == "boxes: found shape (2, 3), expected (n, 4)"
    outside = "boxes: expected x1 < x2 and y1 < y2 in [0, 1], as shares of the frame"
    assert refused(frames, BOXES * 100) == outside
    assert refused(frames, BOXES[:, [2, 1, 0, 3]]) == outside
