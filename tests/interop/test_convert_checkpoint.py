"""What every kind of foreign file becomes: recognised, matched, and with the arithmetic it had."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.checkpoint.build_baseline import build_baseline
from pipeline.checkpoint.build_scope import build_scope_detector
from pipeline.checkpoint.load_backbone import load_backbone
from pipeline.checkpoint.specs import HeadSpec
from pipeline.checkpoint.weights import load_into, save_checkpoint, save_tensors
from pipeline.interop.convert_checkpoint import Converted, DetectorSettings, convert
from pipeline.interop.export import export_mmaction2
from pipeline.interop.foreign_checkpoint import Foreign
from pipeline.interop.frameworks import recognise_checkpoint
from pipeline.models.build import build_backbone
from pipeline.models.detector import Detector
from pipeline.models.settings import Labels, WindowSettings
from tests.checkpoint.sidecars import head_checkpoint
from tests.interop.small_models import (
    CLIP_INPUT,
    WIDTH,
    alphaction_state,
    caffe2_blobs,
    checkpoint_of,
    interacting,
    logits,
    pyslowfast_state,
    small_detector,
    write_pickle,
)


def settings(model: Detector, *heads: str, **changes: Any) -> DetectorSettings:
    given = {"input": CLIP_INPUT, "labels": Labels(), "dropout": 0.5, "heads": heads}
    return DetectorSettings(**{"roi": model.roi, **given, **changes})


def converted(foreign: Foreign, model: Detector, *heads: str, changes: Any = None, **kwargs: Any) -> Converted:
    return convert(foreign, lambda backbone: settings(model, *heads, **(changes or {})), **kwargs)


def upstream(model: Detector, backbone: str, head: str = "linear") -> dict[str, Any]:
    return export_mmaction2(model.state_dict(), checkpoint_of(model, backbone, head, False))[0]


def save(folder: Path, value: Any, name: str = "x.pth") -> Path:
    torch.save(value, folder / name)
    return folder / name


def same_logits(found: Converted, model: Detector, **inputs: int) -> None:
    spec = found.checkpoint.spec
    again = build_scope_detector(spec) if isinstance(spec, HeadSpec) else build_baseline(found.checkpoint.detector())
    load_into(again, found.tensors, "converted")
    torch.testing.assert_close(logits(again.eval(), **inputs), logits(model, **inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("around", "described"),
    [
        ({"meta": {"mmengine_version": "0.10.7"}}, "MMAction2 1.x detector"),
        ({"meta": {"mmcv_version": "1.3.0", "config": "model = ..."}}, "MMAction2 0.x detector"),
        ({"message_hub": {}}, "MMAction2 1.x detector"),
        ({}, "MMAction2 detector"),
    ],
)
def test_a_detector_of_mmaction2_is_one_of_ours(tmp_path: Path, around: Any, described: str) -> None:
    model = small_detector("slowfast_r50_8x8", "linear", "global")
    state = upstream(model, "slowfast_r50_8x8")["state_dict"]
    state = {f"module.{key}": value for key, value in state.items()} | {"data_preprocessor.mean": torch.zeros(3)}
    foreign = recognise_checkpoint(save(tmp_path, {"state_dict": state, **around}))
    assert foreign.described == described
    found = converted(foreign, model)
    if not around:  # what stands around the weights does not change them
        same_logits(found, model)
    assert found.report.dropped == ("data_preprocessor.mean",)
    assert "4 classes, multi-label; row 0 of the classifier, the background, is dropped" in found.notes
    assert "alpha 4 and slow frames by stride, likewise" in found.notes


def test_heads_that_read_a_bank_become_detectors_of_scope_all(tmp_path: Path) -> None:
    for head in ("lfb_nl", "lfb_max"):
        model = small_detector("slowonly_r50", head)
        foreign = recognise_checkpoint(save(tmp_path, upstream(model, "slowonly_r50", head)))
        found = converted(foreign, model, "linear", head)
        sidecar = found.checkpoint.to_json()
        assert sidecar["scope"] == "all"
        assert sidecar["head"]["window"] == {"seconds": 60, "per_second": 5, "mask": "none", "score": 0.9}
        assert "the bank it was trained with is not known: evaluate it with bank.allow_mixed=true" in found.notes
        same_logits(found, model)


def test_a_classifier_gives_a_backbone_to_start_from(tmp_path: Path) -> None:
    model = small_detector("slowonly_r50", "linear")
    state = {key: value for key, value in upstream(model, "slowonly_r50")["state_dict"].items() if "backbone" in key}
    state |= {"cls_head.fc_cls.weight": torch.zeros(400, 256), "cls_head.fc_cls.bias": torch.zeros(400)}
    foreign = recognise_checkpoint(save(tmp_path, {"state_dict": state, "meta": {}}))
    assert foreign.described == "MMAction2 classifier"
    found = converted(foreign, model)
    assert found.checkpoint.to_json() == {"kind": "backbone", "backbone": "slowonly_r50", "width": WIDTH}
    assert found.report.dropped == ("cls_head.fc_cls.weight", "cls_head.fc_cls.bias")
    save_checkpoint(tmp_path / "k.safetensors", found.tensors, found.checkpoint)
    network = build_backbone("slowonly_r50", width=WIDTH)
    load_backbone(network, str(tmp_path / "k.safetensors"))
    key = "layer4.0.conv1.conv.weight"
    assert torch.equal(network.state_dict()[key], model.backbone.state_dict()[key])


@pytest.mark.parametrize("backbone", ["pyslowfast_slow_r50", "pyslowfast_slowfast_r50_8x8"])
@pytest.mark.parametrize("form", ["pyth", "caffe2", "caffe2 flat", "caffe2 folded"])
def test_pyslowfasts_files_have_the_arithmetic_they_had(tmp_path: Path, backbone: str, form: str) -> None:
    model = small_detector(backbone, "linear", output_size=7, aligned=False)
    if "folded" in form:
        state = model.state_dict()
        for key in state:
            if key.endswith("running_mean"):
                state[key].zero_()
            elif key.endswith("running_var"):
                state[key].fill_(1 - 1e-5)
    state = pyslowfast_state(model)
    if form == "pyth":
        path = save(tmp_path, {"epoch": 3, "model_state": state, "cfg": "DETECTION:\n  ENABLE: true\n"})
    else:
        path = write_pickle(tmp_path / "x.pkl", caffe2_blobs(state, folded="folded" in form), flat="flat" in form)
    foreign = recognise_checkpoint(path, taken_as=None if form == "pyth" else "detector")
    assert foreign.described == f"PySlowFast {'' if form == 'pyth' else '(Caffe2) '}detector"
    found = converted(foreign, model)
    assert found.checkpoint.to_json()["backbone"] == backbone
    assert found.report.missing == found.report.unexpected == ()
    assert {key.rsplit(".", 1)[1] for key in found.report.made} == (
        set() if form == "pyth" else {"num_batches_tracked", "running_mean", "running_var"}
        if "folded" in form else {"num_batches_tracked"}
    )  # fmt: skip
    same_logits(found, model)


def test_weights_of_too_few_sides_are_refused(tmp_path: Path) -> None:
    model = small_detector("slowonly_r50", "lfb_nl")
    state = upstream(model, "slowonly_r50", "lfb_nl")["state_dict"]
    flat = {"roi_head.shared_head.fbo.lt_feat_conv.weight": torch.zeros(3)}
    assert refused(recognise_checkpoint(save(tmp_path, {"state_dict": {**state, **flat}})), model) == (
        "head.shared.project_bank.weight: shape is (3,), expected two sides"
    )
    flat = {"roi_head.bbox_head.fc_cls.weight": torch.tensor(1.0)}
    assert refused(recognise_checkpoint(save(tmp_path, {"state_dict": {**state, **flat}})), model).startswith(
        "the weights have no classifier of persons"
    )
    slow = small_detector("pyslowfast_slow_r50", "linear")
    point = {**pyslowfast_state(slow), "head.projection.weight": torch.tensor(1.0)}
    assert recognise_checkpoint(save(tmp_path, {"model_state": point})).kind == "classifier"


def test_a_flat_network_is_inflated(tmp_path: Path) -> None:
    model = small_detector("slowonly_r50", "linear")
    state = {key: value for key, value in upstream(model, "slowonly_r50")["state_dict"].items() if "backbone" in key}
    flat = {key: value.mean(dim=2) if value.dim() == 5 else value for key, value in state.items()}
    found = converted(recognise_checkpoint(save(tmp_path, {"state_dict": flat})), model)
    assert found.checkpoint.kind == "backbone"
    key = "layer4.0.conv1.conv.weight"
    torch.testing.assert_close(found.tensors[key].sum(dim=2), flat[f"backbone.{key}"])
    assert any(line.endswith(", inflated over time") for line in found.report.reshaped)


def test_our_own_checkpoints_can_give_their_backbone(tmp_path: Path) -> None:
    model = small_detector("slowonly_r50", "linear")
    path = tmp_path / "baseline.safetensors"
    save_checkpoint(path, model.state_dict(), checkpoint_of(model, "slowonly_r50", "linear", False))
    foreign = recognise_checkpoint(path)
    assert foreign.described == "ActionBank detector"
    found = converted(foreign, model)
    assert torch.equal(found.tensors["head.classifier.weight"], model.state_dict()["head.classifier.weight"])
    found = converted(foreign, model, drop_heads=["head."])
    assert set(found.tensors) == set(model.backbone.state_dict())
    save_tensors(tmp_path / "b.safetensors", model.backbone.state_dict())
    assert recognise_checkpoint(tmp_path / "b.safetensors").described == "ActionBank backbone"
    save_checkpoint(tmp_path / "h.safetensors", {"classifier.weight": torch.zeros(1)}, head_checkpoint())
    with pytest.raises(InputError, match=r"a head without a backbone, which nothing else can take$"):
        recognise_checkpoint(tmp_path / "h.safetensors")


def refused(foreign: Foreign, model: Detector, *heads: str, **kwargs: Any) -> str:
    with pytest.raises(InputError) as error:
        converted(foreign, model, *heads, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    model = small_detector("slowonly_r50", "linear")
    value = upstream(model, "slowonly_r50")
    foreign = recognise_checkpoint(save(tmp_path, value))
    assert refused(foreign, model, backbone="slowonly_r101").startswith(
        "the weights are not those of the backbone slowonly_r101: state dict does not fit the model: 306 keys missing"
    )
    assert refused(foreign, model, "acrn") == "the weights are of head linear, expected acrn"
    assert refused(foreign, model, changes={"classes": 9}) == (
        "the classifier has 5 rows, so 4 classes, expected 9; see --background and --set labels.background"
    )
    assert (
        refused(foreign, model, drop_heads=["cls_head"]) == "--drop-head cls_head: no key of the checkpoint begins so"
    )
    assert refused(foreign, model, drop_heads=["back"]) == "--drop-head back: that is the backbone, not a head"
    state = value["state_dict"]
    extra = {"state_dict": {**state, "roi_head.shared_head.other.weight": torch.zeros(2)}}
    assert refused(recognise_checkpoint(save(tmp_path, extra)), model) == (
        "state dict does not fit the model: 0 keys missing, 1 unexpected (roi_head.shared_head.other.weight); "
        "--drop-head PREFIX leaves a head out and writes a backbone"
    )
    assert (
        converted(recognise_checkpoint(save(tmp_path, extra)), model, drop_heads=["roi_head"]).checkpoint.kind
        == "backbone"
    )
    less = {"state_dict": {key: each for key, each in state.items() if key != "backbone.layer2.1.conv1.bn.bias"}}
    assert refused(recognise_checkpoint(save(tmp_path, less)), model).startswith(
        "the weights are not those of the nearest backbone slowonly_r50: state dict does not fit the model: 1 keys "
        "missing (backbone.layer2.1.conv1.bn.bias), 0 unexpected"
    )
    stem = "backbone.conv1.conv.weight"
    odd = {"state_dict": {**state, stem: torch.zeros(WIDTH, 3, 5, 7, 7)}}
    assert refused(recognise_checkpoint(save(tmp_path, odd)), model) == (
        f"the weights are not those of the nearest backbone slowonly_r50: {stem}: shape is (8, 3, 5, 7, 7), expected "
        f"(8, 3, 1, 7, 7) for {stem}"
    )
    none = {"state_dict": {"backbone.stem.weight": torch.zeros(2)}}
    assert refused(recognise_checkpoint(save(tmp_path, none)), model).startswith(
        "no backbone of this project has these weights"
    )
    head = {"state_dict": {key: each for key, each in state.items() if "fc_cls.weight" not in key}}
    assert refused(recognise_checkpoint(save(tmp_path, head)), model).startswith(
        "the weights have no classifier of persons"
    )


def around(model: Detector, **more: Any) -> dict[str, Any]:
    """What AlphAction's training writes, with the prefix of torch's parallel wrapper."""
    weights = {f"module.{key}": value for key, value in alphaction_state(model).items()}
    return {"model": weights, "optimizer": {"state": {}}, "scheduler": {"last_epoch": 7}, "iteration": 7, **more}


def test_a_baseline_of_alphaction_is_one_of_ours(tmp_path: Path) -> None:
    model = small_detector("alphaction_slowfast_r50_4x16", "two_layer", output_size=7, aligned=False, extend_x=0.1)
    foreign = recognise_checkpoint(save(tmp_path, around(model)))
    assert foreign.described == "AlphAction detector"
    found = converted(foreign, model)
    same_logits(found, model, frames=16)
    assert found.report.dropped == ("optimizer", "scheduler", "iteration")
    assert len(found.report.loaded) == len(model.state_dict())
    assert found.notes[0] == "optimizer, scheduler, iteration are left out: they belong to a training"
    assert "RoIAlign 7x7, aligned False, temporal mean, context none, boxes extended by 0.1 and 0.0" in found.notes
    bare = recognise_checkpoint(save(tmp_path, alphaction_state(model)))
    assert converted(bare, model).report.dropped == ()
    assert not bare.notes
    backbone = {key: value for key, value in alphaction_state(model).items() if key.startswith("backbone.")}
    for keys in (backbone, {key.removeprefix("backbone."): value for key, value in backbone.items()}):
        alone = recognise_checkpoint(save(tmp_path, keys))
        assert alone.described == "AlphAction backbone"
        assert set(converted(alone, model).tensors) == set(model.backbone.state_dict())
    dropped = converted(bare, model, drop_heads=["roi_heads."])
    assert len(dropped.report.dropped) == 6
    assert set(dropped.tensors) == set(model.backbone.state_dict())


@pytest.mark.parametrize(
    ("head", "order", "seconds"),
    [("aia_parallel", "POMPOM", 61), ("aia_serial", "PMOM", 9), ("aia_dense_serial", "POMPOM", 61),
     ("aia_serial", "OPM", 61), ("aia_serial", "PO", 0), ("aia_serial", "P", 0)],
)  # fmt: skip
def test_interactions_of_alphaction_become_detectors_of_scope_all(
    tmp_path: Path, head: str, order: str, seconds: int
) -> None:
    model = interacting(head, order, seconds)
    foreign = recognise_checkpoint(save(tmp_path, around(model, person_pool={"m": {1: torch.zeros(2, 3)}})))
    assert foreign.described == "AlphAction detector, with interaction"
    found = converted(foreign, model)
    spec = found.checkpoint.spec
    assert isinstance(spec, HeadSpec)
    assert spec.head.name == head
    told = {"order": order, "latent": 12, "hidden": 20}
    assert spec.head.options == (told if seconds else {**told, "mask": "none"})
    assert spec.head.reads == ("bank" if seconds else "features")
    assert (spec.head.objects is not None) == ("O" in order)
    assert found.report.dropped == ("optimizer", "scheduler", "iteration", "person_pool")
    assert found.report.reshaped
    same_logits(found, model, frames=16, slots=max(seconds, 1) * 5, bank_channels=model.roi_channels)
    assert f"blocks {order}, in the order of their keys" in found.notes
    if seconds:
        assert f"window {seconds} s, 5 rows per second of score 0.8, mask none" in found.notes
    if "O" in order:
        assert "the 5 best objects of a keyframe, of score 0.0" in found.notes


def test_a_layer_that_alphaction_never_applies_is_left_out(tmp_path: Path) -> None:
    model = interacting("aia_serial", "OPM")
    unused = "roi_heads.action.feature_extractor.ia_structure.person_key_dim_reduce.weight"
    foreign = recognise_checkpoint(save(tmp_path, {**alphaction_state(model), unused: torch.zeros(12, 288, 1, 1, 1)}))
    assert foreign.notes == ("the reduction of the keys of persons is left out: its network never applies it",)
    assert converted(foreign, model).report.dropped == (unused,)


def test_an_interaction_whose_keys_are_out_of_order_or_not_whole_is_refused(tmp_path: Path) -> None:
    model = interacting("aia_serial")
    state = alphaction_state(model)
    mixed = recognise_checkpoint(
        save(tmp_path, dict(sorted(state.items(), key=lambda each: "M_block_2" not in each[0])))
    )
    with pytest.raises(InputError) as error:
        converted(mixed, model)
    assert str(error.value) == (
        "the blocks of the interaction stand as M2, P1, O1, M1, P2, O2 in the file, of which M2 widens the result, "
        "expected the last one: its keys are out of order"
    )
    for part in ("fc1.weight", "ia_structure.mem_dim_reduce.weight", "ia_structure.M_block_1.temporal_position_k"):
        lacking = {key: value for key, value in state.items() if not key.endswith(part)}
        with pytest.raises(InputError) as error:
            converted(recognise_checkpoint(save(tmp_path, lacking)), model)
        assert str(error.value) == (
            "the weights of the interaction are not whole: the hidden layers or those of the memory lack"
        )


def test_a_window_of_another_length_than_the_weights_have_codes_for_is_refused(tmp_path: Path) -> None:
    model = interacting()
    foreign = recognise_checkpoint(save(tmp_path, alphaction_state(model)))
    window = WindowSettings(seconds=60, per_second=5, mask="none", score=0.8)
    with pytest.raises(InputError, match=r"^the weights have codes of 61 seconds, expected those of the window's 60$"):
        converted(foreign, model, changes={"window": window})
    found = converted(foreign, model, changes={"window": replace(window, seconds=61, score=0.7)})
    assert isinstance(found.checkpoint.spec, HeadSpec)
    assert found.checkpoint.spec.head.window == replace(window, seconds=61, score=0.7)
