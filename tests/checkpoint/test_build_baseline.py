"""Baselines from specs."""

from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline.base.errors import InputError
from pipeline.checkpoint.build_baseline import build_baseline, feature_detector
from pipeline.checkpoint.build_scope import build_scope_detector
from pipeline.checkpoint.specs import HeadSpec
from pipeline.models.heads.acrn import ActorCentricRelation
from tests.checkpoint.sidecars import ALL, BASELINE, HEAD, checkpoint


def test_a_baseline_is_built_from_its_spec() -> None:
    detector = build_baseline(checkpoint(BASELINE, width=8, columns=5).detector())
    assert (detector.roi.output_size, detector.roi.temporal, detector.roi.aligned) == (7, "max", False)
    assert detector.backbone.out_channels == 80
    assert detector.roi_channels == 160
    shared = detector.head.shared
    assert isinstance(shared, ActorCentricRelation)
    assert len(shared.convs) == 1
    assert isinstance(detector.head.classifier, nn.Sequential)
    assert detector(torch.randn(1, 3, 4, 32, 32), torch.tensor([[0.0, 0, 20, 20]]), torch.tensor([0])).shape == (1, 5)


def test_a_detector_is_built_for_its_features_whatever_its_head(tmp_path: Path) -> None:
    clip, boxes, index = torch.randn(1, 3, 4, 32, 32), torch.tensor([[0.0, 0, 20, 20]]), torch.tensor([0])
    asynchronous = {**ALL, "head": {**ALL["head"], "memory": "asynchronous", "standardise": "none"}}
    asynchronous |= {"bank_channels": ALL["roi_channels"]}
    attentive = {**asynchronous, "roi": {**ALL["roi"], "pool": "attentive"}}
    for value in (asynchronous, attentive, BASELINE):
        described = checkpoint(value, width=8)
        spec = described.features()
        trained = build_scope_detector(spec) if isinstance(spec, HeadSpec) else build_baseline(spec)
        if trained.pool is not None:
            torch.nn.init.normal_(trained.pool.query)  # type: ignore[arg-type]
        made = feature_detector(spec, trained.state_dict(), "head.safetensors")
        for each in (made, trained):
            each.eval()
        assert torch.equal(made.features(clip, boxes, index), trained.features(clip, boxes, index))
        other = {**trained.state_dict(), "backbone.more": torch.zeros(1)}
        with pytest.raises(InputError, match=r"^head\.safetensors: the weights do not fit the model: 1 unexpected"):
            feature_detector(spec, other, "head.safetensors")


def test_only_a_baseline_or_a_detector_with_its_own_memory_fills_a_bank() -> None:
    for value in (HEAD, ALL):
        with pytest.raises(InputError) as error:
            checkpoint(value).features()
        assert str(error.value).endswith("head lfb_nl, expected a detector whose head reads no bank")
