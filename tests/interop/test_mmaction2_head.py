from typing import Any

import pytest

from tests.interop.made_fixture import hyper_of
from tests.interop.test_compare_fixture import lfb
from tests.interop.test_mmaction2_model import change, refusal


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("fbo", "FBOOther", "shared_head.fbo is 'FBOOther', supported: 'FBONonLocal' or 'FBOMax' or 'FBOAvg'"),
        ("fbo_cfg.pre_activate", False, "hyper.shared_head.fbo_cfg.pre_activate is False, supported: True"),
        ("fbo_cfg.num_lt_feat", 9, "num_lt_feat is 9, supported: 21"),
        ("fbo_cfg.st_feat_channels", 9, "st_feat_channels is 9, supported: 256"),
        ("fbo_cfg.num_non_local_layers", 0, "num_non_local_layers is 0, supported: a whole number of at least 1"),
        ("lfb_cfg.surprise", 9, "hyper.shared_head.lfb_cfg.surprise is 9, which is not known here"),
        ("temporal_pool", "MaxPool", "temporal_pool is 'MaxPool', supported: 'AdaptiveAvgPool3d"),
        ("spatial_pool", "MaxPool", "spatial_pool is 'MaxPool', supported: 'AdaptiveMaxPool3d"),
    ],
)
def test_a_bank_head_that_is_not_supported_is_refused_by_name(path: str, value: Any, message: str) -> None:
    assert message in refusal(change(lfb(), f"shared_head.{path}", value))


def test_acrn_and_the_head_that_fills_a_bank_have_limits_too() -> None:
    hyper = hyper_of("slowfast-acrn-r50-8x8-ava21")
    assert "shared_head.stride is 2, supported: 1" in refusal(change(hyper, "shared_head.stride", 2))
    assert "out_channels is 9, supported: 2304" in refusal(change(hyper, "shared_head.out_channels", 9))
    message = "hyper.bbox_head.spatial_pool_type is 'avg', supported: 'max' behind an ACRNHead"
    assert refusal(change(hyper, "bbox_head.spatial_pool_type", "avg")) == message
    infer = hyper_of("slowonly-lfb-infer-r50-4x16-ava21")
    assert "use_half_precision is False" in refusal(change(infer, "shared_head.use_half_precision", False))
