"""There and back: export and convert give the same weights to the bit, for every architecture and head."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.checkpoint.sidecars import BARE, Checkpoint
from pipeline.checkpoint.specs import DetectorSpec, HeadSpec
from pipeline.interop.convert_checkpoint import Converted, DetectorSettings, convert
from pipeline.interop.export import export_mmaction2
from pipeline.interop.frameworks import recognise_checkpoint
from pipeline.interop.mmaction2 import our_key, upstream_key, upstream_shape
from pipeline.models.detector import Detector
from pipeline.models.settings import LabelGroup, Labels
from tests import parity
from tests.checkpoint.sidecars import head_checkpoint
from tests.interop.small_models import ARCHITECTURES, CLASSES, CLIP_INPUT, checkpoint_of, small_detector


def through_upstream(folder: Path, model: Detector, checkpoint: Checkpoint, **kwargs: Any) -> Converted:
    value, _ = export_mmaction2(model.state_dict(), checkpoint)
    torch.save(value, folder / "upstream.pth")
    foreign = recognise_checkpoint(folder / "upstream.pth")
    assert foreign.described == "MMAction2 detector"
    spec = checkpoint.detector()
    settings = DetectorSettings(
        input=CLIP_INPUT, roi=model.roi, labels=spec.labels, dropout=0.5, heads=(spec.head.name,)
    )
    return convert(foreign, lambda backbone: settings, **kwargs)


@pytest.mark.parametrize(("backbone", "head", "context", "mlp"), ARCHITECTURES)
def test_there_and_back_is_exact(tmp_path: Path, backbone: str, head: str, context: str, mlp: bool) -> None:
    model = small_detector(backbone, head, context, mlp)
    found = through_upstream(tmp_path, model, checkpoint_of(model, backbone, head, mlp))
    state = model.state_dict()
    assert set(found.tensors) == set(state)
    for key, value in state.items():
        assert found.tensors[key].dtype == value.dtype
        assert torch.equal(found.tensors[key], value), key
    assert (found.report.missing, found.report.unexpected, found.report.made) == ((), (), ())
    spec = found.checkpoint.spec
    assert isinstance(spec, DetectorSpec | HeadSpec)
    assert (spec.backbone, spec.head.name, spec.head.mlp) == (backbone, head, mlp)
    assert (spec.columns, spec.classes) == (CLASSES, CLASSES)


@pytest.mark.parametrize(("labels", "columns"), [("single", CLASSES), ("single background", CLASSES + 1)])
def test_the_columns_of_single_label_models_stay_as_they_are(tmp_path: Path, labels: str, columns: int) -> None:
    model = small_detector("slowonly_r50", "linear", columns=columns)
    kind = {"kind": "single", "background": "background" in labels}
    found = through_upstream(
        tmp_path, model, checkpoint_of(model, "slowonly_r50", "linear", False, columns=columns, labels=kind)
    )
    assert torch.equal(found.tensors["head.classifier.weight"], model.state_dict()["head.classifier.weight"])
    spec = found.checkpoint.detector()
    assert (spec.columns, spec.classes) == (columns, CLASSES)
    assert found.checkpoint.to_json()["labels"] == kind


def test_a_background_row_that_was_kept_stays_one(tmp_path: Path) -> None:
    model = small_detector("slowonly_r50", "linear")
    first = through_upstream(tmp_path, model, checkpoint_of(model, "slowonly_r50", "linear", False), background="keep")
    assert first.checkpoint.record["background_row"] == "kept"
    assert not first.tensors["head.classifier.weight"][0].any()
    again, _ = export_mmaction2(first.tensors, first.checkpoint)
    assert len(again["state_dict"]["roi_head.bbox_head.fc_cls.weight"]) == CLASSES + 1


def test_names_and_shapes_are_upstreams() -> None:
    for name in (parity.R50, parity.LFB_NL, "slowfast-acrn-r50-8x8-ava21", "slowonly-r50-nl-4x16-ava21"):
        state = parity.upstream_state(name)
        for key, value in state.items():
            ours = our_key(key)
            assert ours is not None
            assert upstream_key(ours) == key
            flat = tuple(value.shape)
            if ".fbo." in key:
                flat = tuple(size for size in flat if size != 1)
            assert upstream_shape(key, flat) == tuple(value.shape)


def test_a_backbone_alone_is_exported_with_upstreams_prefix() -> None:
    model = small_detector("slowonly_r50", "linear")
    value, notes = export_mmaction2(model.backbone.state_dict(), BARE)
    assert set(value["state_dict"]) == {f"backbone.{key}" for key in model.backbone.state_dict()}
    assert value["meta"] == {"exported_from": "ActionBank"}
    assert notes == []


def test_what_upstream_does_not_have_is_refused_or_said() -> None:
    model = small_detector("slowonly_r50", "linear")
    message = "head.shared.past.project_roi.weight: the head lfb_nl_split has no counterpart in MMAction2"
    tensors = {**model.state_dict(), "head.shared.past.project_roi.weight": torch.zeros(2, 2)}
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        export_mmaction2(tensors, checkpoint_of(model, "slowonly_r50", "lfb_nl_split", False))
    with pytest.raises(InputError, match=r"^a head without a backbone is no model of MMAction2; export a detector$"):
        export_mmaction2({"classifier.weight": torch.zeros(2, 2)}, head_checkpoint())
    model = small_detector("pyslowfast_slowfast_r50_4x16", "linear")
    _, notes = export_mmaction2(
        model.state_dict(), checkpoint_of(model, "pyslowfast_slowfast_r50_4x16", "linear", False)
    )
    assert notes == ["MMAction2 takes the slow frames at an even stride, this model was trained with PySlowFast's"]
    model = small_detector("slowonly_r50", "linear")
    described = checkpoint_of(model, "slowonly_r50", "linear", False)
    assert isinstance(described.spec, DetectorSpec)
    groups = (LabelGroup(classes=described.spec.classes, kind="softmax"),)
    spec = replace(described.spec, labels=Labels("grouped", groups=groups))
    described = replace(described, spec=spec)
    value, notes = export_mmaction2(model.state_dict(), described)
    assert notes == ["MMAction2 scores every class by a sigmoid, this model some groups of classes by a softmax"]
    rows = len(value["state_dict"]["roi_head.bbox_head.fc_cls.weight"])
    assert rows == spec.classes + 1, "a row of zeros before the classes, as of several labels"
