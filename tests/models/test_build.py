import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.models.build import BACKBONES, BASELINE_HEADS, build_backbone, build_detector, parameter_count
from pipeline.models.heads.table import HEADS
from pipeline.models.settings import RoiSettings

CHANNELS = {
    "videomae_b": 768, "videomae_l": 1024,
    "hiera_b": 384 + 768, "hiera_bplus": 448 + 896, "hiera_l": 576 + 1152, "hiera_h": 1024 + 2048,
}  # fmt: skip


@pytest.mark.parametrize("width", [None, 8, 24])
@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_says_its_channels_and_stride(name: str, width: int | None) -> None:
    if width is None and not name.endswith("tiny"):
        with torch.device("meta"):
            backbone = build_backbone(name)
        assert backbone.out_channels == CHANNELS.get(name, 2304 if "slowfast_r" in name else 2048)
        assert backbone.stride == 16
        return
    backbone = build_backbone(name, width=width).eval()
    side, frames = 2 * backbone.stride, 4 if name == "videomae_tiny" else 16
    with torch.no_grad():
        maps = backbone(torch.zeros(1, 3, frames, side, side))
    assert sum(each.shape[1] for each in maps) == backbone.out_channels
    assert all(each.shape[3:] == (2, 2) for each in maps)


@pytest.mark.parametrize(
    ("backbone", "context", "head", "mlp", "columns", "count"),
    [  # of models without a fixture; those of the fixtures are in test_parity.py
        ("slowfast_r50_4x16", "global", "linear", False, 81, 33_930_617),
        ("slowfast_r101_8x8", "none", "linear", False, 81, 62_177_017),
        ("pyslowfast_slow_r50", "none", "linear", False, 80, 31_798_416),
        ("pyslowfast_slowfast_r50_8x8", "none", "linear", False, 80, 33_828_888),
    ],
)
def test_parameters_at_full_width(backbone, context, head, mlp, columns, count) -> None:
    with torch.device("meta"):
        detector = build_detector(backbone, classes=columns, roi=RoiSettings(context=context), head=head, mlp=mlp)
    assert parameter_count(detector) == count


def test_unknown_names_are_refused_with_the_choices() -> None:
    with pytest.raises(
        InputError, match=f"^backbone slowonly_r52: no such backbone, expected one of {', '.join(BACKBONES)}$"
    ):
        build_backbone("slowonly_r52")
    with pytest.raises(InputError, match=r"^head lfb_nl: no such head, expected one of linear, two_layer, acrn, acar$"):
        build_detector("slowonly_tiny", classes=5, head="lfb_nl")
    with pytest.raises(InputError, match=r"^head acrn: unknown option layers, expected convs$"):
        build_detector("slowonly_tiny", classes=5, head="acrn", head_options={"layers": 2})


@pytest.mark.parametrize("width", [0, 4, 12, -8])
def test_a_width_that_does_not_divide_is_refused(width: int) -> None:
    with pytest.raises(InputError, match=rf"^backbone slowfast_tiny: width is {width}, expected a multiple of 8$"):
        build_backbone("slowfast_tiny", width=width)


def test_the_baseline_detector() -> None:
    detector = build_detector("slowonly_tiny", classes=12, dropout=0.25)
    assert detector.head.dropout.p == 0.25  # type: ignore[union-attr]
    assert parameter_count(detector) == 137_552 + 12 * 129


def test_a_baseline_can_have_every_head_that_reads_no_bank_and_no_other() -> None:
    assert set(BASELINE_HEADS.items()) < set(HEADS.items())
    assert [name for name in HEADS if name not in BASELINE_HEADS] == [
        name for name in HEADS if "lfb" in name or "aia" in name
    ]


def test_equal_seeds_build_equal_weights() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        states.append(build_detector("slowfast_tiny", classes=3, head="acrn", mlp=True).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
