"""The files of an export to ONNX: the model, its metadata and its description."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.checkpoint.build_scope import build_scope_head
from pipeline.checkpoint.sidecars import BARE, Checkpoint
from pipeline.checkpoint.specs import HeadSpec
from pipeline.interop import onnx_export
from pipeline.interop.onnx_export import METADATA, export_onnx, fixed_sizes, score_function
from pipeline.models.settings import LabelGroup, Labels
from pipeline.tables.label_map import Label
from tests.checkpoint import sidecars
from tests.interop.onnx_models import session_of
from tests.interop.small_models import checkpoint_of, small_detector

NAMES = [Label(1, "walk", "PERSON_MOVEMENT"), Label(3, "talk", "PERSON_INTERACTION")]


def head_on_rows() -> tuple[dict[str, torch.Tensor], Checkpoint]:
    described = {**sidecars.HEAD, "columns": 6, "roi_channels": 16, "bank_channels": 16}
    checkpoint = Checkpoint.from_json(described, "head.json")
    assert isinstance(checkpoint.spec, HeadSpec)
    torch.manual_seed(0)
    return build_scope_head(checkpoint.spec).state_dict(), checkpoint


def test_the_description_stands_beside_the_model_and_in_it(tmp_path: Path) -> None:
    tensors, checkpoint = head_on_rows()
    known = export_onnx(tmp_path / "h.onnx", tensors, checkpoint, NAMES)
    data = (tmp_path / "h.onnx").read_bytes()
    beside = json.loads((tmp_path / "h.json").read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["h.json", "h.onnx"]  # and no .onnx.data
    assert beside == json.loads(json.dumps(known))
    assert beside.pop("model") == {"file": "h.onnx", "sha256": hashlib.sha256(data).hexdigest()}
    (metadata,) = onnx.load_from_string(data).metadata_props
    assert (metadata.key, json.loads(metadata.value)) == (METADATA, beside)
    assert session_of(data).get_modelmeta().custom_metadata_map[METADATA] == metadata.value
    assert beside["checkpoint"] == {"sha256": sidecars.SHA, "kind": "head", "backbone": "slowfast_tiny"}
    assert (beside["head"], beside["classes"], beside["opset"]) == ("lfb_nl", 5, 20)
    assert beside["producer"] == sidecars.SHA
    assert beside["clip"] == {**sidecars.INPUT, "long_side": None, "colour": "RGB", "layout": "[3, frames, h, w]"}
    assert beside["window"]["seconds"] * beside["window"]["per_second"] == 12
    assert beside["objects"] is None
    assert beside["labels"] == [{"id": each.id, "name": each.name, "group": each.group} for each in NAMES]
    assert beside["score"] == {
        "kind": "single",
        "parts": [{"columns": [0, 6], "function": "softmax", "first_id": 0}],
        "background_column": 0,
    }
    assert [(port["name"], port["shape"]) for port in beside["inputs"]] == [
        ("persons", ["boxes", 16]),
        ("window_rows", ["windows", 12, 16]),
        ("window_mask", ["windows", 12]),
        ("window_owner", ["boxes"]),
    ]
    assert [(port["name"], port["shape"]) for port in beside["outputs"]] == [
        ("scores", ["boxes", 5]),
        ("logits", ["boxes", 6]),
    ]


def test_a_detector_has_its_sizes_and_a_killed_export_leaves_no_description(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_detector("slowonly_r50", "linear")
    checkpoint = replace(checkpoint_of(model, "slowonly_r50", "linear", False), sha256="1" * 64)
    spec = checkpoint.detector()
    assert fixed_sizes(spec, model)["CHANNELS"] == model.roi_channels
    assert fixed_sizes(spec, model)["FRAMES"] == spec.input.frames
    (tmp_path / "d.json").write_text("of an earlier export")

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(onnx_export, "trace", lambda *_: (onnx.ModelProto(), [], []))
    monkeypatch.setattr(onnx_export, "write_bytes", killed)
    with pytest.raises(KeyboardInterrupt):
        export_onnx(tmp_path / "d.onnx", model.state_dict(), checkpoint, None)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors, checkpoint = head_on_rows()

    def refusal(*words: Any) -> str:
        with pytest.raises(InputError) as refused:
            export_onnx(tmp_path / "x.onnx", *words)
        return str(refused.value)

    assert refusal({}, BARE, None) == "is a backbone, expected a detector, or a head on stored features"
    assert refusal(tensors, checkpoint, [Label(9, "fly", "PERSON_MOVEMENT")]) == (
        "has 5 classes, and the label map names id 9"
    )
    monkeypatch.setattr(onnx_export, "MOST_BYTES", 1000)
    count = sum(each.numel() * each.element_size() for each in tensors.values())
    assert refusal(tensors, checkpoint, None) == (
        f"has {count} bytes of weights, expected at most 1000: a protobuf holds no more"
    )
    assert list(tmp_path.iterdir()) == []


def test_scores_are_described_for_every_kind_of_labels() -> None:
    groups = (LabelGroup(classes=2, kind="softmax"), LabelGroup(classes=3, kind="sigmoid"))
    assert score_function(Labels(), 5) == {
        "kind": "multi",
        "parts": [{"columns": [0, 5], "function": "sigmoid", "first_id": 1}],
        "background_column": None,
    }
    assert score_function(Labels(kind="single"), 5)["parts"] == [
        {"columns": [0, 5], "function": "softmax", "first_id": 1}
    ]
    assert score_function(Labels(kind="grouped", groups=groups), 5)["parts"] == [
        {"columns": [0, 2], "function": "softmax", "first_id": 1},
        {"columns": [2, 5], "function": "sigmoid", "first_id": 3},
    ]
