"""`deterministic: true`: no model needs an operator without a deterministic kernel, and steps repeat to the bit."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.base.numerics import named_nondeterminism, set_numerics
from pipeline.models.build import build_backbone, build_detector
from pipeline.models.context import BankWindow, ObjectBoxes
from pipeline.models.detector import Detector
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.table import HEADS, build_head
from pipeline.models.roi import roi_channels
from pipeline.models.settings import RoiSettings
from pipeline.training.batch import Batch
from pipeline.training.clip_steps import detector_loss

CPU = torch.device("cpu")
CONTEXT = RoiSettings(output_size=4, temporal="max", context="global")
BACKBONES = ["slowonly_r50_nl", "slowfast_r50_4x16", "slowfast_r50_8x8", "pyslowfast_slowfast_r50_8x8", "slowonly_tiny"]


@pytest.fixture(autouse=True)
def deterministic() -> Iterator[None]:
    threads = torch.get_num_threads()
    set_numerics(compute_dtype="fp32", deterministic=True, threads=2)
    yield
    set_numerics(compute_dtype="fp32", deterministic=False, threads=threads)


def batch(bank_channels: int = 16) -> Batch:
    frames = 8
    generator = torch.Generator().manual_seed(1)
    clip_index = torch.tensor([0, 0, 1])
    return Batch(
        labels=torch.tensor([[1.0, 0, 0], [0, 1, 1], [0, 0, 1]]),
        clip_index=clip_index,
        clips=torch.randn(2, 3, frames, 64, 64, generator=generator),
        boxes_xyxy=torch.tensor([[2.0, 3, 30, 40], [10, 10, 60, 44], [0, 0, 63, 63]]),
        window=BankWindow(
            torch.randn(2, 12, bank_channels, generator=generator), torch.arange(24).view(2, 12) < 12, clip_index
        ),
        object_boxes=ObjectBoxes(
            torch.tensor([[[5.0, 5, 20, 30], [30, 8, 50, 60]], [[1, 1, 9, 9], [0, 0, 0, 0]]]),
            torch.tensor([[True, True], [True, False]]),
        ),
    )


def assert_repeats(model: Detector, bank_channels: int = 16) -> None:
    loss_of = detector_loss(model.train())
    rounds = []
    for _ in range(2):
        torch.manual_seed(0)
        model.zero_grad()
        loss_of(batch(bank_channels)).backward()
        rounds.append([each.grad.clone() for each in model.parameters() if each.grad is not None])
    assert len(rounds[0]) > 10
    assert all(torch.equal(one, other) for one, other in zip(*rounds, strict=True))


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("head", ["linear", "acrn", "acar"])
def test_baselines_repeat(backbone: str, head: str) -> None:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"roi": CONTEXT} if head == "linear" else {}
    assert_repeats(build_detector(backbone, classes=3, width=8, head=head, mlp=head == "linear", **settings))


@pytest.mark.parametrize("head", sorted(set(HEADS) - {"linear", "acrn", "acar"}))
def test_heads_of_the_bank_repeat(head: str) -> None:
    torch.manual_seed(0)
    backbone = build_backbone("slowfast_tiny", width=8)
    roi = RoiSettings() if head == "acar_lfb" else CONTEXT  # whose persons have as many channels as the map
    channels, is_aia = roi_channels(backbone.out_channels, roi), head.startswith("aia_")
    bank_channels = channels if is_aia else 16
    settings = HeadSettings(
        roi_channels=channels, bank_channels=bank_channels, classes=3, map_channels=backbone.out_channels,
        window_seconds=6, per_second=2, objects=2 if is_aia else 0,
    )  # fmt: skip
    options = {"latent": 16} if is_aia else {}
    assert_repeats(Detector(backbone, build_head(head, settings, options), roi=roi), bank_channels)


def test_an_operator_without_a_deterministic_kernel_is_named() -> None:
    with pytest.raises(InputError) as error, named_nondeterminism(CPU):
        torch.nn.MaxUnpool2d(2)(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2, dtype=torch.int64))
    assert str(error.value) == "deterministic: max_unpooling2d_forward_out has no deterministic kernel on cpu"
    with pytest.raises(RuntimeError, match="another"), named_nondeterminism(CPU):
        raise RuntimeError("another")
