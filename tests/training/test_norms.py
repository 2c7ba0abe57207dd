from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.base.randomness import seed_of
from pipeline.models.backbones.resnet2d import resnet_tiny
from pipeline.models.heads.tsn import MeanHead
from pipeline.models.recognizer import Recognizer
from pipeline.training.batch import Batch
from pipeline.training.loop import fit
from pipeline.training.norms import prepare_norm, train_mode
from pipeline.training.optimiser import SGD, parameter_groups
from pipeline.training.steps import Step, Task
from tests.training.settings import training_settings
from tests.training.test_loop import fit_task

CPU = torch.device("cpu")
SETTINGS = {"nesterov": True, "epochs": 1, "interval": 0}


class Model(nn.Module):
    """Two norms: one of the backbone, one of the head."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8))
        self.head = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, 2))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.backbone(x))
        return found


def model() -> Model:
    torch.manual_seed(0)
    return Model()


def test_a_backbone_of_which_nothing_is_trained_stays_as_it_is() -> None:
    frozen = model()
    frozen.backbone.requires_grad_(False)
    train_mode(frozen, "batch")
    assert not any(each.training for each in frozen.backbone.modules())
    assert all(each.training for each in frozen.head.modules())
    train_mode(whole := model(), "batch")
    assert all(each.training for each in whole.modules())


def batches(parts: int) -> list[Batch]:
    x = torch.randn(parts, 6, 5, generator=torch.Generator().manual_seed(1)) * 3 + 1
    return [Batch(labels=(each[:, :2] > 0).float(), clip_index=torch.arange(6), rows=each) for each in x]


def train(steps: list[list[Batch]], folder: Path, **changes: Any) -> Model:
    trained = model()
    task = Task("train", lambda epoch: [Step(parts, len(parts)) for parts in steps], len(steps),
                lambda batch: loss(trained, batch), dict)  # fmt: skip
    fit_task(trained, task, folder, **{**SETTINGS, **changes})
    return trained


def loss(trained: nn.Module, batch: Batch) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(trained(batch.rows), batch.labels)


def test_a_frozen_backbone_is_neither_trained_nor_decayed(tmp_path: Path) -> None:
    frozen, before = model(), model()
    frozen.backbone.requires_grad_(False)
    task = Task("train", lambda epoch: [Step(batches(2), 2)], 1, lambda batch: loss(frozen, batch), dict)
    fit_task(frozen, task, tmp_path, **SETTINGS)
    assert_same(frozen.backbone, before.backbone)
    assert not torch.equal(frozen.head[2].weight, before.head[2].weight)  # type: ignore[arg-type]


def assert_same(one: nn.Module, other: nn.Module, *, atol: float = 0.0) -> None:
    for name, value in one.state_dict().items():
        found = other.state_dict()[name]
        torch.testing.assert_close(found, value, atol=atol, rtol=0, msg=name)


def test_steps_of_one_part_are_plain_sgd_to_the_bit(tmp_path: Path) -> None:
    parts = batches(4)
    plain = model().train()
    optimiser = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
    for number, batch in enumerate(parts):
        torch.manual_seed(seed_of(7, "dropout", 0, number))
        optimiser.param_groups[0]["lr"] = training_settings(**SETTINGS).rate(0, number, 4)
        optimiser.zero_grad()
        loss(plain, batch).backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        optimiser.step()
    assert_same(train([[part] for part in parts], tmp_path), plain)


def test_running_statistics_are_the_mean_of_what_the_parts_would_set(tmp_path: Path) -> None:
    parts = batches(3)
    alone = []
    for part in parts:
        backbone = model().backbone.train()
        backbone(part.rows)
        alone.append(backbone[1])
    for order, name in ((parts, "forwards"), (parts[::-1], "backwards")):
        norm = train([order], tmp_path / name).backbone[1]
        for statistic in ("running_mean", "running_var"):
            expected = torch.stack([getattr(each, statistic) for each in alone]).mean(dim=0)
            torch.testing.assert_close(getattr(norm, statistic), expected)
        assert norm.num_batches_tracked == 1


def test_the_order_of_parts_is_in_nothing_but_rounding(tmp_path: Path) -> None:
    parts = batches(4)

    def shuffled(order: list[int], name: str) -> Model:
        trained = model()
        trained.head[0] = nn.Identity()  # dropout is drawn by the number of the part
        settings = training_settings(**SETTINGS)
        groups = parameter_groups(trained, weight_decay=1e-4, decayed="weights", bias_lr_factor=2.0)
        task = Task("train", lambda epoch: [Step([parts[place] for place in order], 4)] * 2, 2,
                    lambda batch: loss(trained, batch), dict)  # fmt: skip
        fit(trained, task, settings, groups=groups, device=CPU, state_folder=tmp_path / name)
        return trained

    assert_same(shuffled([0, 1, 2, 3], "a"), shuffled([2, 0, 3, 1], "b"), atol=1e-6)


def test_frozen_norms_keep_the_statistics_they_started_with(tmp_path: Path) -> None:
    trained, start = train([batches(2)] * 3, tmp_path, norm="frozen"), model()
    norm, before = trained.backbone[1], start.backbone[1]
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(getattr(norm, name), getattr(before, name))
    assert not torch.equal(norm.weight, before.weight)  # type: ignore[arg-type]
    assert trained.head[1].num_batches_tracked == 3, "a head's norms are new and must learn theirs"


def test_partial_trains_the_first_norm_of_the_backbone_and_leaves_the_others_alone() -> None:
    start, trained = recognizer(), recognizer()
    frames, labels = torch.randn(4, 3, 3, 32, 32, generator=torch.Generator().manual_seed(2)), torch.arange(4) % 3
    # Groups are made before the first step, so the optimiser has the frozen norms too, without a gradient.
    groups = parameter_groups(trained, weight_decay=0.1, decayed="weights", bias_lr_factor=2.0)
    optimiser = SGD(groups, lr=0.1, momentum=0.9, nesterov=False)
    train_mode(trained, "partial")
    for _ in range(2):
        functional.cross_entropy(trained(frames), labels).backward()
        optimiser.step()
    norms = [(name, each) for name, each in trained.backbone.named_modules() if isinstance(each, nn.BatchNorm2d)]
    assert [name for name, each in norms if each.training] == ["conv1.bn"]
    assert [name for name, each in norms if each.weight.requires_grad] == ["conv1.bn"]
    before = start.backbone.state_dict()
    changed = {key for key, value in trained.backbone.state_dict().items() if not torch.equal(value, before[key])}
    parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    assert {key for key in changed if ".bn." in key} == {f"conv1.bn.{part}" for part in parts}
    assert {key for key in before if ".conv." in key} <= changed


def recognizer() -> Recognizer:
    torch.manual_seed(0)
    backbone = resnet_tiny(8)
    return Recognizer(backbone, MeanHead(backbone.out_channels, classes=3, dropout=0.0))


def test_one_part_on_one_rank_is_synchronised_as_it_is(tmp_path: Path) -> None:
    steps = [[part] for part in batches(3)]
    whole = {"global_batch": 6, "bn_batch": 6}
    synchronised = train(steps, tmp_path / "sync", norm="sync", **whole)
    assert_same(synchronised, train(steps, tmp_path / "batch", **whole))
    assert not any(isinstance(each, nn.SyncBatchNorm) for each in synchronised.modules())


def test_as_many_cuda_ranks_as_parts_get_synchronised_norms(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    trained = model()
    keys = list(trained.state_dict())
    prepare_norm(trained, "sync", global_batch=8, bn_batch=2, device=torch.device("cuda"), block="baseline")
    assert isinstance(trained.backbone[1], nn.SyncBatchNorm)
    assert list(trained.state_dict()) == keys
