from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.plain_hiera import Sizes
from pipeline.base.errors import InputError
from pipeline.checkpoint.load_backbone import load_backbone
from pipeline.checkpoint.weights import save_checkpoint
from pipeline.interop.convert_checkpoint import Converted, convert
from pipeline.interop.frameworks import recognise_checkpoint
from pipeline.interop.hiera_weights import LICENCE
from pipeline.models.build import build_backbone
from tests.interop.made_hiera import weights
from tests.interop.test_convert_checkpoint import save

BASE = Sizes((2, 3, 16, 3), 8, 1, 8, 56, 56)
HEAD = ("head.projection.weight", "head.projection.bias")
HEADS = "the number of heads is taken as that of hiera_b"


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return weights(BASE)


def converted(folder: Path, state: dict[str, Any], **around: Any) -> Converted:
    foreign = recognise_checkpoint(save(folder, {"model_state": state, **around}))
    return convert(foreign, lambda backbone: pytest.fail("no detector"), backbone="hiera_b")


def test_a_classifier_gives_its_backbone_as_it_is(tmp_path: Path, state: dict[str, Tensor]) -> None:
    foreign = recognise_checkpoint(save(tmp_path, {"model_state": state, "epoch": 3}))
    assert (foreign.described, foreign.kind) == ("Hiera classifier", "classifier")
    found = converted(tmp_path, state, epoch=3)
    assert found.notes == [LICENCE, HEADS]
    assert "CC BY-NC 4.0" in LICENCE
    assert found.report.dropped == (*HEAD, "epoch")
    assert found.checkpoint.to_json() == {"kind": "backbone", "backbone": "hiera_b", "width": 8}
    save_checkpoint(tmp_path / "k.safetensors", found.tensors, found.checkpoint)
    network = build_backbone("hiera_b", width=8)
    load_backbone(network, str(tmp_path / "k.safetensors"))
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_a_masked_autoencoder_gives_its_encoder(tmp_path: Path, state: dict[str, Tensor]) -> None:
    encoder = {key: value for key, value in state.items() if not key.startswith(("norm.", "head."))}
    others = ["encoder_norm.weight", "mask_token", "decoder_embed.weight", "decoder_blocks.0.norm1.weight",
              "multi_scale_fusion_heads.0.weight"]  # fmt: skip
    found = converted(tmp_path, encoder | {key: torch.ones(3) for key in others})
    assert found.notes == [
        LICENCE, "5 tensors are left out: the decoder of a masked autoencoder and what belongs to it",
        "the pre-training has no final norm: it begins with scale 1 and shift 0", HEADS,
    ]  # fmt: skip
    assert found.report.dropped == tuple(others)
    assert found.report.made == ("backbone.norm.weight", "backbone.norm.bias")
    assert float(found.tensors["norm.weight"].sum()) == 64
    assert recognise_checkpoint(tmp_path / "x.pth").described == "Hiera masked autoencoder"


def test_tables_of_another_size_are_resized(tmp_path: Path, state: dict[str, Tensor]) -> None:
    other = weights(replace(BASE, rows=28, columns=28, slices=4))
    found = converted(tmp_path, state | {key: other[key] for key in other if key.startswith("pos_embed")})
    assert found.notes == [
        LICENCE, "pos_embed_spatial is resized from 28x28 to 56x56 cells, bicubically",
        "pos_embed_temporal is resized from 4 to 8 time slices, linearly", HEADS,
    ]  # fmt: skip
    grid = other["pos_embed_spatial"].reshape(1, 28, 28, 8).permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(grid, (56, 56), mode="bicubic", align_corners=False)
    assert torch.equal(found.tensors["pos_embed_spatial"], resized.flatten(2).transpose(1, 2))
    times = found.tensors["pos_embed_temporal"][0]
    second, third = other["pos_embed_temporal"][0, 1:3]
    torch.testing.assert_close(times[3], 0.75 * second + 0.25 * third)


@pytest.mark.parametrize(
    ("key", "shape", "message"),
    [
        ("pos_embed_spatial", (1, 384, 8), "pos_embed_spatial: 384 positions, expected those of a square clip, as "
                                           "19x19: weights do not show the rows and columns of another grid"),
        ("pos_embed_temporal", (8, 8), r"pos_embed_temporal: shape is \(8, 8\), expected \(1, positions, channels\)"),
    ],
)  # fmt: skip
def test_tables_of_an_unknown_shape_are_refused(
    tmp_path: Path, state: dict[str, Tensor], key: str, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(InputError, match=rf"^\S*x\.pth: {message}$"):
        converted(tmp_path, state | {key: torch.zeros(shape)})


def test_shapes_tell_the_network_at_its_published_width_alone(tmp_path: Path, state: dict[str, Tensor]) -> None:
    foreign = recognise_checkpoint(save(tmp_path, {"model_state": state}))
    message = r"^the weights fit hiera_b, hiera_bplus alike; say which with --set backbone=NAME$"
    with pytest.raises(InputError, match=message):
        convert(foreign, lambda backbone: pytest.fail("no detector"))
    for name in ("hiera_b", "hiera_bplus", "hiera_h"):
        with torch.device("meta"):
            tensors = dict(build_backbone(name).state_dict())
        published = replace(foreign, tensors=tensors, head="", kind="backbone")
        found = convert(published, lambda backbone: pytest.fail("no detector"))
        assert found.notes == [LICENCE, f"the number of heads is taken as that of {name}"]
