import pytest
import torch

from pipeline.errors import InputError
from pipeline.models.build import BACKBONES, build_backbone, build_detector, parameter_count


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_says_its_channels_and_stride(name: str) -> None:
    backbone = build_backbone(name).eval()
    side = 2 * backbone.stride
    with torch.no_grad():
        (feature_map,) = backbone(torch.zeros(1, 3, 2, side, side))
    assert feature_map.shape == (1, backbone.out_channels, 2, 2, 2)


def test_an_unknown_backbone_is_refused_with_the_choices() -> None:
    message = "^backbone slowonly_r52: no such backbone, expected one of slowonly_r50, slowonly_r101, slowonly_tiny$"
    with pytest.raises(InputError, match=message):
        build_backbone("slowonly_r52")


def test_the_baseline_detector() -> None:
    detector = build_detector("slowonly_tiny", classes=12, dropout=0.25)
    assert detector.head.dropout.p == 0.25  # type: ignore[union-attr]
    assert parameter_count(detector) == 137_552 + 12 * 129


def test_equal_seeds_build_equal_weights() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        states.append(build_detector("slowonly_tiny", classes=3).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
