"""Heads and detectors from their specs."""

from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import nn

from pipeline.base.errors import InputError
from pipeline.checkpoint.build_scope import build_scope_detector, build_scope_head
from pipeline.checkpoint.specs import FeatureSource, HeadSpec, head_spec
from pipeline.models.heads.acrn import ActorCentricRelation
from pipeline.models.heads.aia import InteractionHead
from pipeline.models.heads.lfb_nl_split import SplitBank
from pipeline.models.settings import Labels, LongTermHead, RoiSettings, Scope, WindowSettings
from pipeline.models.standardise import StandardisedHead
from pipeline.video.clip_input import ClipInput

WINDOW = WindowSettings(seconds=6, per_second=2, mask="none", score=0.9)


def _spec(
    name: str,
    scope: Scope,
    *,
    window: WindowSettings | None = None,
    standardise: Literal["none", "train"] = "none",
    mlp: bool = False,
    **options: Any,
) -> HeadSpec:
    head = LongTermHead(
        name=name,
        reads="bank" if window else "features",
        standardise=standardise,
        window=window,
        mlp=mlp,
        options=options,
    )
    source = FeatureSource(
        backbone="slowfast_tiny",
        width=8,
        input=ClipInput(frames=4, interval=2, short_side=32, mean=(0, 0, 0), std=(1, 1, 1)),
        roi=RoiSettings(output_size=7, temporal="max", context="global", aligned=False),
        channels=160,
        sha256=None,
    )
    made = head_spec(
        head, source, scope=scope, labels=Labels(), classes=5, dropout=0.25, feature_dropout=0.0, threads=1
    )
    return replace(made, bank_channels=24 if window else 0)


def test_the_window_of_the_description_reaches_the_head() -> None:
    head = build_scope_head(_spec("lfb_nl_split", "head", window=WINDOW, latent=4))
    assert isinstance(head.shared, SplitBank)
    assert (head.shared.slots, head.shared.tower.reader.mask) == (12, "none")
    spec = _spec("lfb_nl_split", "head", window=replace(WINDOW, span="past"), latent=4)
    with pytest.raises(InputError, match=r"^head lfb_nl_split: .*, found head\.window\.span past, expected centred$"):
        build_scope_head(spec)


@pytest.mark.parametrize(("exclude", "own"), [(False, slice(10, 12)), (True, None)])
def test_a_head_knows_which_second_is_the_keyframes_and_whether_it_stays_empty(exclude: bool, own: Any) -> None:
    window = replace(WINDOW, span="past", exclude_keyframe=exclude)
    spec = replace(_spec("aia_serial", "head", window=window, order="M", latent=4), bank_channels=160)
    head = build_scope_head(spec)
    assert isinstance(head.shared, InteractionHead)
    assert head.shared.interaction.own_slots == own


def test_a_head_of_scope_all_knows_the_map_of_a_detector_with_context() -> None:
    detector = build_scope_detector(_spec("acrn", "all"))
    shared = detector.head.shared
    assert isinstance(shared, ActorCentricRelation)
    assert shared.conv1.conv.weight.shape == (80, 160 + 80, 1, 1, 1)
    assert detector(torch.randn(1, 3, 4, 32, 32), torch.tensor([[0.0, 0, 20, 20]]), torch.tensor([0])).shape == (1, 5)


def test_a_head_that_needs_the_map_cannot_train_on_stored_features() -> None:
    with pytest.raises(InputError, match=r"^head acrn: it cannot train in scope head, expected all$"):
        build_scope_head(_spec("acrn", "head"))


@pytest.mark.parametrize(("scope", "standardised"), [("head", True), ("all", False)])
def test_what_is_standardised(scope: Scope, standardised: bool) -> None:
    head = build_scope_head(_spec("lfb_max", scope, window=WINDOW, standardise="train"))
    assert isinstance(head, StandardisedHead)
    assert (head.roi is not None) == standardised
    assert head.bank is not None


def test_a_hidden_layer_is_asked_for_by_the_head() -> None:
    head = build_scope_head(_spec("linear", "head", mlp=True))
    assert isinstance(head.classifier, nn.Sequential)
    assert [each.out_features for each in head.classifier if isinstance(each, nn.Linear)] == [160, 5]
