"""Windows of persons: one for all of a clip, or one each."""

import pytest
import torch

from pipeline.models.context import BankWindow, Context
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.heads.table import build_head
from pipeline.models.settings import Mask
from pipeline.models.standardise import Standardise, StandardisedHead
from tests.models.heads.made_up import windowed

NAMES = ["lfb_nl", "lfb_nl_split", "lfb_max", "lfb_avg"]
SLOTS = 8


def head_of(name: str, mask: Mask = "valid") -> Head:
    torch.manual_seed(0)
    settings = HeadSettings(
        roi_channels=5, bank_channels=3, classes=2, dropout=0.0, mask=mask, window_seconds=4, per_second=2
    )
    return build_head(name, settings, {"latent": 4, "init": "published"} if "nl" in name else {}).eval()


def persons(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features, and a window with its mask for each."""
    draw = torch.Generator().manual_seed(1)
    mask = torch.rand(count, SLOTS, generator=draw) < 0.6
    mask[1::4] = False  # some see nobody
    window = torch.randn(count, SLOTS, 3, generator=draw) * mask[:, :, None]
    return torch.randn(count, 5, generator=draw), window, mask


@pytest.mark.parametrize("mask", ["none", "valid"])
@pytest.mark.parametrize("name", NAMES)
def test_a_person_with_a_window_of_its_own_reads_that_one(name: str, mask: Mask) -> None:
    head = head_of(name, mask)
    roi, window, valid = persons(6)
    clips = torch.tensor([0, 0, 0, 1, 2, 2])
    own = Context(clips, BankWindow(window, valid, torch.arange(6)))
    logits = head(roi, own)
    for person in range(6):
        alone = windowed(torch.tensor([0]), window[person : person + 1], valid[person : person + 1])
        torch.testing.assert_close(logits[person], head(roi[person : person + 1], alone)[0])
    # The same window for each is one window for all.
    shared = windowed(clips, window[:3], valid[:3])
    copied = Context(clips, BankWindow(window[clips], valid[clips], torch.arange(6)))
    torch.testing.assert_close(head(roi, shared), head(roi, copied))


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("mask", ["none", "valid"])
@pytest.mark.parametrize("name", NAMES)
def test_nobody_and_nothing_have_finite_gradients(name: str, mask: Mask, count: int) -> None:
    head = StandardisedHead(head_of(name, mask).train(), roi=None, bank=Standardise(torch.ones(3), torch.ones(3)))
    roi, rows, _ = persons(count)
    roi.requires_grad_()
    empty = torch.zeros(count, SLOTS, dtype=torch.bool)
    window = BankWindow(torch.zeros_like(rows), empty, torch.arange(count))
    context = Context(torch.zeros(count, dtype=torch.long), window)
    with torch.autograd.detect_anomaly():
        logits = head(roi, context)
        logits.sum().backward()
    assert logits.shape == (count, 2)
    gradients = [roi.grad, *(each.grad for each in head.parameters() if each.grad is not None)]
    assert all(each is not None and each.isfinite().all() for each in gradients)
