"""The task of a detector with an asynchronous memory; tests/stages/test_infer_memory.py trains one."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.models.context import WindowOf
from pipeline.tables.keyframes import KeyframeSet, pack_keyframes
from pipeline.training import memory_task as module
from pipeline.training.batch import Batch
from pipeline.training.clip_task import ClipWindows
from pipeline.training.history import Metrics
from pipeline.training.memory import Memory
from pipeline.training.settings import MemoryWeight
from pipeline.training.steps import Task
from tests.rank_jobs import keyframes
from tests.training.settings import VALUES, training_settings
from tests.windows import window_of


def train_set() -> KeyframeSet:
    return pack_keyframes(keyframes())


class Scored:
    """Stands for the memory of validation."""

    def __init__(self, told: list[Any]) -> None:
        self.told = told

    def forget(self) -> None:
        self.told.append("forget")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> tuple[Task[Batch], list[Any], list[ClipWindows]]:
    """A task, what its validation did, and the windows that it was made with."""
    told: list[Any] = []
    windows: list[ClipWindows] = []

    def validate() -> Metrics:
        told.append("validate")
        return {}

    def clip_task(detector: Any, data: Any, settings: Any, **more: Any) -> Task[Batch]:
        windows.append(more["windows"])
        assert more["what"] == "train detector"
        return Task("x", lambda epoch: [], 3, lambda batch: torch.zeros(1), validate)

    monkeypatch.setattr(module, "clip_task", clip_task)
    monkeypatch.setattr(module, "steps_per_pass", lambda data, settings: 3)
    monkeypatch.setattr(module, "split_films", lambda split, sources, settings: told.append(split))
    monkeypatch.setattr(module, "film_memory", lambda *_, **more: Scored(told))
    validation = SimpleNamespace(interval=1)
    weight = MemoryWeight(by="age", half_life=2.0)
    settings: Any = SimpleNamespace(
        memory=weight, validation=validation, seed=0, match_iou=0.9, augmentation=SimpleNamespace(max_boxes=32)
    )
    detector: Any = SimpleNamespace(roi_channels=4)
    data: Any = SimpleNamespace(train=train_set(), store=None, clip=None)
    spec: Any = SimpleNamespace(head=SimpleNamespace(window=window_of(3, 2)), labels=None)
    rows: Any = SimpleNamespace(sources=None, settings=None, hardware=None)
    task = module.memory_task(detector, data, settings, spec=spec, rows=rows)
    return task, told, windows


def test_validation_sees_the_films_anew(made: tuple[Task[Batch], list[Any], list[ClipWindows]]) -> None:
    task, told, _ = made
    for _ in range(2):
        task.validate()
    assert told == ["val", "forget", "validate", "forget", "validate"]


def test_what_a_step_computes_is_read_by_the_next(made: tuple[Task[Batch], list[Any], list[ClipWindows]]) -> None:
    task, _, (windows,) = made
    train = train_set()
    number = 2  # a keyframe of film a, with two annotated boxes and two others
    features: Tensor = torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    batch = Batch(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64), keyframes=torch.tensor([number]))
    window_of_epoch: WindowOf = windows.trained(0)
    assert windows.keep is not None
    assert task.after_step is not None

    def read() -> Tensor:
        at = np.array([train.timestamp[number]])
        return window_of_epoch([train.video_ids[number]], at, torch.zeros(1, dtype=torch.int64)).rows.clone()

    assert not read().any()
    windows.keep(batch, features)
    assert not read().any()
    task.after_step(1.0)
    assert torch.equal(read()[0, 2:4], features)
    assert isinstance(task.extra, Memory)
    assert int(task.extra.state_dict()["step"]) == 1


@pytest.mark.parametrize(
    ("changes", "most", "proposals"), [({}, 32, True), ({"match_iou": "none"}, 32, False), ({}, 3, True)]
)
def test_the_memory_has_room_for_every_box_that_may_train(changes: dict[str, Any], most: int, proposals: bool) -> None:
    train = train_set()
    augmentation = {**VALUES["augmentation"], "max_boxes": most}
    settings = training_settings(augmentation=augmentation, **changes)
    memory = module.empty_memory(
        train, settings, channels=5, weight=MemoryWeight(by="loss", half_life=1.0), steps_per_pass=1
    )
    boxes = [len(each.ground_truth_xyxy) + proposals * len(each.proposals_xyxy) for each in train]
    assert set(boxes) == {2 + 2 * proposals}
    assert memory.rows.shape == (1 + sum(min(each, most) for each in boxes), 5)
    assert not memory.rows.any()
