import pytest

from pipeline.interop.torchvision_resnet import backbone_key, is_original_trn, is_torchvision, mmaction2_key


@pytest.mark.parametrize(
    ("key", "ours"),
    [
        ("conv1.weight", "backbone.conv1.conv.weight"),
        ("bn1.running_var", "backbone.conv1.bn.running_var"),
        ("layer3.5.conv2.weight", "backbone.layer3.5.conv2.conv.weight"),
        ("layer3.5.bn2.bias", "backbone.layer3.5.conv2.bn.bias"),
        ("layer4.0.downsample.0.weight", "backbone.layer4.0.downsample.conv.weight"),
        ("layer4.0.downsample.1.weight", "backbone.layer4.0.downsample.bn.weight"),
        ("fc.weight", None), ("layer5.0.conv1.weight", None), ("layer1.0.downsample.2.weight", None),
    ],
)  # fmt: skip
def test_keys_of_torchvision(key: str, ours: str | None) -> None:
    assert backbone_key(key) == ours


@pytest.mark.parametrize(
    ("key", "theirs"),
    [
        ("base_model.bn1.weight", "backbone.conv1.bn.weight"),
        ("new_fc.bias", "cls_head.fc_cls.bias"),
        ("consensus.fc_fusion_scales.2.3.bias", "cls_head.consensus.fc_fusion_scales.2.3.bias"),
        ("consensus.classifier.1.weight", "cls_head.consensus.classifier.1.weight"),
        ("base_model.conv1_7x7_s2.weight", "base_model.conv1_7x7_s2.weight"), ("other", "other"),
    ],
)  # fmt: skip
def test_keys_of_the_original_trn(key: str, theirs: str) -> None:
    assert mmaction2_key(key) == theirs


def test_what_tells_them() -> None:
    assert is_torchvision(["layer1.0.conv1.weight", "conv1.weight"])
    assert not is_torchvision(["conv1.weight"])
    assert is_original_trn(["new_fc.weight", "base_model.x"])
    assert not is_original_trn(["new_fc.weight", "x"])
