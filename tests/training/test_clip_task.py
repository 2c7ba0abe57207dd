"""What `fit` is told of a training on clips; neither a frame is read nor a network run."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.base.hardware import Hardware
from pipeline.models.settings import LabelGroup, Labels
from pipeline.scoring.settings import ScoreSettings
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import ANNOTATIONS, KEYFRAMES
from pipeline.tables.split_tables import Tables
from pipeline.training import clip_task as module
from pipeline.training.batch import Batch
from pipeline.training.clip_steps import ClipData
from pipeline.training.clip_task import ClipWindows
from pipeline.training.steps import Stretch, Task
from tests.training.settings import training_settings

HARDWARE = Hardware(torch.device("cpu"), 3, 5)
TABLES = Tables(ANNOTATIONS.empty_table(), KEYFRAMES.empty_table(), [Label(1, "walk", "x")], None)


class Detector(nn.Module):
    """Logits that favour the second column."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, clips, boxes_xyxy, clip_index, window, objects, keep=None) -> torch.Tensor:
        if keep is not None:
            keep(boxes_xyxy)
        return torch.tensor([[0.0, 4.0, 0.0]]).expand(len(clip_index), 3)


def task_of(
    *,
    train: int = 9,
    films: str = "",
    labels: Labels = Labels(),
    head: nn.Module | None = None,
    epoch_steps: Any = "pass",
    **more: Any,
) -> Task[Batch]:
    store: Any = SimpleNamespace(name="store", size={"a": (32, 32), "b": (64, 32)}.__getitem__)
    clip: Any = SimpleNamespace(name="clip", long_side=None, shape="film")
    keyframes: Any = [SimpleNamespace(keyframe=SimpleNamespace(video_id=each)) for each in films or "a" * train]
    val: Any = ["val"]
    data = ClipData(store, clip, keyframes, val, TABLES)
    detector: Any = Detector(head or nn.Linear(2, 3))
    settings = training_settings(global_batch=4, bn_batch=2, epoch_steps=epoch_steps)
    return module.clip_task(detector, data, settings, labels=labels, hardware=HARDWARE, what="train x", **more)


@pytest.mark.parametrize(("train", "steps"), [(0, 0), (1, 1), (4, 1), (5, 2), (9, 3)])
def test_the_last_step_takes_what_is_left(train: int, steps: int) -> None:
    task = task_of(train=train)
    assert (task.what, task.steps_per_epoch) == ("train x", steps)


def test_steps_are_told_the_epochs_windows_and_whether_a_norm_needs_the_unmatched(monkeypatch) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(
        module, "clip_steps", lambda data, stretch, settings, **more: told.append({"stretch": stretch, **more})
    )
    windows: Any = ClipWindows(lambda epoch: f"windows of {epoch}", None)  # type: ignore[arg-type, return-value]
    task_of(windows=windows).steps_of(2)
    task_of(head=nn.Sequential(nn.BatchNorm1d(3))).steps_of(0)
    same = {"workers": 3, "sizes": None, "ahead": None}
    assert told == [
        {**same, "stretch": Stretch(2, 0, 3), "unmatched": False, "window_of": "windows of 2"},
        {**same, "stretch": Stretch(0, 0, 3), "unmatched": True, "window_of": None},
    ]


def test_an_epoch_of_so_many_steps_goes_on_with_the_pass_and_its_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    def clip_steps(data: ClipData, stretch: Stretch, settings: Any, *, window_of: Any, **_: Any) -> list[Any]:
        told.append((stretch, window_of))
        return []

    monkeypatch.setattr(module, "clip_steps", clip_steps)
    windows: Any = ClipWindows(lambda number: f"windows of {number}", None)  # type: ignore[arg-type, return-value]
    task = task_of(windows=windows, epoch_steps=4)
    assert task.steps_per_epoch == 4
    assert list(task.steps_of(1)) == []
    assert told == [(Stretch(1, 1, 3), "windows of 1"), (Stretch(2, 0, 2), "windows of 2")]


def test_films_of_two_shapes_have_parts_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(module, "clip_steps", lambda *_, sizes, **__: told.append(sizes.tolist()))
    task = task_of(films="aabab")
    task.steps_of(0)
    assert told == [[0, 0, 1, 0, 1]]
    assert task.steps_per_epoch == 2, "two parts of a and one of b"


def test_rows_are_counted_where_labels_are_grouped() -> None:
    groups = (LabelGroup(classes=3, kind="softmax"),)
    labels = torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 1, 1]])
    batch = Batch(labels, torch.zeros(3, dtype=torch.int64), clips=torch.zeros(1), boxes_xyxy=torch.zeros(3, 4))
    task = task_of(labels=Labels("grouped", groups=groups))
    assert task.count_of is not None
    assert task.count_of(batch) == 2
    one = replace(batch, labels=labels[:1], clip_index=batch.clip_index[:1], boxes_xyxy=torch.zeros(1, 4))
    assert task.loss_of(batch).item() > task.loss_of(one).item(), "a sum over rows"
    assert task_of().count_of is None


def test_validation_scores_val_as_the_labels_say(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    def score_films(detector, store, keyframes, scoring: ScoreSettings, *, clip, batch) -> dict[str, list]:
        told.append((store.name, keyframes, clip.name, batch, scoring.window_of))
        told.append(scoring.scores_of(torch.zeros(1, 3)).tolist())
        return {"detected": [], "ground_truth": []}

    monkeypatch.setattr(module, "score_films", score_films)
    windows: Any = object()
    task_of(windows=ClipWindows(windows, windows)).validate()
    task_of(labels=Labels("single", background=True)).validate()
    assert told == [
        ("store", ["val"], "clip", 5, windows), [[0.5, 0.5, 0.5]],
        ("store", ["val"], "clip", 5, None), [pytest.approx([1 / 3, 1 / 3])],
    ]  # fmt: skip


def test_the_loss_is_that_of_the_labels() -> None:
    batch = Batch(
        torch.from_numpy(np.eye(3, dtype=np.float32)[[1, 1]]), torch.zeros(2, dtype=torch.int64),
        clips=torch.zeros(1), boxes_xyxy=torch.zeros(2, 4),
    )  # fmt: skip
    logits = torch.tensor([[0.0, 4.0, 0.0]])
    expected = nn.functional.cross_entropy(logits, torch.tensor([1]))
    assert task_of(labels=Labels("single")).loss_of(batch).item() == pytest.approx(expected.item())
    assert task_of().loss_of(batch).item() != pytest.approx(expected.item())
