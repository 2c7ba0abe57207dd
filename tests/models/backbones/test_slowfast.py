"""What the two pathways promise; that they compute upstream's tensors is tested in test_parity.py."""

import pytest
import torch
from torch import nn

from pipeline.base.errors import InputError
from pipeline.models.backbones.slowfast import (
    LATERALS,
    SlowFast,
    pyslowfast_slowfast_r50_8x8,
    pyslowfast_slowfast_r101_8x8,
    slowfast_r50_4x16,
    slowfast_r50_8x8,
    slowfast_r101_8x8,
)
from pipeline.models.backbones.tiny import slowfast_tiny
from tests import parity


def _slow_input(backbone: SlowFast, frames: int) -> list[int]:
    """The frames that the slow pathway is given."""
    clip = torch.arange(frames, dtype=torch.float32)[None, None, :, None, None].expand(1, 3, frames, 16, 16)
    with torch.no_grad(), parity.Capture(backbone, [], ["slow_path.conv1"]) as seen:
        backbone.eval()(clip)
    return [int(frame) for frame in seen["slow_path.conv1"][0, 0, :, 0, 0]]


def test_the_slow_pathway_takes_every_alphath_frame() -> None:
    assert _slow_input(slowfast_r50_4x16(width=8), 32) == [0, 8, 16, 24]
    assert _slow_input(slowfast_r50_8x8(width=8), 32) == list(range(0, 32, 4))


def test_pyslowfasts_slow_frames_reach_from_the_first_to_the_last() -> None:
    assert _slow_input(pyslowfast_slowfast_r50_8x8(width=8), 32) == [0, 4, 8, 13, 17, 22, 26, 31]
    assert _slow_input(pyslowfast_slowfast_r50_8x8(width=8), 64) == [int(i * 4.2 + 1e-6) for i in range(16)]
    assert _slow_input(pyslowfast_slowfast_r50_8x8(width=8), 4) == [0]


@pytest.mark.parametrize("frames", [0, 4, 30])
def test_a_clip_that_does_not_divide_is_refused(frames: int) -> None:
    with pytest.raises(InputError, match=rf"^a clip has {frames} frames, this SlowFast needs a multiple of 8$"):
        slowfast_r50_4x16(width=8)(torch.zeros(1, 3, frames, 32, 32))


def test_maps_of_both_pathways() -> None:
    backbone = slowfast_r50_4x16(width=8).eval()
    with torch.no_grad():
        slow, fast = backbone(torch.zeros(2, 3, 16, 66, 97))
    assert slow.shape == (2, 256, 2, 5, 7)
    assert fast.shape == (2, 32, 16, 5, 7)
    assert (backbone.out_channels, backbone.stride) == (288, 16)


def test_a_frame_that_only_the_fast_pathway_has_reaches_the_slow_one() -> None:
    torch.manual_seed(0)
    backbone = slowfast_tiny().eval()
    clip = torch.randn(1, 3, 8, 32, 32)
    changed = clip.clone()
    changed[:, :, 1] += 1  # the slow pathway takes 0 and 4
    with torch.no_grad():
        before, after = backbone(clip)[0], backbone(changed)[0]
        assert not torch.allclose(before, after)
        for name in LATERALS:
            nn.init.zeros_(backbone.slow_path.get_submodule(name).conv.weight)  # type: ignore[union-attr, arg-type]
        assert torch.equal(backbone(clip)[0], backbone(changed)[0])


def test_lateral_convolutions_are_bare_or_with_norm_and_relu_as_in_their_source() -> None:
    with torch.device("meta"):
        bare, normed, deep = slowfast_r101_8x8(), pyslowfast_slowfast_r50_8x8(), pyslowfast_slowfast_r101_8x8()
    keys = [name for name in bare.state_dict() if "conv1_lateral" in name]
    assert keys == ["slow_path.conv1_lateral.conv.weight"]
    kernels = [
        each.slow_path.get_submodule("layer2_lateral").conv.weight.shape  # type: ignore[union-attr]
        for each in (bare, normed, deep)
    ]
    assert kernels == [(128, 64, 7, 1, 1), (128, 64, 7, 1, 1), (128, 64, 5, 1, 1)]
    lateral = pyslowfast_slowfast_r50_8x8(width=8).slow_path.get_submodule("layer1_lateral").eval()
    out = lateral(torch.randn(1, 4, 8, 6, 6))
    assert out.shape == (1, 8, 2, 6, 6)
    assert out.min() == 0


def test_lateral_weights_begin_as_he_over_fan_out() -> None:
    torch.manual_seed(0)
    weight = slowfast_r50_8x8().slow_path.get_submodule("layer3_lateral").conv.weight  # type: ignore[union-attr]
    assert isinstance(weight, torch.Tensor)
    assert weight.std().item() == pytest.approx((2 / (256 * 7)) ** 0.5, rel=0.02)
