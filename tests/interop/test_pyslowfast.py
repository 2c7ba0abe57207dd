import json

import pytest
import torch

from pipeline.interop.pyslowfast import caffe2_key, count_pathways, is_no_weight, lfb_blobs, our_key
from pipeline.models.build import build_backbone
from tests.interop.made_fixture import FOLDER
from tests.interop.small_models import caffe2_blobs, pyslowfast_state, small_detector


@pytest.mark.parametrize(
    ("name", "backbone"),
    [("SLOW_4x16_R50", "pyslowfast_slow_r50"), ("SLOWFAST_32x2_R50", "pyslowfast_slowfast_r50_8x8")],
)
def test_every_key_of_the_fixtures_has_a_place(name: str, backbone: str) -> None:
    listed = json.loads((FOLDER.parent / "pyslowfast" / f"{name}.json").read_text())["state_dict"]
    with torch.device("meta"):
        own = {f"backbone.{key}": list(value.shape) for key, value in build_backbone(backbone).state_dict().items()}
    paths = count_pathways(key for key, _, _ in listed)
    found = {our_key(key, pathways=paths): shape for key, shape, _ in listed}
    assert {key: shape for key, shape in found.items() if key and key.startswith("backbone.")} == own
    assert set(found) - set(own) == {"head.classifier.weight", "head.classifier.bias"}


@pytest.mark.parametrize(
    ("blob", "key"),
    [
        ("conv1_w", "s1.pathway0_stem.conv.weight"),
        ("t_conv1_w", "s1.pathway1_stem.conv.weight"),
        ("res_conv1_bn_riv", "s1.pathway0_stem.bn.running_var"),
        ("t_res_conv1_bn_s", "s1.pathway1_stem.bn.weight"),
        ("t_pool1_subsample_w", "s1_fuse.conv_f2s.weight"),
        ("t_pool1_subsample_bn_rm", "s1_fuse.bn.running_mean"),
        ("t_res4_5_branch2c_bn_subsample_w", "s4_fuse.conv_f2s.weight"),
        ("t_res4_22_branch2c_bn_subsample_bn_b", "s4_fuse.bn.bias"),
        ("res4_4_branch2c_bn_b", "s4.pathway0_res4.branch2.c_bn.bias"),
        ("res4_12_branch2a_w", "s4.pathway0_res12.branch2.a.weight"),
        ("t_res5_0_branch1_w", "s5.pathway1_res0.branch1.weight"),
        ("res2_0_branch1_bn_rm", "s2.pathway0_res0.branch1_bn.running_mean"),
        ("pred_w", "head.projection.weight"),
        ("pred_b", "head.projection.bias"),
        ("conv1_w_momentum", None),
        ("res6_0_branch1_w", None),
        ("pool1_subsample_w", None),
        ("t_pred_w", None),
    ],
)
def test_caffe2_names(blob: str, key: str | None) -> None:
    assert caffe2_key(blob) == key


@pytest.mark.parametrize("backbone", ["pyslowfast_slow_r50", "pyslowfast_slowfast_r50_4x16"])
def test_names_lead_back_to_where_they_came_from(backbone: str) -> None:
    model = small_detector(backbone, "linear")
    state = pyslowfast_state(model)
    paths = count_pathways(state)
    assert [our_key(key, pathways=paths) for key in state] == list(model.state_dict())
    names = [caffe2_key(name) for name in caffe2_blobs(state) if not is_no_weight(name)]
    assert names == [key for key in state if not key.endswith("num_batches_tracked")]


def test_what_is_no_weight_and_what_is_of_another_network() -> None:
    names = ["lr", "model_iter", "conv1_w_momentum", "conv1_w", "lfb_1x1_w", "nonlocal_conv3_1_phi_w"]
    assert [name for name in names if is_no_weight(name)] == ["lr", "model_iter", "conv1_w_momentum"]
    assert lfb_blobs(names) == ["lfb_1x1_w", "nonlocal_conv3_1_phi_w"]
    assert our_key("s1_fuse.conv_f2s.weight", pathways=1) is None
    assert our_key("s6.pathway0_res0.branch1.weight", pathways=2) is None
