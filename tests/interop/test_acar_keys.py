import json
from typing import Any

import pytest

from pipeline.interop.acar_keys import is_acar, our_key, told_annotations
from pipeline.models.build import build_backbone
from tests.interop.test_acar_fixture import UPSTREAM


@pytest.mark.parametrize(
    ("key", "ours"),
    [
        ("backbone.module.slow_conv1.weight", "backbone.slow_path.conv1.conv.weight"),
        ("fast_bn1.running_var", "backbone.fast_path.conv1.bn.running_var"),
        ("module.slow_res4.2.conv3.weight", "backbone.slow_path.layer4.2.conv3.conv.weight"),
        ("backbone.fast_res2.0.bn2.bias", "backbone.fast_path.layer2.0.conv2.bn.bias"),
        ("backbone.module.slow_res1.0.downsample.0.weight", "backbone.slow_path.layer1.0.downsample.conv.weight"),
        ("backbone.module.slow_res1.0.downsample_bn.weight", "backbone.slow_path.layer1.0.downsample.bn.weight"),
        ("backbone.module.Tconv1.weight", "backbone.slow_path.conv1_lateral.conv.weight"),
        ("backbone.module.Tconv3.0.weight", "backbone.slow_path.layer2_lateral.conv.weight"),
        ("backbone.module.Tconv3.1.bias", "backbone.slow_path.layer2_lateral.bn.bias"),
        ("head.module.conv_reduce.weight", "head.shared.reduce.weight"),
        ("head.hr2o.1.conv_q.weight", "head.shared.layers.1.query.weight"),
        ("head.module.hr2o.0.conv.weight", "head.shared.layers.0.out.weight"),
        ("head.module.hr2o.0.norm.bias", "head.shared.layers.0.norm.bias"),
        ("head.module.fc1.weight", "head.shared.fc1.weight"),
        ("head.module.fc2.weight", "head.classifier.weight"),
        ("head.module.fc.weight", None),
        ("neck.weight", None),
    ],
)
def test_names(key: str, ours: str | None) -> None:
    assert our_key(key) == ours


@pytest.mark.parametrize(
    ("name", "backbone"),
    [("slowfast50", "pyslowfast_slowfast_r50_8x8"), ("slowfast101", "acar_slowfast_r101_8x8")],
)
def test_every_key_of_both_networks_has_a_counterpart(name: str, backbone: str) -> None:
    import torch

    keys = [key for key, _ in json.loads(UPSTREAM.read_text())[name]["state_dict"]]
    assert is_acar(keys)
    with torch.device("meta"):
        expected = {f"backbone.{key}" for key in build_backbone(backbone).state_dict()}
    found = [our_key(key) for key in keys]
    assert {key for key in found if key and key.startswith("backbone.")} == expected
    assert len(set(found)) == len(keys)
    assert None not in found


def test_annotations_are_told_from_weights() -> None:
    keyframe = {"video": "a", "time": "0902", "start_frame": 1, "labels": []}
    assert told_annotations(([keyframe] * 2, {0: {"id": 1}})) == (
        "annotations of ACAR-Net (2 keyframes, 1 classes), which are made of AVA's own files, as "
        "conf/dataset/ava22.yaml names them"
    )
    others: list[Any] = [[1], (1, 2), ([{}], {}), ([keyframe], []), {"a": 1}]
    for other in others:
        assert told_annotations(other) == ""
