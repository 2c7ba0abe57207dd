import pytest
import torch

from benchmarks import plain_hiera
from pipeline.models.backbones.hiera import Hiera, HieraShape, hiera_b, hiera_tiny
from pipeline.models.backbones.transformer import Layered
from tests.interop.made_hiera import SMALL, weights

SHAPE = HieraShape(SMALL.blocks, SMALL.width, SMALL.heads, grid=(SMALL.rows, SMALL.columns), slices=SMALL.slices)
LANDSCAPE = plain_hiera.Sizes(SMALL.blocks, SMALL.width, SMALL.heads, SMALL.slices, SMALL.columns, SMALL.rows)


def network(*maps: int, shape: HieraShape = SHAPE) -> Hiera:
    torch.manual_seed(0)
    return Hiera(shape, maps=maps)


@pytest.fixture(scope="module")
def clip() -> torch.Tensor:
    return torch.randn(2, 3, 4, 64, 32, generator=torch.Generator().manual_seed(1))


def test_maps_are_normed_stages_at_the_resolution_of_the_first(clip: torch.Tensor) -> None:
    model, state = network(2, 4).eval(), weights(SMALL)
    model.load_state_dict({key: value for key, value in state.items() if not key.startswith("head.")})
    with torch.no_grad():
        second, fourth = model(clip)
    stages = plain_hiera.stages(state, SMALL, clip)
    torch.testing.assert_close(second, torch.layer_norm(stages[1], (16,), eps=1e-6).permute(0, 4, 1, 2, 3))
    assert fourth.shape == (2, 64, 2, 8, 4)
    normed = plain_hiera.norm(state, "norm", stages[3]).permute(0, 4, 1, 2, 3).flatten(1, 2)
    enlarged = torch.nn.functional.interpolate(normed, (8, 4), mode="bilinear", align_corners=False)
    torch.testing.assert_close(fourth.flatten(1, 2), enlarged)
    assert (model.stride, model.out_channels) == (8, 16 + 64)


def test_stages_behind_the_last_map_are_not_built() -> None:
    whole, part = network(4), network(2, 3)
    assert {key for key, _ in part.named_parameters()} < {key for key, _ in whole.named_parameters()}
    assert (part.layers, part.stride, part.out_channels, part.norm) == (4, 8, 16 + 32, None)
    assert (whole.layers, whole.stride, whole.out_channels) == (6, 32, 64)
    assert hiera_b(8).stride == 16


def test_a_portrait_clip_is_not_taken_for_a_landscape(clip: torch.Tensor) -> None:
    # As many tokens, in other rows and columns: the table is resized, and never read in its own order.
    model = network(4).eval()
    table = model.pos_embed_spatial.reshape(1, 16, 8, 8).permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(table, (8, 16), mode="bicubic", align_corners=False)
    state = dict(model.state_dict(), pos_embed_spatial=resized.flatten(2).transpose(1, 2))
    turned = clip.transpose(3, 4)
    with torch.no_grad():
        found = model.stages(turned, (4,))[4]
        torch.testing.assert_close(found, plain_hiera.stages(state, LANDSCAPE, turned)[3])
        state["pos_embed_spatial"] = model.pos_embed_spatial
        assert not torch.allclose(found, plain_hiera.stages(state, LANDSCAPE, turned)[3], atol=1e-3)


def test_other_sizes_are_padded_with_zeros_and_cut_off(clip: torch.Tensor) -> None:
    model = network(3).eval()
    padded = torch.nn.functional.pad(clip[..., :50, :20], (0, 12, 0, 14))
    with torch.no_grad():
        found, whole = model(clip[..., :50, :20])[0], model(padded)[0]
    assert found.shape == (2, 32, 2, 4, 2)
    assert torch.equal(found, whole[..., :4, :2])


def test_layers_are_the_blocks() -> None:
    model = network(4)
    assert isinstance(model, Layered)
    names = [name for name, _ in model.named_parameters()]
    found = {name[:8] if name.startswith("blocks") else name.split(".")[0]: model.layer_of(name) for name in names}
    assert found == {
        "pos_embed_spatial": 0, "pos_embed_temporal": 0, "patch_embed": 0, **{f"blocks.{i}": i + 1 for i in range(6)},
        "norm": 7,
    }  # fmt: skip


def test_a_clip_skips_blocks_in_training_alone(clip: torch.Tensor) -> None:
    model = network(4)
    plain = model(clip)[0]
    model.set_drop_path(0.5)
    assert [block.drop_path for block in model.blocks] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    torch.manual_seed(3)
    dropped = model(clip)[0]
    assert not torch.equal(dropped, plain)
    assert torch.equal(model.eval()(clip)[0], plain)


def test_blocks_that_are_computed_again_give_the_same_gradients(clip: torch.Tensor) -> None:
    model = network(2, 3)
    model.set_drop_path(0.3)
    found = []
    for recompute in (False, True):
        model.recompute = recompute
        model.zero_grad()
        torch.manual_seed(5)
        sum(each.square().mean() for each in model(clip)).backward()
        found.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_a_new_network_begins_as_upstreams() -> None:
    model = hiera_tiny()
    assert all((layer.bias == 0.02).all() for layer in model.modules() if isinstance(layer, torch.nn.Linear))
    assert float(model.pos_embed_spatial.detach().std()) == pytest.approx(0.02, rel=0.1)
    assert (model.stride, model.out_channels) == (8, 64 + 128)
