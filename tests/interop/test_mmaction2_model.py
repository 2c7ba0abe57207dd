"""Every key of a described configuration is understood or refused by name, with its value and what is supported."""

import copy
import json
from typing import Any

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.interop.mmaction2_model import describe_mmaction2
from tests.interop.made_fixture import FOLDER, NON_LOCAL_CFG, slowfast, slowonly


def change(values: Any, path: str, value: Any) -> Any:
    values = copy.deepcopy(values)
    *blocks, last = path.split(".")
    inner = values
    for block in blocks:
        inner = inner[block]
    inner[last] = value
    return values


def refusal(hyper: Any) -> str:
    with torch.device("meta"), pytest.raises(InputError) as error:
        describe_mmaction2(hyper)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("backbone.depth", 18, "hyper.backbone.depth is 18, supported: 50 or 101 or 152"),
        ("backbone.stage_blocks", [3, 4, 6, 4], "stage_blocks is [3, 4, 6, 4], supported: [3, 4, 6, 3]"),
        ("backbone.style", "caffe", "hyper.backbone.style is 'caffe', supported: 'pytorch'"),
        ("backbone.inflate_style", "3x3x3", "inflate_style is '3x3x3', supported: '3x1x1'"),
        ("backbone.block", "BasicBlock3d", "block is 'BasicBlock3d', supported: 'Bottleneck3d'"),
        ("backbone.in_channels", 2, "in_channels is 2, supported: 3"),
        ("backbone.num_stages", 3, "num_stages is 3, supported: 4"),
        ("backbone.out_indices", [2, 3], "out_indices is [2, 3], supported: [3]"),
        ("backbone.temporal_strides", [1, 2, 1, 1], "temporal_strides is [1, 2, 1, 1], supported: [1, 1, 1, 1]"),
        ("backbone.conv1_stride_t", 2, "conv1_stride_t is 2, supported: 1"),
        ("backbone.pool1_stride_s", 1, "pool1_stride_s is 1, supported: 2"),
        ("backbone.with_pool1", False, "with_pool1 is False, supported: True"),
        ("backbone.with_pool2", True, "with_pool2 is True, supported: False"),
        ("backbone.bn_eps", 1e-3, "bn_eps is 0.001, supported: 1e-05"),
        ("backbone.norm_cfg", {"type": "GN"}, "hyper.backbone.norm_cfg.type is 'GN', supported: 'BN3d' or 'BN' or"),
        ("backbone.lateral", True, "hyper.backbone.lateral is True, supported: False"),
        ("backbone.conv1_kernel", [1, 7, 5], "conv1_kernel is [1, 7, 5], supported: three odd numbers"),
        ("backbone.base_channels", 0, "base_channels is 0, supported: a whole number of at least 1"),
        ("backbone.spatial_strides", [1, 2], "spatial_strides is [1, 2], supported: four whole numbers"),
        ("backbone.stage_inflations", [0, 0, [1, 0, 1, 0, 1], 1], "supported: 0 or 1 for each of [3, 4, 6, 3] blocks"),
        ("backbone.non_local_stages", [0, 0, [1, 1], 0], "supported: 0 or 1 for each of [3, 4, 6, 3] blocks"),
        ("backbone.surprise", 1, "hyper.backbone.surprise is 1, which is not known here"),
        ("surprise", {"a": 1}, "hyper.surprise is {'a': 1}, which is not known here"),
        ("roi_extractor.roi_layer_type", "RoIPool", "roi_layer_type is 'RoIPool', supported: 'RoIAlign'"),
        ("roi_extractor.featmap_stride", 8, "featmap_stride is 8, supported: 16"),
        ("roi_extractor.sampling_ratio", 2, "sampling_ratio is 2, supported: 0"),
        ("roi_extractor.pool_mode", "max", "pool_mode is 'max', supported: 'avg'"),
        ("roi_extractor.with_temporal_pool", False, "with_temporal_pool is False, supported: True"),
        ("roi_extractor.temporal_pool_mode", "last", "temporal_pool_mode is 'last', supported: 'avg' or 'max'"),
        ("roi_extractor.output_size", "8", "hyper.roi_extractor.output_size is '8', supported: a whole number"),
        ("roi_extractor.aligned", 1, "hyper.roi_extractor.aligned is 1, supported: True or False"),
        ("bbox_head.spatial_pool_type", "sum", "spatial_pool_type is 'sum', supported: 'max' or 'avg'"),
        ("bbox_head.temporal_pool_type", "sum", "temporal_pool_type is 'sum', supported: 'avg' or 'max'"),
        ("bbox_head.in_channels", 2048, "hyper.bbox_head.in_channels is 2048, supported: 256"),
        ("bbox_head.num_classes", "80", "num_classes is '80', supported: a whole number of at least 1"),
        ("backbone_type", "ResNet3dCSN", "backbone_type is 'ResNet3dCSN', supported: 'ResNet3dSlowOnly' or"),
        ("backbone", 3, "hyper.backbone is 3, expected a mapping"),
        ("shared_head", {"type": "Other"}, "hyper.shared_head.type is 'Other', supported: 'ACRNHead' or 'FBOHead' or"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(path: str, value: Any, message: str) -> None:
    assert message in refusal(change(slowonly(), path, value))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("sub_sample", False, "non_local_cfg.sub_sample is False, supported: True"),
        ("mode", "dot_product", "non_local_cfg.mode is 'dot_product', supported: 'embedded_gaussian'"),
        ("use_scale", False, "non_local_cfg.use_scale is False, supported: True"),
    ],
)
def test_other_non_local_blocks_are_refused(path: str, value: Any, message: str) -> None:
    hyper = slowonly(non_local_stages=[0, 0, 0, 1], non_local_cfg={**NON_LOCAL_CFG, path: value})
    assert message in refusal(hyper)
    # Where there is no block, nothing of it counts.
    with torch.device("meta"):
        describe_mmaction2(slowonly(non_local_cfg={path: value}))


def test_non_local_blocks_without_their_configuration_are_refused() -> None:
    hyper = slowonly(non_local_stages=[0, 0, 0, 1])
    assert "hyper.backbone.non_local_cfg.sub_sample is missing" in refusal(hyper)
    del hyper["backbone"]["non_local_cfg"]
    assert "hyper.backbone.non_local_cfg is missing" in refusal(hyper)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("resample_rate", 3, "hyper.resample_rate is 3, supported: a multiple of the speed_ratio 2"),
        ("slow_path.fusion_kernel", 4, "hyper.slow_path.fusion_kernel is 4, supported: an odd number"),
        ("slow_path.lateral_infl", 1, "lateral_infl is 1, supported: 2"),
        ("slow_path.lateral_activate", [1, 1, 0, 1], "lateral_activate is [1, 1, 0, 1], supported: [1, 1, 1, 1]"),
        ("slow_path.lateral_inplanes", [1, 2, 3, 4], "lateral_inplanes is [1, 2, 3, 4], supported: [8, 32, 64, 128]"),
        ("slow_path.speed_ratio", 4, "hyper.slow_path.speed_ratio is 4, supported: 2"),
        ("slow_path.conv1_kernel", [3, 7, 7], "hyper.slow_path.conv1_kernel has 3 frames, supported: 1"),
        ("fast_path.base_channels", 8, "hyper.fast_path.base_channels is 8, supported: 16 of the slow pathway / 4"),
        ("fast_path.lateral", True, "hyper.fast_path.lateral is True, supported: False"),
        ("fast_path.spatial_strides", [1, 2, 2, 2], "hyper.fast_path.spatial_strides are not those of the slow"),
    ],
)
def test_a_slowfast_that_is_not_supported_is_refused_by_name(path: str, value: Any, message: str) -> None:
    assert message in refusal(change(slowfast(), path, value))


CONFIG = json.loads((FOLDER.parent / "pyslowfast" / "SLOWFAST_32x2_R50.json").read_text())["resolved_config"]
