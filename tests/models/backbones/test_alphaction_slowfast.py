"""What AlphAction's backbones promise; that they compute upstream's tensors is tested with its fixtures."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.base.errors import InputError
from pipeline.interop.alphaction import our_key
from pipeline.models.backbones.alphaction_slowfast import FrozenNorm, alphaction_slowfast_r50_4x16
from pipeline.models.backbones.slowfast import SlowFast
from pipeline.models.build import build_backbone, parameter_count
from tests import parity

FOLDER = Path(parity.FOLDER).parent / "alphaction"
CASES = {
    "alphaction_slowfast_r50_4x16": ("resnet50_4x16f_baseline", [7, 23, 39, 55]),
    "alphaction_slowfast_r101_8x8": ("resnet101_8x8f_baseline", list(range(3, 64, 8))),
}


def _numbered(frames: int, clips: int = 1) -> torch.Tensor:
    """Clips in which every pixel is the number of its frame."""
    return torch.arange(frames, dtype=torch.float32)[None, None, :, None, None].expand(clips, 3, frames, 1, 1)


def _frames(clip: torch.Tensor) -> list[list[int]]:
    return [[int(frame) for frame in each[0, :, 0, 0]] for each in clip]


@pytest.mark.parametrize("name", CASES)
def test_keys_shapes_and_counts_are_upstreams(name: str) -> None:
    with torch.device("meta"):
        network = build_backbone(name)
    facts = json.loads((FOLDER / f"{CASES[name][0]}.json").read_text())
    upstream = {our_key(key, interacts=False): shape for key, shape, _ in facts["state_dict"]}
    ours = {f"backbone.{key}": list(value.shape) for key, value in network.state_dict().items()}
    assert ours == {key: shape for key, shape in upstream.items() if key and key.startswith("backbone.")}
    heads = sum(torch.Size(shape).numel() for key, shape in upstream.items() if key and key.startswith("head."))
    assert parameter_count(network) == facts["n_parameters"] - heads
    assert sum(each.numel() for each in network.buffers()) == facts["n_buffer_elements"]


@pytest.mark.parametrize("name", CASES)
def test_in_evaluation_the_slow_pathway_has_the_middle_frames_and_the_fast_one_every_second(name: str) -> None:
    network = build_backbone(name, width=8).eval()
    assert isinstance(network, SlowFast)
    slow, fast = network.split(_numbered(64))
    assert _frames(slow) == [CASES[name][1]]
    assert _frames(fast) == [list(range(0, 64, 2))]


def test_in_training_the_first_slow_frame_of_each_clip_is_drawn_from_torchs_generator() -> None:
    network = alphaction_slowfast_r50_4x16(width=8).train()

    def drawn(seed: int) -> list[list[int]]:
        torch.manual_seed(seed)
        return _frames(network.split(_numbered(64, clips=200))[0])

    frames = drawn(1)
    assert frames == drawn(1) != drawn(2)
    assert {each[0] for each in frames} == set(range(16))
    assert all(each == list(range(each[0], 64, 16)) for each in frames)
    assert _frames(network.split(_numbered(64))[1]) == [list(range(0, 64, 2))]


def test_a_clip_that_does_not_divide_is_refused() -> None:
    with pytest.raises(InputError, match=r"^a clip has 40 frames, this SlowFast needs a multiple of 16$"):
        alphaction_slowfast_r50_4x16(width=8)(torch.zeros(1, 3, 40, 32, 32))


def test_the_pool_has_no_padding_and_the_last_stage_keeps_the_resolution() -> None:
    network = alphaction_slowfast_r50_4x16(width=8).eval()
    with torch.no_grad():
        slow, fast = network(torch.zeros(1, 3, 16, 66, 98))
        # 66 x 98 pixels: the stem halves them, and a pool of 3 cells without padding drops the last one.
        assert network.slow_path.stem(torch.zeros(1, 3, 1, 66, 98)).shape[3:] == (16, 24)
    assert (slow.shape, fast.shape) == ((1, 256, 1, 4, 6), (1, 32, 8, 4, 6))
    assert (network.stride, network.out_channels) == (16, 288)


def test_norms_are_frozen_lateral_convolutions_have_a_bias_and_everything_else_trains() -> None:
    network = alphaction_slowfast_r50_4x16(width=8).train()
    assert not [each for each in network.modules() if isinstance(each, nn.BatchNorm3d)]
    before = {name: value.clone() for name, value in network.named_buffers()}
    clips = torch.randn(2, 3, 16, 64, 64)
    sum(each.mean() for each in network(clips)).backward()
    assert all(torch.equal(before[name], value) for name, value in network.named_buffers())
    assert all(each.grad is not None and each.grad.isfinite().all() for each in network.parameters())
    biases = [name for name, _ in network.named_parameters() if name.endswith("bias")]
    assert biases == [f"slow_path.{place}_lateral.conv.bias" for place in ("conv1", "layer1", "layer2", "layer3")]


def test_blocks_begin_as_their_shortcuts_and_learn_from_the_first_step_on() -> None:
    network = alphaction_slowfast_r50_4x16(width=16).train()
    block: Any = network.slow_path.layer2[1]
    x = torch.rand(1, 128, 2, 6, 6)
    assert torch.equal(block(x), x)
    sum(each.square().mean() for each in network(torch.randn(2, 3, 16, 64, 64))).backward()
    assert block.conv3.conv.weight.grad.abs().sum() > 0


def test_a_frozen_norm_shifts_and_scales_by_its_statistics() -> None:
    norm = FrozenNorm(2, eps=1e-5).train()
    norm.load_state_dict(
        {
            "weight": torch.tensor([2.0, 1]),
            "bias": torch.tensor([0.5, 0]),
            "running_mean": torch.tensor([1.0, -1]),
            "running_var": torch.tensor([4.0, 1]),
        }
    )
    x = torch.randn(3, 2, 1, 2, 2)
    expected = torch.stack([(x[:, 0] - 1) / (4 + 1e-5) ** 0.5 * 2 + 0.5, (x[:, 1] + 1) / (1 + 1e-5) ** 0.5], dim=1)
    assert torch.allclose(norm(x), expected, atol=1e-6)
    assert norm(x.bfloat16()).dtype == torch.bfloat16
    assert not list(norm.parameters())
