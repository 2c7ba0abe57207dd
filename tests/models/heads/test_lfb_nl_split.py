import dataclasses

import pytest
import torch
from torch import nn

from pipeline.base.errors import InputError
from pipeline.models.context import Context
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.heads.lfb_nl import lfb_nl
from pipeline.models.heads.lfb_nl_split import SplitBank, lfb_nl_split
from tests.models.heads.made_up import windowed

CHANNELS, SECONDS, PER_SECOND = 8, 6, 2
SETTINGS = HeadSettings(
    roi_channels=CHANNELS,
    bank_channels=CHANNELS,
    classes=2,
    dropout=0.0,
    window_seconds=SECONDS,
    per_second=PER_SECOND,
)


def _order_task(clips: int, seed: int) -> tuple[torch.Tensor, Context, torch.Tensor]:
    """Two events are in every window, one before and one after the keyframe; the label is which came first."""
    draw = torch.Generator().manual_seed(seed)
    events = torch.randn(2, CHANNELS, generator=torch.Generator().manual_seed(0))
    label = torch.randint(0, 2, (clips,), generator=draw)
    window = 0.3 * torch.randn(clips, SECONDS * PER_SECOND, CHANNELS, generator=draw)
    half = SECONDS // 2 * PER_SECOND
    before = torch.randint(0, half, (clips,), generator=draw)
    after = torch.randint(half + PER_SECOND, SECONDS * PER_SECOND, (clips,), generator=draw)
    window[torch.arange(clips), before] += 2 * events[label]
    window[torch.arange(clips), after] += 2 * events[1 - label]
    roi = torch.randn(clips, CHANNELS, generator=draw)
    return roi, windowed(torch.arange(clips), window), label


def _accuracy(head: Head) -> float:
    roi, context, label = _order_task(192, seed=1)
    optimiser = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    for _ in range(80):
        optimiser.zero_grad()
        nn.functional.cross_entropy(head(roi, context), label).backward()
        nn.utils.clip_grad_norm_(head.parameters(), 5)
        optimiser.step()
    head.eval()
    roi, context, label = _order_task(192, seed=2)
    with torch.no_grad():
        return float((head(roi, context).argmax(dim=1) == label).float().mean())


def test_it_tells_which_of_two_events_came_first_and_one_attention_cannot() -> None:
    torch.manual_seed(0)
    assert _accuracy(lfb_nl_split(SETTINGS, latent=16)) > 0.9
    assert _accuracy(lfb_nl(SETTINGS, latent=16)) < 0.65


@pytest.mark.parametrize(("seconds", "past", "future"), [(6, 4, 3), (7, 4, 4), (60, 31, 30), (2, 2, 1)])
def test_the_keyframes_own_second_is_in_both_halves_and_every_slot_in_one(seconds, past, future) -> None:
    shared = lfb_nl_split(dataclasses.replace(SETTINGS, window_seconds=seconds), latent=4).shared
    assert isinstance(shared, SplitBank)
    slots = list(range(seconds * PER_SECOND))
    assert slots[shared.past_slots] == slots[: past * PER_SECOND]
    assert slots[shared.future_slots] == slots[-future * PER_SECOND :]
    assert (past - 1) + 1 + (future - 1) == seconds


@pytest.mark.parametrize("mask", ["none", "valid"])
def test_each_answer_comes_from_its_half(mask) -> None:
    torch.manual_seed(0)
    head = lfb_nl_split(dataclasses.replace(SETTINGS, mask=mask), latent=4, init="published").eval()
    roi = torch.randn(2, CHANNELS)
    window = torch.randn(1, SECONDS * PER_SECOND, CHANNELS)
    assert head.shared is not None

    def found(window: torch.Tensor) -> torch.Tensor:
        context = windowed(torch.zeros(2, dtype=torch.long), window)
        return torch.as_tensor(head.shared(roi, context))  # type: ignore[misc]

    with torch.no_grad():
        before = found(window)
        assert before.shape == (2, CHANNELS + 8)
        for slots, changes in (
            (slice(0, 6), [True, False]),
            (slice(6, 8), [True, True]),
            (slice(8, 12), [False, True]),
        ):
            moved = window.clone()
            moved[:, slots] += 1
            parts = [(found(moved) - before)[:, at : at + 4].abs().max() > 1e-4 for at in (CHANNELS, CHANNELS + 4)]
            assert parts == changes


def test_both_halves_are_asked_with_the_same_weights() -> None:
    head, plain = (each(SETTINGS, latent=4) for each in (lfb_nl_split, lfb_nl))
    count = [sum(each.numel() for each in one.shared.parameters()) for one in (head, plain) if one.shared is not None]
    assert count[0] == count[1]


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_half_a_window_may_be_empty() -> None:
    torch.manual_seed(0)
    head = lfb_nl_split(SETTINGS, latent=4, init="published")
    mask = torch.zeros(2, SECONDS * PER_SECOND, dtype=torch.bool)
    mask[0, :3] = True
    window = torch.randn(2, SECONDS * PER_SECOND, CHANNELS) * mask[:, :, None]
    context = windowed(torch.tensor([0, 1]), window, mask)
    with torch.autograd.detect_anomaly(check_nan=True):
        head(torch.randn(2, CHANNELS), context).sum().backward()
    assert all(each.grad is None or each.grad.isfinite().all() for each in head.parameters())


def test_what_a_user_can_ask_wrongly_is_refused() -> None:
    message = r"^head lfb_nl_split: it splits a window, found head.window.seconds 0 and head.window.per_second 0$"
    with pytest.raises(InputError, match=message):
        lfb_nl_split(HeadSettings(roi_channels=5, bank_channels=3, classes=2))
    with pytest.raises(InputError, match=r"^head lfb_nl_split: layers is 0 and latent 512, expected at least 1$"):
        lfb_nl_split(SETTINGS, layers=0)
    with pytest.raises(InputError, match=r"^head lfb_nl_split: init is small, expected identity or published$"):
        lfb_nl_split(SETTINGS, init="small")
    context = windowed(torch.zeros(1, dtype=torch.long), torch.zeros(1, 5, CHANNELS))
    with pytest.raises(ValueError, match=r"^the window has 5 slots, this head expects 12$"):
        lfb_nl_split(SETTINGS, latent=4)(torch.zeros(1, CHANNELS), context)


@pytest.mark.parametrize("span", ["past", "future"])
def test_a_window_on_one_side_of_the_keyframe_is_refused(span) -> None:
    message = (
        rf"^head lfb_nl_split: it splits a window at the keyframe, found head\.window\.span {span}, expected centred$"
    )
    with pytest.raises(InputError, match=message):
        lfb_nl_split(dataclasses.replace(SETTINGS, span=span))
