import numpy as np

from pipeline.base.code_version import import_closure
from pipeline.boxes.film_frames import Detector, FilmFrames


def test_a_list_of_pictures_is_frames_and_a_function_a_detector() -> None:
    def middle(frames: FilmFrames) -> list[np.ndarray]:
        assert frames[len(frames) - 1].shape == (6, 8, 3)
        return [np.array([[0.25, 0.25, 0.75, 0.75, 0.5]]) for _ in frames]

    detect: Detector = middle
    assert [boxes.shape for boxes in detect([np.zeros((6, 8, 3), np.uint8)] * 2)] == [(1, 5)] * 2


def test_a_detector_without_tensors_is_known_without_the_store() -> None:
    assert not [path for path in import_closure("pipeline.boxes.motion") if path.startswith("pipeline/video/")]
