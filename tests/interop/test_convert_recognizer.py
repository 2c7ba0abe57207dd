"""What recognizers of other frameworks become: matched, and with the arithmetic they had."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.checkpoint.build_recognizer import build_recognizer
from pipeline.checkpoint.specs import BackboneSpec
from pipeline.checkpoint.weights import load_into, save_checkpoint
from pipeline.interop.convert_checkpoint import Converted
from pipeline.interop.convert_recognizer import ViewSettings, convert_recognizer, ids_of_sorted
from pipeline.interop.export import export_mmaction2
from pipeline.interop.fixtures import rule_weight
from pipeline.interop.frameworks import recognise_checkpoint
from pipeline.models.recognition_settings import RecognitionHead
from tests.interop.plain_trn import head, resnet, whole_shapes
from tests.interop.test_convert_checkpoint import save

KINDS = ["TRNMultiScale", "TRN", None]
VIEWS = torch.randn(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def state_of(kind: str | None, segments: int = 4) -> dict[str, torch.Tensor]:
    return {key: rule_weight(key, shape) for key, shape in whole_shapes(kind, segments).items()}


def logits(found: Converted) -> torch.Tensor:
    model = build_recognizer(found.checkpoint.recognizer())
    load_into(model, found.tensors, "converted")
    every = [[(0, 1, 2, 3)], [(0, 1, 2), (0, 1, 3), (0, 2, 3)], [(0, 1), (0, 2), (0, 3)]]
    with torch.no_grad():
        found_BK: torch.Tensor = model.eval()(VIEWS, every if "head.scales.2.hidden.weight" in found.tensors else None)
    return found_BK


def plain_logits(state: dict[str, torch.Tensor], kind: str | None) -> torch.Tensor:
    draws = [[0, 1, 2], [0, 1, 2]] if kind == "TRNMultiScale" else []
    return head(resnet(VIEWS.flatten(0, 1), state).mean((2, 3)), state, 4, draws, "cls_head.")


@pytest.mark.parametrize("kind", KINDS)
def test_a_recognizer_of_mmaction2_is_one_of_ours_and_goes_back(tmp_path: Path, kind: str | None) -> None:
    state = state_of(kind)
    path = save(tmp_path, {"state_dict": {**state, "data_preprocessor.mean": torch.zeros(3)}, "message_hub": {}})
    foreign = recognise_checkpoint(path, taken_as=None if kind else "recognizer")
    assert (foreign.described, foreign.kind) == ("MMAction2 1.x recognizer", "recognizer")
    found = convert_recognizer(foreign, ViewSettings(segments=4, dropout=0.4))
    torch.testing.assert_close(logits(found), plain_logits(state, kind), rtol=1e-4, atol=1e-5)
    assert found.report.counts() | {"loaded": 0} == {
        "loaded": 0, "missing": 0, "unexpected": 0, "reshaped": 0, "dropped": 1, "made": 0,
    }  # fmt: skip
    spec = found.checkpoint.recognizer()
    assert (spec.backbone, spec.width, spec.segments, spec.classes, spec.head.dropout) == ("resnet50", 8, 4, 5, 0.4)
    assert found.notes[0] == "5 classes, 4 segments"
    back, _ = export_mmaction2(found.tensors, found.checkpoint)
    assert back["state_dict"].keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in back["state_dict"].items())


def test_our_own_comes_back_and_gives_its_backbone(tmp_path: Path) -> None:
    foreign = recognise_checkpoint(save(tmp_path, {"state_dict": state_of("TRN")}))
    found = convert_recognizer(foreign, ViewSettings())
    save_checkpoint(tmp_path / "r.safetensors", found.tensors, found.checkpoint)
    ours = recognise_checkpoint(tmp_path / "r.safetensors")
    again = convert_recognizer(ours, ViewSettings(dropout=0.1))
    assert again.checkpoint.spec == found.checkpoint.spec
    assert all(torch.equal(again.tensors[key], value) for key, value in found.tensors.items())
    alone = convert_recognizer(ours, ViewSettings(), drop_heads=["head."])
    assert alone.checkpoint.spec == BackboneSpec(backbone="resnet50", width=8)
    assert {f"backbone.{key}" for key in alone.tensors} == {key for key in found.tensors if key.startswith("backbone.")}


def test_torchvisions_resnet_gives_a_backbone_with_its_maps(tmp_path: Path) -> None:
    torch.manual_seed(0)
    # Imported here and not above: it takes a second, and each worker reads all files of tests.
    from torchvision.models import resnet50

    theirs = resnet50().eval()
    found = convert_recognizer(recognise_checkpoint(save(tmp_path, theirs.state_dict())), ViewSettings())
    assert found.checkpoint.spec == BackboneSpec(backbone="resnet50", width=None)
    assert found.report.dropped == ("fc.weight", "fc.bias")
    assert found.notes == ["a backbone for single frames"]
    state = {f"backbone.{key}": value for key, value in found.tensors.items()}
    theirs.fc = torch.nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(resnet(VIEWS[0], state).mean((2, 3)), theirs(VIEWS[0]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("taken_as", ["frames", None])
def test_a_backbone_of_mmaction2_for_frames_stays_one_where_it_is_said(tmp_path: Path, taken_as: Any) -> None:
    path = save(tmp_path, {"state_dict": state_of(None)})
    foreign = recognise_checkpoint(path, taken_as=taken_as)
    assert foreign.kind == (taken_as or "classifier")  # a classifier's backbone is inflated to clips
    if taken_as:
        found = convert_recognizer(foreign, ViewSettings())
        assert found.checkpoint.spec == BackboneSpec(backbone="resnet50", width=8)
        assert found.report.dropped == ("cls_head.fc_cls.weight", "cls_head.fc_cls.bias")


def original(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """MMAction2's state under the names of TRN-pytorch."""
    found = {}
    for key, value in state.items():
        name = re.sub(r"^backbone\.conv1\.(conv|bn)\.", r"module.base_model.\g<1>1.", key)
        name = re.sub(r"^backbone\.(layer\d\.\d+)\.conv(\d)\.(conv|bn)\.", r"module.base_model.\1.\3\2.", name)
        name = re.sub(r"^backbone\.(layer\d\.\d+\.downsample)\.conv\.", r"module.base_model.\1.0.", name)
        name = re.sub(r"^backbone\.(layer\d\.\d+\.downsample)\.bn\.", r"module.base_model.\1.1.", name)
        found[name.replace("cls_head.fc_cls.", "module.new_fc.").replace("cls_head.", "module.")] = value
    return found


def test_the_original_trn_on_resnet_is_one_of_ours_with_our_ids_of_classes(tmp_path: Path) -> None:
    state = state_of("TRNMultiScale")
    foreign = recognise_checkpoint(save(tmp_path, {"state_dict": original(state), "best_prec1": 0.3}))
    assert foreign.described == "TRN-pytorch recognizer"
    wanted = plain_logits(state, "TRNMultiScale")
    torch.testing.assert_close(logits(convert_recognizer(foreign, ViewSettings())), wanted, rtol=1e-4, atol=1e-5)
    # In our order push is 0, and the source, which sorts, has open as 0, pull as 1 and so on.
    classes = ids_of_sorted(["push", "pull", "turn", "open", "shut"])
    assert classes == [2, 1, 4, 0, 3]
    found = convert_recognizer(foreign, ViewSettings(), classes=classes)
    torch.testing.assert_close(logits(found), wanted[:, classes], rtol=1e-4, atol=1e-5)
    assert found.notes[-1] == "4 classes get the ids of the given list, as the source numbers its names in their order"


def test_a_class_that_is_listed_twice_is_refused() -> None:
    with pytest.raises(InputError, match=r"^the class 'a' is listed twice$"):
        ids_of_sorted(["a", "b", "a"])


@pytest.mark.parametrize(
    ("state", "settings", "kwargs", "message"),
    [
        ("TRN", {"classes": 6}, {}, "the classifier has 5 classes, expected 6"),
        ("TRN", {"head": RecognitionHead(name="tsn", dropout=0.5)}, {},
         "the weights are of head trn of 6 channels and 7 hidden, expected head tsn"),
        ("TRN", {}, {"classes": [0, 1]}, "the list has 2 classes, expected the 5 of the classifier, each once"),
        ("TRN", {}, {"drop_heads": ["backbone."]}, "--drop-head backbone.: that is the backbone, not a head"),
        ("stem", {}, {}, "backbone.conv1.conv.weight: one of shape (8, 3, 3, 3), expected a kernel of 7 x 7 (resnet50) "
                         "or 5 x 5 (resnet_tiny)"),
        ("more", {}, {}, "state dict does not fit the model: 0 keys missing, 1 unexpected (cls_head.other)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    tmp_path: Path, state: str, settings: dict[str, Any], kwargs: dict[str, Any], message: str
) -> None:
    changes = {
        "TRN": {}, "more": {"cls_head.other": torch.zeros(1)},
        "stem": {"backbone.conv1.conv.weight": torch.zeros(8, 3, 3, 3)},
    }  # fmt: skip
    foreign = recognise_checkpoint(save(tmp_path, {"state_dict": {**state_of("TRN"), **changes[state]}}))
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        convert_recognizer(foreign, ViewSettings(**settings), **kwargs)


def test_files_that_are_no_recognizers_are_refused(tmp_path: Path) -> None:
    path = save(
        tmp_path, {"base_model.conv1_7x7_s2.weight": torch.zeros(64, 3, 7, 7), "new_fc.weight": torch.zeros(2, 2)}
    )
    message = (
        r"x\.pth: a TRN on another backbone than ResNet \(BNInception, for one\), which is no network of this project$"
    )
    with pytest.raises(InputError, match=message):
        recognise_checkpoint(path)
    path = save(tmp_path, {"state_dict": {"backbone.conv1.conv.weight": torch.zeros(64, 3, 7, 7)}})
    with pytest.raises(InputError, match=r"x\.pth: no recognizer of single frames: expected tensors of a first"):
        recognise_checkpoint(path, taken_as="recognizer")
