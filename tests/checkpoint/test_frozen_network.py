"""Frozen networks of the real library: what it does with tokens, sizes and types, and what is made of it."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.base.errors import InputError
from pipeline.checkpoint import frozen_network
from pipeline.checkpoint.frozen_network import load_network, read_network
from pipeline.checkpoint.import_network import import_network
from pipeline.models.backbones.token_map import ModelType
from tests.checkpoint.networks import make_folder
from tests.checkpoint.test_import_network import CLIP

KINDS: tuple[ModelType, ...] = ("videomae", "vjepa2", "timesformer")
CLIPS = torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))


def test_without_the_package_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr("importlib.import_module", absent)
    with pytest.raises(InputError) as error:
        frozen_network.library()
    assert str(error.value) == (
        "backbone transformers needs the package transformers; `./run uv pip install -e '.[transformers]'` installs it"
    )


def test_a_network_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "backbone.safetensors"
    with pytest.raises(InputError) as error:
        load_network(path, CLIP)
    assert str(error.value) == (
        f"{path}: no such file, and the checkpoint reads a frozen network that it does not hold; dvc pull or dvc repro "
        "import_backbone brings it"
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_map_is_the_tokens_of_the_library(kind: ModelType, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    model = make_folder(tmp_path / "made", kind)
    to = tmp_path / "backbone.safetensors"
    told = import_network(tmp_path / "made", CLIP, to)
    assert told.startswith(f"{kind} of made, 24 channels, transformers ")
    with torch.no_grad():
        tokens = model(CLIPS.transpose(1, 2)).last_hidden_state
    backbone = load_network(to, CLIP, read_network(to).spec)
    (found,) = backbone(CLIPS)
    times = 4 if kind == "timesformer" else 2
    assert found.shape == (2, 24, times, 4, 4)
    for t in range(times):
        for y in range(4):
            for x in range(4):
                token = 1 + (y * 4 + x) * 4 + t if kind == "timesformer" else (t * 4 + y) * 4 + x
                assert torch.equal(found[:, :, t, y, x], tokens[:, token])
    # A token answers first of all to its own pixels, which the order that is taken above must agree with.
    moved = CLIPS.clone()
    moved[:, :, :2, 24:, 8:16] += 3
    change = (backbone(moved)[0] - found).norm(dim=1)[0]
    where = divmod(int(change[0].argmax()), 4)
    assert where == (3, 1)
    assert change[0].max() > change[-1].max()
    state = load_file(to)
    assert not any("predictor" in name or "class_token" in name for name in state)
    again = tmp_path / "again.safetensors"
    import_network(tmp_path / "made", CLIP, again)
    assert again.read_bytes() == to.read_bytes()
    with pytest.raises(InputError, match=f"^{re.escape(str(to))}: is FrozenSpec.* and the checkpoint was trained with"):
        load_network(to, CLIP, replace(read_network(to).spec, folder="other"))


@pytest.mark.slow
def test_positions_of_other_sizes(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    # V-JEPA 2 counts its positions by the crop size that it was told, whatever it is shown.
    model = make_folder(tmp_path / "vjepa2", "vjepa2")
    small = CLIPS[..., :16, :16]
    told = transformers.VJEPA2Model.from_pretrained(tmp_path / "vjepa2", crop_size=16).eval()
    with torch.no_grad():
        plain, right = (each.encoder(small.transpose(1, 2)).last_hidden_state for each in (model, told))
    assert not torch.allclose(plain, right, atol=1e-3)
    to = tmp_path / "backbone.safetensors"
    square = replace(CLIP, short_side=16)
    import_network(tmp_path / "vjepa2", square, to)
    (found,) = load_network(to, square)(small)
    torch.testing.assert_close(found.flatten(2).transpose(1, 2), right)
    with pytest.raises(InputError, match=r"clips of 32x16 pixels, expected 16x16"):
        load_network(to, square)(CLIPS[..., :16, :])
    # TimeSformer takes twice the frames, and mixes times with places: the same weights told of 8 frames differ.
    model = make_folder(tmp_path / "timesformer", "timesformer")
    longer = CLIPS.repeat_interleave(2, dim=2)
    told = transformers.TimesformerModel.from_pretrained(tmp_path / "timesformer").eval()
    times = model.embeddings.time_embeddings.detach().repeat_interleave(2, dim=1)
    told.embeddings.time_embeddings = torch.nn.Parameter(times)
    told.config.num_frames = 8
    with torch.no_grad():
        plain, right = (each(longer.transpose(1, 2)).last_hidden_state for each in (model, told))
    assert plain.shape == right.shape
    assert not torch.allclose(plain, right, atol=1e-3)
    with pytest.raises(InputError) as error:
        import_network(tmp_path / "timesformer", replace(CLIP, frames=8), to)
    assert str(error.value) == (
        "backbone.input: the timesformer of backbone.folder cannot take it: 8 frames, expected 4"
    )


@pytest.mark.slow
def test_weights_are_whole_and_in_float32(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    model = make_folder(tmp_path / "made", "videomae")
    model.half().save_pretrained(tmp_path / "half")
    to = tmp_path / "backbone.safetensors"
    import_network(tmp_path / "half", CLIP, to)
    assert {each.dtype for each in load_file(to).values()} == {torch.float32}
    file = tmp_path / "made/model.safetensors"
    state = load_file(file)
    lost = next(name for name in state if "layer.1" in name and name.endswith("weight"))
    save_file({name: value for name, value in state.items() if name != lost}, file, {"format": "pt"})
    with pytest.raises(
        InputError, match=f"^{re.escape(str(file))}: lacks 1 weights of a videomae \\(the first: .*layer"
    ):
        import_network(tmp_path / "made", CLIP, to)
    file.write_bytes(b"no tensors")
    with pytest.raises(InputError, match=f"^{re.escape(str(file))}: cannot be read as a videomae: "):
        import_network(tmp_path / "made", CLIP, to)
    config = tmp_path / "made/config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "patch_size": [8, 8]}))
    with pytest.raises(InputError) as error:
        import_network(tmp_path / "made", CLIP, to)
    assert str(error.value) == f"{config}: patch_size is [8, 8] and image_size 32, expected whole numbers"
    make_folder(tmp_path / "space", "timesformer", attention_type="space_only")
    with pytest.raises(InputError, match=r"config\.json: attention_type is space_only, which has no tokens of times"):
        import_network(tmp_path / "space", CLIP, to)
