"""Heads and detectors from what a sidecar says."""

from typing import Any

import pytest
import torch
from pipeline.checkpoint.described_detector import detector_from_sidecar
from pipeline.checkpoint.described_head import build_scope_detector, build_scope_head
from torch import nn

from pipeline.base.errors import InputError
from pipeline.models.heads.acrn import ActorCentricRelation
from pipeline.models.heads.lfb_nl_split import SplitBank
from pipeline.models.standardise import StandardisedHead

ROI = {"output_size": 7, "temporal": "max", "context": "global", "aligned": False}
WINDOW = {"seconds": 6, "per_second": 2, "mask": "none", "score": 0.9}


def _description(name: str, scope: str, *, window: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    return {
        "head": {"name": name, "mlp": False, "options": options, "window": window, "standardise": "none"},
        "scope": scope,
        "backbone": "slowfast_tiny",
        "width": 8,
        "roi": ROI,
        "roi_channels": 160,
        "bank_channels": 24 if window else 0,
        "columns": 5,
        "dropout": 0.25,
        "feature_dropout": 0.0,
    }


def test_a_baseline_is_built_from_its_sidecar() -> None:
    sidecar = {
        "backbone": "slowfast_tiny",
        "width": 8,
        "roi": ROI,
        "head": {"name": "acrn", "mlp": True, "options": {"convs": 2}},
        "columns": 5,
        "dropout": 0.25,
    }
    detector = detector_from_sidecar(sidecar)
    assert (detector.roi.output_size, detector.roi.temporal, detector.roi.aligned) == (7, "max", False)
    assert detector.backbone.out_channels == 80
    assert detector.roi_channels == 160
    shared = detector.head.shared
    assert isinstance(shared, ActorCentricRelation)
    assert len(shared.convs) == 1
    assert isinstance(detector.head.classifier, nn.Sequential)
    assert detector(torch.randn(1, 3, 4, 32, 32), torch.tensor([[0.0, 0, 20, 20]]), torch.tensor([0])).shape == (1, 5)


def test_the_window_of_the_description_reaches_the_head() -> None:
    head = build_scope_head(_description("lfb_nl_split", "head", window=WINDOW, latent=4))
    assert isinstance(head.shared, SplitBank)
    assert (head.shared.slots, head.shared.mask) == (12, "none")
    description = _description("lfb_nl_split", "head", window={**WINDOW, "span": "past"}, latent=4)
    with pytest.raises(InputError, match=r"^head lfb_nl_split: .*, found head\.window\.span past, expected centred$"):
        build_scope_head(description)


def test_a_head_of_scope_all_knows_the_map_of_a_detector_with_context() -> None:
    detector = build_scope_detector(_description("acrn", "all"))
    shared = detector.head.shared
    assert isinstance(shared, ActorCentricRelation)
    assert shared.conv1.conv.weight.shape == (80, 160 + 80, 1, 1, 1)
    assert detector(torch.randn(1, 3, 4, 32, 32), torch.tensor([[0.0, 0, 20, 20]]), torch.tensor([0])).shape == (1, 5)


def test_a_head_that_needs_the_map_cannot_train_on_stored_features() -> None:
    with pytest.raises(InputError, match=r"^head acrn: it cannot train in scope head, expected all$"):
        build_scope_head(_description("acrn", "head"))


@pytest.mark.parametrize(("scope", "standardised"), [("head", True), ("all", False)])
def test_what_is_standardised(scope: str, standardised: bool) -> None:
    description = _description("lfb_max", scope, window=WINDOW)
    description["head"]["standardise"] = "train"
    head = build_scope_head(description)
    assert isinstance(head, StandardisedHead)
    assert (head.roi is not None) == standardised
    assert head.bank is not None


def test_a_hidden_layer_is_asked_for_by_the_head() -> None:
    description = _description("linear", "head")
    description["head"]["mlp"] = True
    head = build_scope_head(description)
    assert isinstance(head.classifier, nn.Sequential)
    assert [each.out_features for each in head.classifier if isinstance(each, nn.Linear)] == [160, 5]
