"""What the network promises; that it computes upstream's tensors, tests/interop/test_videomae_fixture.py tests."""

import re
from collections.abc import Callable

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.base.numerics import compute_precision
from pipeline.models.backbones.videomae import KEPT_GRIDS, VideoMae, videomae_b, videomae_l, videomae_tiny
from pipeline.models.build import build_backbone, build_detector, parameter_count
from tests.interop.plain_videomae import SMALL, positions


def small() -> VideoMae:
    torch.manual_seed(0)
    return VideoMae(width=24, depth=3, heads=3, frames=6, patch=(2, 16, 16), grid=(5, 5), mlp_ratio=2)


def clip(*size: int) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("built", "parameters", "channels", "layers"),
    [(videomae_b, 86_227_200, 768, 12), (videomae_l, 303_860_736, 1024, 24), (videomae_tiny, 520_992, 96, 4)],
)
def test_sizes_are_the_published_ones(
    built: Callable[[], VideoMae], parameters: int, channels: int, layers: int
) -> None:
    with torch.device("meta"):
        network = built()
    assert (parameter_count(network), network.out_channels, network.layers) == (parameters, channels, layers)
    assert [network.heads, network.norm.eps] == [max(channels // (24 if layers == 4 else 64), 1), 1e-6]


def test_sides_are_rounded_down_and_the_rest_is_not_seen() -> None:
    network = small().eval()
    wide = clip(2, 3, 6, 70, 85)
    with torch.no_grad():
        (found,) = network(wide)
        (cut,) = network(wide[..., :64, :80])
    assert found.shape == (2, 24, 3, 4, 5)
    assert torch.equal(found, cut)


def test_a_transposed_clip_is_another_one() -> None:
    network = small().eval()
    with torch.no_grad():
        assert network(clip(1, 3, 6, 48, 80))[0].shape[3:] == (3, 5)
        assert network(clip(1, 3, 6, 80, 48))[0].shape[3:] == (5, 3)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (
            (1, 3, 8, 80, 80),
            "a clip has 8 frames, this transformer needs 6: its position table is of 3 slices of 2 frames, and time is "
            "not resized",
        ),
        ((1, 3, 6, 80, 15), "a clip is 15x80 pixels, expected at least 16 each way"),
    ],
)
def test_a_clip_that_does_not_fit_is_refused(size: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        small()(torch.zeros(size))


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(InputError, match=r"^a transformer's width is 200, expected an even multiple of its 3 heads$"):
        build_backbone("videomae_b", width=200)


def test_the_table_is_resized_once_for_each_grid_and_anew_when_it_changes() -> None:
    network = small()
    first = network.positions(4, 5)
    assert network.positions(4, 5) is first
    torch.testing.assert_close(first[0].double(), positions(SMALL, 4, 5), rtol=0, atol=2e-6)
    assert network.positions(5, 5) is network.pos_embed
    with torch.no_grad():
        network.pos_embed.mul_(2)
    torch.testing.assert_close(network.positions(4, 5), 2 * first)
    for rows in range(1, 2 * KEPT_GRIDS):
        network.positions(rows, 3)
    assert len(network._tables) <= KEPT_GRIDS
    assert not dict(network.named_parameters()).keys() & {"pos_embed"}


def test_layers_are_counted_from_the_patches_to_the_last_block() -> None:
    network = small()
    names = [name for name, _ in network.named_parameters()]
    assert {network.layer_of(name) for name in names if name.startswith("patch_embed")} == {0}
    assert {network.layer_of(name) for name in names if name.startswith("blocks.2.")} == {3}
    assert {network.layer_of(name) for name in names if name.startswith("norm.")} == {4}
    assert network.layers == 3


def test_drop_path_acts_in_training_alone_and_recomputing_changes_no_bit() -> None:
    network, x = small(), clip(4, 3, 6, 32, 48)
    kept = network.eval()(x)[0]
    network.set_drop_path(0.5)
    assert [block.drop_path for block in network.blocks] == [0.0, 0.25, 0.5]
    assert torch.equal(network(x)[0], kept)
    found = []
    for recompute in (False, True):
        network.train().recompute = recompute
        network.zero_grad()
        torch.manual_seed(3)
        network(x)[0].square().mean().backward()
        found.append([each.grad for each in network.parameters()])
    assert all(torch.equal(kept, again) for kept, again in zip(*found, strict=True))
    torch.manual_seed(3)
    assert not torch.equal(network(x)[0], kept)


def test_half_precision_and_memory_format_change_only_roundings() -> None:
    network, x = small().eval(), clip(2, 3, 6, 48, 80)
    with torch.no_grad():
        (exact,) = network(x)
        with compute_precision(torch.device("cpu"), "bf16"):
            (half,) = network(x)
        (other,) = network.to(memory_format=torch.channels_last_3d)(x)
    torch.testing.assert_close(half.float(), exact, rtol=0, atol=0.1)
    torch.testing.assert_close(other, exact, rtol=1e-4, atol=1e-5)


def test_a_detector_on_it_has_features_and_gradients() -> None:
    torch.manual_seed(0)
    detector = build_detector("videomae_tiny", width=24, classes=3)
    boxes, index = torch.tensor([[0.0, 0, 40, 60], [9, 9, 80, 64]]), torch.tensor([0, 1])
    clips = clip(2, 3, 4, 64, 85)
    assert detector.features(clips, boxes, index).shape == (2, 24)
    detector(clips, boxes, index).sum().backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in detector.parameters())


@pytest.mark.slow  # PyTorch's compiler
def test_it_compiles_with_a_resized_table() -> None:
    network, x = small().eval(), clip(2, 3, 6, 48, 85)
    with torch.no_grad():
        (expected,) = network(x)
        network.compile()
        torch.testing.assert_close(network(x)[0], expected, rtol=1e-4, atol=1e-5)
