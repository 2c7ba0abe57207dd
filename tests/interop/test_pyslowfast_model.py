import re
from typing import Any

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.interop.pyslowfast_model import describe_pyslowfast
from tests.interop.test_mmaction2_model import CONFIG, change


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("MODEL.ARCH", "i3d", "resolved_config.MODEL.ARCH is 'i3d', supported: 'slow' or 'slowfast'"),
        ("MODEL.HEAD_ACT", "none", "HEAD_ACT is 'none', supported: 'sigmoid' or 'softmax'"),
        ("MODEL.SURPRISE", 1, "resolved_config.MODEL.SURPRISE is 1, which is not known here"),
        ("RESNET.DEPTH", 18, "resolved_config.RESNET.DEPTH is 18, supported: 50 or 101"),
        ("RESNET.TRANS_FUNC", "x3d_transform", "TRANS_FUNC is 'x3d_transform', supported: 'bottleneck_transform'"),
        ("RESNET.NUM_GROUPS", 32, "NUM_GROUPS is 32, supported: 1"),
        ("RESNET.STRIDE_1X1", True, "STRIDE_1X1 is True, supported: False"),
        ("RESNET.NUM_BLOCK_TEMP_KERNEL", [[3, 3], 4], "supported: four lists of 2 whole numbers"),
        ("RESNET.SPATIAL_STRIDES", [[1, 1], [2, 1], [2, 2], [1, 1]], "the same positive numbers in both pathways"),
        ("RESNET.SPATIAL_DILATIONS", [[1, 1]], "SPATIAL_DILATIONS is [[1, 1]], supported: four lists of 2 whole"),
        ("NONLOCAL.LOCATION", [[[], []], [[1], []], [[], []], [[], []]], "resolved_config.NONLOCAL.LOCATION is"),
        ("SLOWFAST.FUSION_KERNEL_SZ", 4, "FUSION_KERNEL_SZ is 4, supported: an odd number"),
        ("SLOWFAST.FUSION_CONV_CHANNEL_RATIO", 1, "FUSION_CONV_CHANNEL_RATIO is 1, supported: 2"),
        ("SLOWFAST.BETA_INV", 7, "WIDTH_PER_GROUP is 64, supported: a multiple of SLOWFAST.BETA_INV 7"),
        ("DETECTION.ENABLE", False, "resolved_config.DETECTION.ENABLE is False, supported: True"),
        ("DETECTION.SPATIAL_SCALE_FACTOR", 32, "SPATIAL_SCALE_FACTOR is 32, supported: 16"),
        ("BN.NORM_TYPE", "sub_batchnorm", "NORM_TYPE is 'sub_batchnorm', supported: 'batchnorm' or"),
        ("MVIT", {}, "resolved_config.MVIT is {}, which is not known here"),
    ],
)
def test_a_pyslowfast_that_is_not_supported_is_refused_by_name(path: str, value: Any, message: str) -> None:
    with torch.device("meta"), pytest.raises(InputError, match=re.escape(message)):
        describe_pyslowfast(change(CONFIG, path, value))


def test_pyslowfast_counts_the_blocks_with_temporal_kernels() -> None:
    config = change(CONFIG, "RESNET.NUM_BLOCK_TEMP_KERNEL", [[3, 0], [4, 4], [1, 6], [3, 2]])
    with torch.device("meta"):
        own = describe_pyslowfast(config).detector.state_dict()
    shapes = [
        tuple(own[f"backbone.{path}_path.layer{layer}.1.conv1.conv.weight"].shape[2:])
        for path, layer in (("fast", 1), ("fast", 2), ("slow", 3), ("slow", 4), ("slow", 2))
    ]
    assert shapes == [(1, 1, 1), (3, 1, 1), (1, 1, 1), (3, 1, 1), (1, 1, 1)]
