from pathlib import Path

import pytest
import torch

from pipeline.interop.frameworks import recognise_checkpoint
from pipeline.interop.match import match_backbone
from pipeline.models.build import build_backbone
from tests.interop.small_models import (
    small_detector,
)
from tests.interop.test_convert_checkpoint import converted, refused, save, upstream


@pytest.mark.parametrize(
    "backbone",
    ["slowonly_r50", "slowonly_r101", "slowonly_r50_nl", "slowfast_r50_4x16", "slowfast_r50_8x8", "slowfast_r101_8x8",
     "slowonly_tiny", "slowfast_tiny"],
)  # fmt: skip
def test_backbones_are_told_by_keys_and_shapes(backbone: str) -> None:
    for width in (None, 24):
        with torch.device("meta"):
            weights = {f"backbone.{k}": v for k, v in build_backbone(backbone, width=width).state_dict().items()}
        found = match_backbone(weights, family="")
        assert (found.name, found.width) == (backbone, width)


@pytest.mark.parametrize("backbone", ["pyslowfast_slow_r50", "pyslowfast_slowfast_r50_4x16",
                                      "pyslowfast_slowfast_r50_8x8", "pyslowfast_slowfast_r101_8x8"])  # fmt: skip
def test_pyslowfasts_backbones_are_looked_for_among_their_own(backbone: str) -> None:
    with torch.device("meta"):
        weights = {f"backbone.{k}": v for k, v in build_backbone(backbone).state_dict().items()}
    assert match_backbone(weights, family="pyslowfast").name == backbone


def test_twice_the_channels_are_settled_by_the_user_alone(tmp_path: Path) -> None:
    model = small_detector("slowonly_r50", "linear", "global")
    plain = small_detector("slowonly_r50", "linear")
    foreign = recognise_checkpoint(save(tmp_path, upstream(model, "slowonly_r50")))
    assert refused(foreign, plain) == (
        "the classifier reads 512 channels, twice those of the backbone: of a global context, or of a bank's maximum "
        "or mean, which weights cannot tell; say which: --recipe NAME, --set roi.context=global, --set head=lfb_max or "
        "--set head=lfb_avg"
    )
    assert converted(foreign, model).checkpoint.detector().head.name == "linear"
    assert converted(foreign, plain, "lfb_avg").checkpoint.to_json()["bank_channels"] == 256
    state = upstream(model, "slowonly_r50")["state_dict"]
    state["roi_head.bbox_head.fc_cls.weight"] = torch.zeros(5, 300)
    foreign = recognise_checkpoint(save(tmp_path, {"state_dict": state}))
    assert refused(foreign, plain) == "the classifier reads 300 channels, expected 256 of the features of persons"
