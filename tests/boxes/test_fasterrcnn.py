from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.base.errors import InputError


@pytest.fixture(scope="module")
def fasterrcnn() -> Any:
    # Imported here and not above: it takes a second, and each worker reads all files of tests.
    from pipeline.boxes import fasterrcnn

    return fasterrcnn


def known_boxes(images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    """A person in the right half of each image, and a dog."""
    height, width = images[0].shape[1:]
    box = torch.tensor([[width / 2, height / 4, width, height], [0, 0, width / 2, height]])
    return [{"boxes": box, "labels": torch.tensor([1, 18]), "scores": torch.tensor([0.75, 0.875])} for _ in images]


def test_pixels_become_shares_and_what_is_no_person_is_an_object(fasterrcnn: Any) -> None:
    detect = fasterrcnn.coco_detector(known_boxes, device=torch.device("cpu"))
    found = detect([np.zeros((60, 80, 3), np.uint8)] * 5)
    assert [boxes.tolist() for boxes in found] == [[[0.5, 0.25, 1.0, 1.0, 0.75, -1], [0, 0, 0.5, 1, 0.875, 18]]] * 5
    assert (fasterrcnn.NAMES[18], fasterrcnn.NAMES[fasterrcnn.PERSON]) == ("dog", "person")


def test_the_model_gets_rgb_from_0_to_1(fasterrcnn: Any) -> None:
    picture = np.full((60, 80, 3), 120, np.uint8)
    picture[20:50, 10:22] = (220, 40, 30)
    given: list[torch.Tensor] = []

    def model(images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        given.extend(images)
        return known_boxes(images)

    fasterrcnn.coco_detector(model, device=torch.device("cpu"))([picture])
    assert given[0].shape == (3, 60, 80)
    assert given[0][:, 30, 12].tolist() == pytest.approx([220 / 255, 40 / 255, 30 / 255])


def test_frames_are_seen_as_many_at_a_time_and_each_has_its_boxes(fasterrcnn: Any) -> None:
    sizes = []

    def model(images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        sizes.append(len(images))
        return known_boxes(images)

    frames = fasterrcnn.FORWARD_FRAMES + 3
    found = fasterrcnn.coco_detector(model, device=torch.device("cpu"))([np.zeros((6, 8, 3), np.uint8)] * frames)
    assert sizes == [fasterrcnn.FORWARD_FRAMES, 3]
    assert len(found) == frames


def test_weights_are_a_state_dict_of_tensors(fasterrcnn: Any, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    with pytest.raises(InputError) as error:
        fasterrcnn.read_weights(path)
    assert str(error.value) == f"boxes.weights: {path}: no such file"
    torch.save({"a": 1}, path)
    with pytest.raises(InputError) as error:
        fasterrcnn.read_weights(path)
    assert str(error.value) == f"boxes.weights: {path}: holds a dict, expected a state dict of tensors"
    torch.save({"a": torch.ones(2)}, path)
    assert fasterrcnn.read_weights(path)["a"].tolist() == [1, 1]
