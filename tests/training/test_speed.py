from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.base.errors import InputError
from pipeline.base.numerics import compute_precision
from pipeline.checkpoint.weights import save_tensors
from pipeline.models.build import build_detector
from pipeline.models.detector import Detector
from pipeline.training.speed import speed_up

CPU = torch.device("cpu")
PLAIN: dict[str, Any] = {"memory_format": "contiguous", "compile_backbone": False, "device": CPU}


def detector(**speed: Any) -> Detector:
    torch.manual_seed(0)
    model = build_detector("slowfast_tiny", classes=3, dropout=0.0)
    speed_up(model, **{**PLAIN, **speed})
    return model.train()


def step(model: Detector, dtype: str = "fp32") -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    clips = torch.randn(2, 3, 8, 48, 48, generator=generator)
    boxes = torch.tensor([[2.0, 3, 30, 40], [10, 10, 40, 44], [0, 0, 47, 47]])
    with compute_precision(CPU, dtype):
        logits = model(clips, boxes, torch.tensor([0, 1, 1]))
    logits.float().square().sum().backward()
    return logits.detach(), {name: value.grad for name, value in model.named_parameters() if value.grad is not None}


def assert_close(one: Detector, other: Detector) -> None:
    logits, gradients = step(one)
    found, others = step(other)
    torch.testing.assert_close(found, logits, atol=1e-4, rtol=1e-4)
    assert gradients.keys() == others.keys()
    for name, value in gradients.items():
        # Rounding grows on the way back through batch norms; a wrong gradient is off by its own size.
        assert (others[name] - value).norm() <= 1e-3 * value.norm() + 1e-5, name
    assert list(one.state_dict()) == list(other.state_dict())


def test_channels_last_computes_the_same_and_is_saved_the_same(tmp_path: Path) -> None:
    plain, last = detector(), detector(memory_format="channels_last_3d")
    weight = last.backbone.get_submodule("slow_path.layer1")[0].conv2.conv.weight  # type: ignore[index]
    assert weight.is_contiguous(memory_format=torch.channels_last_3d)
    for name, model in (("plain", plain), ("last", last)):
        save_tensors(tmp_path / name, model.state_dict())
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "last").read_bytes()
    assert_close(plain, last)


@pytest.mark.slow
def test_a_compiled_backbone_computes_the_same_under_the_same_keys() -> None:
    plain, compiled = detector(), detector(compile_backbone=True)
    assert_close(plain, compiled)
    plain.eval(), compiled.eval()
    assert_close(plain, compiled)


def test_nothing_to_compile_with_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        def call(*_: Any) -> None:
            raise RuntimeError("No working C++ compiler found\n  in torch._inductor\n")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(InputError) as error:
        detector(compile_backbone=True)
    assert str(error.value) == "compile: PyTorch cannot compile on cpu here: No working C++ compiler found"


def test_a_head_alone_stays_as_it_is() -> None:
    head = nn.Linear(2, 2)
    speed_up(head, **{**PLAIN, "memory_format": "channels_last_3d", "compile_backbone": True})
    assert torch.equal(head(torch.ones(1, 2)), head.forward(torch.ones(1, 2)))
