"""The map of a frozen network's tokens, with a network that says where each token is."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.models.backbones.token_map import ModelType, TokenLayout, TokenMap
from pipeline.models.build import build_detector
from pipeline.models.settings import RoiSettings
from pipeline.training.norms import train_mode

DIGEST = bytes(range(32))
PLACES = "or another size whose number of patches is a multiple of 4 and not 16"


class Places(nn.Module):
    """A network whose tokens are time, row and column of their patch, in the order of a model type."""

    def __init__(self, layout: TokenLayout) -> None:
        super().__init__()
        self.layout = layout
        self.weight = nn.Parameter(torch.ones(3))
        self.dropout = nn.Dropout(0.5)

    def forward(self, pixels: Tensor) -> Any:
        clips, frames, _, height, width = pixels.shape
        times, rows, columns = frames // self.layout.tubelet, height // self.layout.patch, width // self.layout.patch
        if self.layout.model_type == "timesformer":
            tokens = [(-1, -1, -1)]
            tokens += [(t, y, x) for y in range(rows) for x in range(columns) for t in range(times)]
        else:
            tokens = [(t, y, x) for t in range(times) for y in range(rows) for x in range(columns)]
        found = torch.tensor(tokens, dtype=pixels.dtype) * self.weight
        return SimpleNamespace(last_hidden_state=self.dropout(found.expand(clips, -1, -1)))


def layout_of(kind: ModelType, size: tuple[int, int] = (32, 32)) -> TokenLayout:
    return TokenLayout(
        model_type=kind, channels=3, patch=8, tubelet=1 if kind == "timesformer" else 2, frames=4, size=size
    )


@pytest.mark.parametrize(
    ("kind", "height", "width"),
    [("videomae", 32, 32), ("vjepa2", 32, 32), ("timesformer", 32, 32), ("timesformer", 24, 64)],
)
def test_every_token_lies_where_its_patch_is(kind: ModelType, height: int, width: int) -> None:
    layout = layout_of(kind)
    backbone = TokenMap(Places(layout), layout, DIGEST)
    (found,) = backbone(torch.zeros(2, 3, 4, height, width))
    times, rows, columns = 4 // layout.tubelet, height // 8, width // 8
    assert found.shape == (2, 3, times, rows, columns)
    for t in range(times):
        for y in range(rows):
            for x in range(columns):
                assert found[1, :, t, y, x].tolist() == [t, y, x]


@pytest.mark.parametrize(
    ("kind", "clip", "expected"),
    [
        ("videomae", (4, 32, 40), "clips of 40x32 pixels, expected 32x32"),
        ("videomae", (8, 32, 32), "8 frames, expected 4"),
        ("videomae", (3, 32, 32), "3 frames, expected a multiple of 2"),
        ("vjepa2", (6, 24, 24), "clips of 24x24 pixels, expected 32x32"),
        ("vjepa2", (5, 32, 40), "5 frames, expected a multiple of 2; clips of 40x32 pixels, expected 32x32"),
        ("timesformer", (8, 32, 32), "8 frames, expected 4"),
        ("timesformer", (4, 16, 64), f"clips of 64x16 pixels, expected 32x32, {PLACES}"),
        ("timesformer", (4, 40, 24), f"clips of 24x40 pixels, expected 32x32, {PLACES}"),
    ],
)  # fmt: skip
def test_a_clip_that_the_network_would_misread_is_refused(
    kind: ModelType, clip: tuple[int, int, int], expected: str
) -> None:
    layout = layout_of(kind)
    with pytest.raises(InputError) as error:
        TokenMap(Places(layout), layout, DIGEST)(torch.zeros(1, 3, *clip))
    assert str(error.value) == f"backbone transformers ({kind}): {expected}"


def test_rotary_positions_take_any_number_of_tubelets_and_a_transposed_clip_is_never_taken() -> None:
    assert not layout_of("vjepa2").fault(64, 32, 32)
    wide = layout_of("videomae", (16, 32))
    assert not wide.fault(4, 16, 32)
    assert wide.fault(4, 32, 16) == "clips of 16x32 pixels, expected 32x16"


def test_nothing_of_the_network_is_trained_or_in_a_checkpoint() -> None:
    layout = layout_of("videomae")
    network = Places(layout)
    detector = build_detector(TokenMap(network, layout, DIGEST), classes=5, roi=RoiSettings(pool="attentive"))
    train_mode(detector, "batch")
    assert not any(each.training for each in network.modules())
    assert list(detector.backbone.state_dict()) == ["digest"]
    assert bytes(detector.state_dict()["backbone.digest"].tolist()) == DIGEST
    boxes = torch.tensor([[0.0, 0, 20, 30]])
    detector(torch.zeros(1, 3, 4, 32, 32), boxes, torch.tensor([0])).sum().backward()
    assert network.weight.grad is None
    assert all(each.grad is not None for each in detector.parameters())
    detector.double()
    assert network.weight.dtype == torch.float64  # it goes where the detector goes
