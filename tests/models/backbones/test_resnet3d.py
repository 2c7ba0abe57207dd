"""What the modules promise; that they compute upstream's tensors is tested in test_parity.py."""

import pytest
import torch
from torch import nn

from pipeline.models.backbones.non_local import NonLocal
from pipeline.models.backbones.resnet3d import (
    R101,
    ResNet3d,
    Stage,
    pyslowfast_slow_r50,
    slow_stages,
    slowonly_r50,
    slowonly_r50_nl,
)
from tests import parity


def test_only_space_is_strided_and_sizes_are_rounded_up() -> None:
    backbone = slowonly_r50(width=8).eval()
    with torch.no_grad():
        (feature_map,) = backbone(torch.zeros(1, 3, 3, 66, 97))
    assert feature_map.shape == (1, backbone.out_channels, 3, 5, 7)
    assert (backbone.out_channels, backbone.stride) == (256, 16)


@pytest.mark.parametrize(("stage", "sees_neighbours"), [("layer1", False), ("layer2", False), ("layer3", True)])
def test_neighbouring_frames_meet_from_the_third_stage_on(stage: str, sees_neighbours: bool) -> None:
    backbone = parity.detector(parity.R50).backbone
    clip = torch.randn(1, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    changed = clip.clone()
    changed[:, :, 3] += 1
    with torch.no_grad(), parity.Capture(backbone, [stage]) as before:
        backbone(clip)
    with torch.no_grad(), parity.Capture(backbone, [stage]) as after:
        backbone(changed)
    assert not torch.equal(before[stage][:, :, 3], after[stage][:, :, 3])
    assert torch.equal(before[stage][:, :, 2], after[stage][:, :, 2]) != sees_neighbours


def test_bottlenecks_begin_as_their_shortcut() -> None:
    stages = [Stage(2, 4, 1, 1), Stage(1, 4, 1, 1), Stage(1, 4, 1, 3), Stage(1, 4, 1, 3)]
    backbone = ResNet3d(stages, stem_width=16, stem_kernel=3, expansion=4).eval()
    x = torch.rand(1, 16, 2, 4, 4)
    with torch.no_grad():
        assert torch.equal(backbone.layer1(x), x)
    other = ResNet3d(stages, stem_width=16, stem_kernel=3, expansion=4, zero_init_residual=False).eval()
    with torch.no_grad():
        assert not torch.equal(other.layer1(x), x)


def test_no_convolution_has_a_bias_and_batch_norm_is_as_published() -> None:
    with torch.device("meta"):
        modules = list(slowonly_r50().modules())
    for module in modules:
        assert getattr(module, "bias", None) is None or not isinstance(module, nn.Conv3d)
        if isinstance(module, nn.BatchNorm3d):
            assert (module.eps, module.momentum) == (1e-5, 0.1)


def test_pyslowfast_dilates_every_block_of_the_last_stage_and_no_other() -> None:
    with torch.device("meta"):
        backbone = pyslowfast_slow_r50()
    dilated = {
        name: module.dilation[1:]
        for name, module in backbone.named_modules()
        if isinstance(module, nn.Conv3d) and module.dilation != (1, 1, 1)
    }
    assert dilated == {f"layer4.{block}.conv2.conv": (2, 2) for block in range(3)}


def test_non_local_blocks_stand_where_they_are_published() -> None:
    with torch.device("meta"):
        backbone = slowonly_r50_nl()
    places = [name for name, module in backbone.named_modules() if isinstance(module, NonLocal)]
    assert places == [
        f"layer{stage}.{block}.non_local_block" for stage, block in ((2, 0), (2, 2), (3, 0), (3, 2), (3, 4))
    ]


def test_all_channels_scale_with_the_width() -> None:
    published, narrow = (slow_stages(R101, width=width) for width in (64, 8))
    assert [stage.width for stage in published] == [64, 128, 256, 512]
    assert [stage.width for stage in narrow] == [8, 16, 32, 64]
    assert [stage.blocks for stage in narrow] == [3, 4, 23, 3]
