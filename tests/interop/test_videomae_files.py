"""Files of VideoMAE in every layout, made here with small random weights, become the same network."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.checkpoint.weights import load_into, save_tensors
from pipeline.interop.convert_checkpoint import Converted, DetectorSettings, convert
from pipeline.interop.frameworks import recognise_checkpoint
from pipeline.interop.mmaction2 import our_key, upstream_key
from pipeline.interop.videomae_files import LICENCE
from pipeline.models.backbones.videomae import VideoMae
from pipeline.models.build import build_backbone
from pipeline.models.settings import Labels, RoiSettings
from pipeline.video.clip_input import ClipInput
from tests.interop.small_models import filled

WIDTH = 16
State = dict[str, Tensor]
UNTRAINED = "the final norm, which the file lacks, is untrained: scale 1, shift 0"
POOLED = "fc_norm, of the classifier's mean over tokens, is left out, and "
MADE = "the position table of 1568 places, which the file lacks, is the fixed one"
HEADS = "attention heads 1, clips of 16 frames, as videomae_b"


@pytest.fixture(scope="module")
def model() -> VideoMae:
    """ViT-B of width 16, with the fixed position table."""
    network = build_backbone("videomae_b", width=WIDTH)
    table = network.state_dict()["pos_embed"].clone()
    filled(network)
    network.load_state_dict({**network.state_dict(), "pos_embed": table})
    assert isinstance(network, VideoMae)
    return network.eval()


def original(model: VideoMae, prefix: str = "", *, classifier: bool = False) -> State:
    """The layout of MCG-NJU/VideoMAE, written out by hand; a classifier has `fc_norm` and no `norm`."""
    found = {}
    for key, value in model.state_dict().items():
        name = key.replace("patch_embed.projection", "patch_embed.proj")
        if key != "pos_embed":
            found[prefix + (f"fc_{name}" if classifier and name.startswith("norm.") else name)] = value
    return found | ({"head.weight": torch.zeros(3, WIDTH), "head.bias": torch.zeros(3)} if classifier else {})


def transformers(model: VideoMae, prefix: str = "videomae.") -> State:
    """The layout of transformers, written out by hand."""
    found = {}
    for key, value in model.state_dict().items():
        place, parts = "", key.split(".")
        if parts[0] == "blocks":
            place = f"encoder.layer.{parts[1]}."
        rest = ".".join(parts[2:]) if place else key
        if rest == "attn.qkv.weight":
            for part, name in zip(value.split(WIDTH), ("query", "key", "value"), strict=True):
                found[f"{prefix}{place}attention.attention.{name}.weight"] = part
            continue
        for ours, theirs in (
            ("patch_embed.projection", "embeddings.patch_embeddings.projection"), ("norm1", "layernorm_before"),
            ("norm2", "layernorm_after"), ("norm", "layernorm"), ("attn.q_bias", "attention.attention.q_bias"),
            ("attn.v_bias", "attention.attention.v_bias"), ("attn.proj", "attention.output.dense"),
            ("mlp.fc1", "intermediate.dense"), ("mlp.fc2", "output.dense"),
        ):  # fmt: skip
            if rest == ours or rest.startswith(f"{ours}."):
                found[f"{prefix}{place}{theirs}{rest.removeprefix(ours)}"] = value
                break
    return found


def mmaction2(model: VideoMae, *, columns: int = 5) -> State:
    found = {upstream_key(f"backbone.{key}") or "": value for key, value in model.state_dict().items()}
    last = "roi_head.bbox_head.fc_cls"
    return found | {f"{last}.weight": torch.randn(columns, WIDTH), f"{last}.bias": torch.randn(columns)}


def save(folder: Path, value: Any, name: str = "x.pth") -> Path:
    torch.save(value, folder / name)
    return folder / name


def converted(path: Path, **kwargs: Any) -> Converted:
    settings = DetectorSettings(
        input=ClipInput(frames=16, interval=4, short_side=64, mean=(1, 2, 3), std=(4, 5, 6)),
        roi=RoiSettings(),
        labels=Labels(),
        dropout=0.5,
    )
    return convert(recognise_checkpoint(path), lambda name: settings, **kwargs)


def same_network(found: Converted, model: VideoMae, **changed: Tensor) -> None:
    tensors = found.tensors
    expected = {**model.state_dict(), **changed}
    assert tensors.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(tensors[key], value), key
    load_into(build_backbone("videomae_b", width=WIDTH), tensors, "converted")


def untrained() -> State:
    return {"norm.weight": torch.ones(WIDTH), "norm.bias": torch.zeros(WIDTH)}


@pytest.mark.parametrize(("around", "prefix"), [("model", ""), ("module", ""), ("model", "backbone."), ("", "")])
def test_a_fine_tuned_file_of_the_original(tmp_path: Path, model: VideoMae, around: str, prefix: str) -> None:
    state = original(model, prefix, classifier=True)
    if prefix:
        state = {key: value for key, value in state.items() if not key.startswith("head.")}
    found = converted(save(tmp_path, {around: state, "epoch": 3} if around else state))
    same_network(found, model, **untrained())
    assert found.notes == [POOLED + UNTRAINED, MADE, LICENCE, HEADS]
    assert set(found.report.made) == {"backbone.norm.weight", "backbone.norm.bias", "backbone.pos_embed"}
    dropped = {f"{prefix}fc_norm.weight", f"{prefix}fc_norm.bias"}
    dropped |= {"epoch"} if around else set()
    assert set(found.report.dropped) == dropped | (set() if prefix else {"head.weight", "head.bias"})
    assert not {"pos_embed", "norm.weight"} & set(found.report.loaded)


def test_a_pre_trained_file_of_the_original_leaves_its_decoder(tmp_path: Path, model: VideoMae) -> None:
    more = {
        "decoder.norm.weight": torch.ones(4),
        "mask_token": torch.zeros(1, 1, 4),
        "encoder_to_decoder.weight": model.norm.weight,
    }
    path = save(tmp_path, {"model": original(model, "encoder.") | more})
    assert recognise_checkpoint(path).described == "VideoMAE backbone"
    found = converted(path)
    same_network(found, model)
    decoder = (
        "3 keys of the pre-training's decoder are left out (decoder.norm.weight, mask_token, encoder_to_decoder.weight)"
    )
    assert found.notes == [decoder, MADE, LICENCE, HEADS]
    assert set(found.report.dropped) == set(more)


def test_files_of_transformers(tmp_path: Path, model: VideoMae) -> None:
    state = transformers(model)
    classifier = {key: value for key, value in state.items() if not key.startswith("videomae.layernorm.")}
    classifier |= {"fc_norm.weight": torch.ones(WIDTH), "classifier.weight": torch.zeros(3, WIDTH)}
    together = "queries, keys and values of 12 blocks are put together, in this order"
    epsilon = "norms have epsilon 1e-06, as VideoMAE was trained; the configuration of transformers has 1e-12"
    path = tmp_path / "model.safetensors"
    save_tensors(path, state)
    assert recognise_checkpoint(path).described == "transformers VideoMAE backbone"
    found = converted(path)
    same_network(found, model)
    assert found.notes == [together, epsilon, MADE, LICENCE, HEADS]
    same_network(converted(save(tmp_path, transformers(model, ""), "pytorch_model.bin")), model)
    found = converted(save(tmp_path, classifier, "pytorch_model.bin"))
    same_network(found, model, **untrained())
    assert found.notes == [together, epsilon, POOLED + UNTRAINED, MADE, LICENCE, HEADS]
    assert set(found.report.dropped) == {"fc_norm.weight", "classifier.weight"}


def test_a_detector_of_mmaction2(tmp_path: Path, model: VideoMae) -> None:
    state = mmaction2(model)
    path = save(tmp_path, {"state_dict": state, "meta": {"mmengine_version": "0.7"}})
    assert recognise_checkpoint(path).described == "MMAction2 1.x detector"
    found = converted(path)
    assert found.notes[:3] == ["the position table of the file is the fixed one", LICENCE, HEADS]
    assert torch.equal(found.tensors["head.classifier.weight"], state["roi_head.bbox_head.fc_cls.weight"][1:])
    for key, value in model.state_dict().items():
        assert torch.equal(found.tensors[f"backbone.{key}"], value)
    assert not found.report.made
    assert all(upstream_key(our_key(key) or "") == key for key in state)


def test_a_classifier_of_mmaction2_has_no_final_norm(tmp_path: Path, model: VideoMae) -> None:
    state = {key.replace("backbone.norm.", "backbone.fc_norm."): value for key, value in mmaction2(model).items()}
    state = {key.replace("roi_head.bbox_head", "cls_head"): value for key, value in state.items()}
    table = "the position table of the file is up to 1 off the fixed one, and kept as it is"
    found = converted(save(tmp_path, {"state_dict": state}))
    same_network(found, model, **untrained())
    assert found.notes == [POOLED + UNTRAINED, "the position table of the file is the fixed one", LICENCE, HEADS]
    state["backbone.pos_embed"] = state["backbone.pos_embed"] + 1
    assert table in converted(save(tmp_path, {"state_dict": state})).notes


def test_keys_may_have_a_bias_of_zeros_and_no_other(tmp_path: Path, model: VideoMae) -> None:
    state, full = original(model), {}
    for key, value in state.items():
        if key.endswith("q_bias"):
            stem = key.removesuffix("q_bias")
            full[f"{stem}qkv.bias"] = torch.cat([value, torch.zeros(WIDTH), state[f"{stem}v_bias"]])
    whole = {key: value for key, value in state.items() if not key.endswith(("q_bias", "v_bias"))} | full
    found = converted(save(tmp_path, {"model": whole}))
    same_network(found, model)
    assert "the bias of the keys, which is 0, is left out" in found.notes
    whole["blocks.3.attn.qkv.bias"] = whole["blocks.3.attn.qkv.bias"] + 0.5
    with pytest.raises(
        InputError, match=r"x\.pth: blocks\.3\.attn\.qkv\.bias: the keys have a bias of up to 0\.5, expe"
    ):
        recognise_checkpoint(save(tmp_path, {"model": whole}))
    theirs = transformers(model)
    place = "videomae.encoder.layer.0.attention.attention"
    theirs |= {f"{place}.{part}.bias": theirs.pop(f"{place}.{part[0]}_bias") for part in ("query", "value")}
    same_network(converted(save(tmp_path, theirs | {f"{place}.key.bias": torch.zeros(WIDTH)})), model)
    with pytest.raises(
        InputError, match=r"attention\.key\.bias: the keys have a bias of up to 2, expected 0: VideoMAE"
    ):
        recognise_checkpoint(save(tmp_path, theirs | {f"{place}.key.bias": torch.full((WIDTH,), 2.0)}))


def test_other_transformers_are_refused(tmp_path: Path, model: VideoMae) -> None:
    def refusal(state: State) -> str:
        with pytest.raises(InputError) as error:
            converted(save(tmp_path, {"model": state}))
        return str(error.value)

    timm = original(model) | {"patch_embed.proj.weight": torch.zeros(WIDTH, 3, 16, 16)}
    pictures = f"{tmp_path}/x.pth: a vision transformer of pictures, and not VideoMAE: "
    assert refusal(timm) == f"{pictures}patch_embed.proj.weight has 4 axes, expected 5"
    assert refusal(original(model) | {"cls_token": torch.zeros(1)}) == f"{pictures}it has cls_token"
    table = torch.zeros(1, 784, WIDTH)
    message = "pos_embed: shape is (1, 784, 16), expected (1, 1568, 16) for backbone.pos_embed"
    assert message in refusal(original(model) | {"pos_embed": table})
    assert "pos_embed: shape is (784, 16), expected (1, places, channels)" in refusal(
        original(model) | {"pos_embed": table[0]}
    )
    huge = {key: value for key, value in original(model).items() if "blocks.11." not in key}
    assert "the weights are not those of the nearest backbone videomae_b: state dict does not fit" in refusal(huge)
    headless = transformers(model)
    del headless["videomae.encoder.layer.2.attention.attention.key.weight"]
    assert refusal(headless).endswith(
        "attention.key.weight is missing: a block of VideoMAE has queries, keys and values"
    )


@pytest.mark.slow
def test_transformers_itself_computes_the_same(tmp_path: Path) -> None:
    library = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = library.VideoMAEConfig(
        hidden_size=64, num_attention_heads=1, intermediate_size=256, use_mean_pooling=False, layer_norm_eps=1e-6
    )
    theirs = library.VideoMAEModel(config).eval()
    for value in theirs.parameters():
        torch.nn.init.normal_(value, std=0.1)
    theirs.save_pretrained(tmp_path)
    found = converted(tmp_path / "model.safetensors")
    ours = build_backbone("videomae_b", width=64).eval()
    load_into(ours, found.tensors, "converted")
    clip = torch.randn(1, 3, 16, 224, 224)
    with torch.no_grad():
        expected = theirs(clip.transpose(1, 2)).last_hidden_state
        (feature_map,) = ours(clip)
    torch.testing.assert_close(feature_map.flatten(2).transpose(1, 2), expected, rtol=1e-4, atol=1e-4)
