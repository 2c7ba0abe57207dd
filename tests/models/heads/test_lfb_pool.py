import pytest
import torch
from torch import Tensor

from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.lfb_pool import lfb_avg, lfb_max, pool_window
from tests.models.heads.made_up import CHANNELS, trained_accuracy, windowed

WINDOW = torch.tensor([[[1.0, -5], [0, 0], [3, -2], [0, 0]], [[0, 0], [0, 0], [0, 0], [0, 0]]])
VALID = torch.tensor([[True, False, True, False], [False] * 4])


@pytest.mark.parametrize(
    ("pooling", "valid", "expected"),
    [
        ("mean", None, [[1.0, -1.75], [0, 0]]),
        ("max", None, [[3.0, 0], [0, 0]]),  # the zeros of empty slots bound the maximum, as published
        ("mean", VALID, [[2.0, -3.5], [0, 0]]),
        ("max", VALID, [[3.0, -2], [0, 0]]),
    ],
)
def test_empty_slots_take_part_or_do_not(pooling, valid, expected) -> None:
    assert pool_window(WINDOW, valid, pooling).tolist() == expected


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_with_a_mask_the_content_of_empty_slots_does_not_matter(pooling) -> None:
    filled = WINDOW.masked_fill(~VALID[:, :, None], 1e30)
    assert torch.equal(pool_window(filled, VALID, pooling), pool_window(WINDOW, VALID, pooling))


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("valid", [None, VALID])
@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_gradients_are_right_and_finite_also_for_an_empty_window(pooling, valid) -> None:
    window = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: pool_window(w, valid, pooling), (window,))
    with torch.autograd.detect_anomaly(check_nan=True):
        leaf = WINDOW.clone().requires_grad_()
        pool_window(leaf, valid, pooling).square().sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()


@pytest.mark.parametrize("build", [lfb_max, lfb_avg])
def test_each_person_gets_the_window_of_its_clip(build) -> None:
    head = build(HeadSettings(roi_channels=3, bank_channels=2, classes=4, mask="none")).eval()
    window = torch.randn(2, 5, 2)
    clip_index = torch.tensor([1, 0, 1])
    roi = torch.randn(3, 3)
    logits = head(roi, windowed(clip_index, window))
    pooled: Tensor = window.max(dim=1).values if build is lfb_max else window.mean(dim=1)
    assert torch.allclose(logits, head.classifier(torch.cat([roi, pooled[clip_index]], dim=1)), atol=1e-6)
    assert head.needs == {"window"}
    assert head.scopes == {"head", "all"}


@pytest.mark.parametrize("build", [lfb_max, lfb_avg])
def test_no_person_at_all(build) -> None:
    head = build(HeadSettings(roi_channels=3, bank_channels=2, classes=4))
    context = windowed(torch.zeros(0, dtype=torch.long), torch.randn(2, 4, 2), VALID)
    assert head(torch.zeros(0, 3), context).shape == (0, 4)


def test_the_maximum_finds_a_pattern_that_the_mean_buries() -> None:
    settings = HeadSettings(roi_channels=CHANNELS, bank_channels=CHANNELS, classes=3, dropout=0.2)
    assert trained_accuracy(lambda: lfb_max(settings)) > 0.75
    assert trained_accuracy(lambda: lfb_avg(settings)) < 0.65
