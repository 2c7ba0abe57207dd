"""A set of parameters describes one detector."""

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.checkpoint.recipe import build_recipe
from pipeline.models.context import BankWindow
from pipeline.models.standardise import StandardisedHead
from pipeline.project.compose import compose_params
from tests.recipes import ARCHITECTURES, CONF, rows


def test_the_default_is_a_standardised_head_beside_the_bank_of_its_baseline() -> None:
    detector = build_recipe(compose_params([], CONF))
    assert isinstance(detector.head, StandardisedHead)
    assert detector.head.head.classifier.in_features == 2 * detector.roi_channels == 256
    assert detector.head.head.classifier.out_features == 20


def test_labels_decide_the_columns_and_context_the_channels() -> None:
    detector = build_recipe(
        compose_params(["head=baseline", "labels.kind=single", "labels.background=true", "roi.context=global"], CONF)
    )
    shapes = {name: tuple(each.shape) for name, each in detector.head.named_parameters()}
    assert shapes == {"classifier.weight": (21, 256), "classifier.bias": (21,)}


def test_options_of_a_head_are_checked() -> None:
    with pytest.raises(InputError, match=r"^head lfb_nl: init is random, expected identity or published$"):
        build_recipe(compose_params(["head=lfb_nl", "+head.options.init=random"], CONF))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_narrow_copy_of_each_architecture_scores_two_clips(name: str) -> None:
    values = rows()[name]
    narrow = {**values, "backbone": {**values["backbone"], "width": 8}}
    if "latent" in values["head"]["options"]:
        narrow["head"] = {**values["head"], "options": {**values["head"]["options"], "latent": 16}}
    detector = build_recipe(narrow).eval()
    clip, window = values["backbone"]["input"], values["head"].get("window")
    slots = window["seconds"] * window["per_second"] if window else 0
    clip_index, bank_rows = torch.tensor([0, 0, 1]), torch.randn(2, slots, detector.roi_channels)
    with torch.no_grad():
        logits = detector(
            torch.randn(2, 3, clip["frames"], 64, 96),
            torch.tensor([[0.0, 0.0, 40.0, 60.0], [20.0, 10.0, 90.0, 64.0], [5.0, 5.0, 30.0, 30.0]]),
            clip_index,
            BankWindow(bank_rows, torch.ones(bank_rows.shape[:2], dtype=torch.bool), clip_index) if slots else None,
        )
    assert logits.shape == (3, values["dataset"]["classes"])
    assert logits.isfinite().all()
