"""Upstream's weights give upstream's logits; and what does not fit is refused."""

import json
import re
from typing import Any

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.interop.conversion import ConversionReport, fit_state
from pipeline.interop.mmaction2 import our_key
from pipeline.models.build import build_backbone, build_detector
from pipeline.models.detector import Detector
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.table import build_head
from tests import parity

FC = "roi_head.bbox_head.fc_cls.weight"
State = dict[str, torch.Tensor]


def converted(source: State, expected: State, **kwargs: Any) -> tuple[State, ConversionReport]:
    """A multi-label detector's weights."""
    return fit_state(source, expected, our_key, **{"background": "drop", **kwargs})


@pytest.mark.parametrize(
    ("name", "variant"),
    [(parity.R50, ""), (parity.R50, "odd/"), (parity.R101, "")],
)
def test_the_baselines_logits_are_upstreams(name: str, variant: str) -> None:
    given = parity.inputs(name, variant)
    with torch.no_grad():
        logits = parity.detector(name)(given.clips, given.boxes_xyxy, given.clip_index)
    parity.assert_close(logits, parity.expected(name, f"{variant}cls_score"), "logits")
    parity.assert_close(logits.sigmoid(), parity.expected(name, f"{variant}prob"), "scores")


@pytest.mark.parametrize("variant", ["", "padded/", "empty/"])
@pytest.mark.parametrize(("name", "head"), [(parity.LFB_NL, "lfb_nl"), (parity.LFB_AVG, "lfb_avg")])
def test_the_lfb_heads_logits_are_upstreams(name: str, head: str, variant: str) -> None:
    found = parity.run_head(name, head, variant)
    parity.assert_tensor(name, f"{variant}shared_head_out", found["shared_head_out"])
    parity.assert_tensor(name, f"{variant}fc_in", found["fc_in"])
    parity.assert_close(found["cls_score"], parity.expected(name, f"{variant}cls_score"), "logits")


def test_bank_features_are_upstreams() -> None:
    given = parity.inputs(parity.LFB_INFER)
    with torch.no_grad():
        features = parity.detector(parity.LFB_INFER).features(given.clips, given.boxes_xyxy, given.clip_index)
    parity.assert_tensor(parity.LFB_INFER, "fc_in", features)
    stored = torch.from_numpy(parity.expected(parity.LFB_INFER, "lfb_features_fp16_as_fp32"))
    # Both are rounded to half precision: the nearest half of two values 1e-4 apart may differ by one step.
    assert ((features[:, :512].half().float() - stored).abs() <= 1e-4 + 2**-10 * stored.abs()).all()


def _model(head: str, classes: int) -> Detector:
    settings = HeadSettings(roi_channels=2048, bank_channels=2048, classes=classes)
    with torch.device("meta"):
        return Detector(build_backbone("slowonly_r50"), build_head(head, settings))


def test_every_key_of_the_fixtures_has_a_place_and_the_report_names_what_changed_shape() -> None:
    state, report = converted(
        parity.upstream_state(parity.LFB_NL), _model("lfb_nl", 81).state_dict(), background="keep"
    )
    assert (report.missing, report.unexpected) == ((), ())
    assert list(report.loaded) == [key for key, _, _ in parity.read(parity.LFB_NL)["state_dict"]]
    assert len(report.reshaped) == 2 + 2 * 6
    assert "roi_head.shared_head.fbo.lt_feat_conv.weight: (512, 2048, 1, 1, 1) to (512, 2048)" in report.reshaped
    assert "roi_head.shared_head.fbo.non_local_layer_2.ln.bias: (512, 1, 1, 1) to (512,)" in report.reshaped
    assert json.loads(json.dumps(report.as_dict()))["missing"] == []
    assert list(report.as_dict()) == ["loaded", "missing", "unexpected", "reshaped", "dropped", "made"]
    assert state["head.shared.layers.1.norm.bias"].shape == (512,)


def test_the_background_row_is_dropped_for_our_classes() -> None:
    source = parity.upstream_state(parity.R50)
    state, report = converted(source, _model("linear", 80).state_dict())
    assert torch.equal(state["head.classifier.weight"], source[FC][1:])
    assert torch.equal(state["head.classifier.bias"], source["roi_head.bbox_head.fc_cls.bias"][1:])
    assert report.reshaped[0] == f"{FC}: (81, 2048) without its background row to (80, 2048)"
    assert len(report.reshaped) == 2


def test_a_shape_that_does_not_fit_is_refused_even_where_parts_may_be_missing() -> None:
    source = parity.upstream_state(parity.R50)
    message = f"{FC}: shape is (81, 2048) without its background row, expected (81, 2048) for head.classifier.weight"
    for partial in (False, True):
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            converted(source, _model("linear", 81).state_dict(), partial=partial)
    message = f"{FC}: shape is (81, 2048), expected (80, 2048) for head.classifier.weight"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        converted(source, _model("linear", 80).state_dict(), background="keep")


def test_equal_counts_in_another_shape_are_refused() -> None:
    source = {"backbone.conv1.conv.weight": torch.zeros(16, 5, 3, 1, 5)}
    with pytest.raises(InputError, match="shape is"):
        converted(source, build_detector("slowonly_tiny", classes=3).state_dict(), partial=True)


def test_missing_and_unexpected_keys_are_refused_or_reported() -> None:
    source = parity.upstream_state(parity.R50)
    del source["backbone.conv1.bn.bias"]
    source["cls_head.fc_cls.weight"] = torch.zeros(400, 2048)
    model = _model("lfb_max", 81)
    del source[FC], source["roi_head.bbox_head.fc_cls.bias"]
    message = (
        "state dict does not fit the model: 3 keys missing (backbone.conv1.bn.bias, head.classifier.weight, "
        "head.classifier.bias), 1 unexpected (cls_head.fc_cls.weight)"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        converted(source, model.state_dict())
    state, report = converted(source, model.state_dict(), partial=True)
    assert report.missing == ("backbone.conv1.bn.bias", "head.classifier.weight", "head.classifier.bias")
    assert report.unexpected == ("cls_head.fc_cls.weight",)
    assert not {*report.missing} & {*state}
    assert len(state) + 3 == len(model.state_dict())


def test_a_detector_of_another_head_does_not_fit_and_the_message_is_short() -> None:
    with pytest.raises(InputError, match=r"^state dict does not fit the model: 0 keys missing, 24 unexpected \(roi"):
        source = parity.upstream_state(parity.LFB_NL)
        source[FC] = source[FC][:, :2048]
        converted(source, _model("linear", 80).state_dict())


@pytest.mark.parametrize(
    ("key", "ours"),
    [
        ("backbone.layer3.22.conv1.bn.running_var", "backbone.layer3.22.conv1.bn.running_var"),
        ("roi_head.shared_head.fbo.st_feat_conv.bias", "head.shared.project_roi.bias"),
        ("roi_head.shared_head.fbo.non_local_layer_1.global_conv.conv.bias", "head.shared.layers.0.g.bias"),
        ("roi_head.shared_head.fbo.non_local_layer_10.out_conv.conv.weight", "head.shared.layers.9.out.weight"),
        ("roi_head.shared_head.fbo.non_local_layer_0.ln.weight", None),
        ("roi_head.shared_head.fbo.non_local_layer_1.other.weight", None),
        ("cls_head.fc_cls.weight", None),
        ("xbackbone.conv1.conv.weight", None),
    ],
)
def test_keys(key: str, ours: str | None) -> None:
    assert our_key(key) == ours
