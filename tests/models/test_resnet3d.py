"""SlowOnly against upstream's tensors, and what its modules promise."""

import pytest
import torch

from pipeline.models.build import parameter_count
from pipeline.models.resnet3d import ResNet3d, Stage, slowonly_r50, slowonly_r101
from tests import parity

STAGES = ["conv1", "maxpool", "layer1", "layer2", "layer3", "layer4"]


@pytest.mark.parametrize(("build", "name"), [(slowonly_r50, parity.R50), (slowonly_r101, parity.R101)])
def test_keys_and_shapes_are_upstreams_in_upstreams_order(build, name) -> None:
    ours = [[f"backbone.{key}", list(value.shape)] for key, value in build().state_dict().items()]
    upstream = [[key, shape] for key, shape, _ in parity.read(name)["state_dict"] if key.startswith("backbone.")]
    assert ours == upstream


@pytest.mark.parametrize(("name", "variant"), [(parity.R50, ""), (parity.R50, "odd/"), (parity.R101, "")])
def test_every_stage_computes_upstreams_tensors(name: str, variant: str) -> None:
    backbone = parity.detector(name).backbone
    with torch.no_grad(), parity.Capture(backbone, STAGES) as seen:
        (feature_map,) = backbone(parity.inputs(name, variant).clips)
    for stage in STAGES:
        parity.assert_tensor(name, f"{variant}stage/backbone.{stage}", seen[stage])
    parity.assert_tensor(name, f"{variant}backbone_out0", feature_map)


def test_only_space_is_strided_and_sizes_are_rounded_up() -> None:
    backbone = slowonly_r50().eval()
    with torch.no_grad():
        (feature_map,) = backbone(torch.zeros(1, 3, 3, 66, 97))
    assert feature_map.shape == (1, backbone.out_channels, 3, 5, 7)
    assert (backbone.out_channels, backbone.stride) == (2048, 16)


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
    for module in slowonly_r50().modules():
        assert getattr(module, "bias", None) is None or not isinstance(module, torch.nn.Conv3d)
        if isinstance(module, torch.nn.BatchNorm3d):
            assert (module.eps, module.momentum) == (1e-5, 0.1)


def test_parameters_are_counted_as_upstream_counts_them() -> None:
    for name in (parity.R50, parity.R101, parity.LFB_INFER):
        assert parameter_count(parity.detector(name)) == parity.read(name)["parameter_count"]
    for name, head in ((parity.LFB_NL, "lfb_nl"), (parity.LFB_AVG, "lfb_avg")):
        assert parameter_count(parity.detector(name, head)) == parity.read(name)["parameter_count"]
