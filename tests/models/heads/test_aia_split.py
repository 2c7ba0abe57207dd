import dataclasses

import pytest
import torch
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.models.context import BankWindow, Context, ObjectRows
from pipeline.models.heads.aia_split import aia_split
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.heads.lfb_nl_split import lfb_nl_split

CHANNELS, SECONDS, PER_SECOND, PLACES = 8, 6, 2, 3
SETTINGS = HeadSettings(
    roi_channels=CHANNELS,
    bank_channels=CHANNELS,
    classes=2,
    dropout=0.0,
    window_seconds=SECONDS,
    per_second=PER_SECOND,
    objects=PLACES,
)
# Where each kind of rows is seen in the result: behind the person's own channels.
PARTS = {"persons": 0, "objects": 1, "past": 2, "future": 3}


def context_of(clip_index: Tensor, *, seed: int = 0) -> Context:
    """A full window and full places of objects for each clip."""
    draw = torch.Generator().manual_seed(seed)
    clips = int(clip_index.max()) + 1
    window = torch.randn(clips, SECONDS * PER_SECOND, CHANNELS, generator=draw)
    objects = torch.randn(clips, PLACES, CHANNELS, generator=draw)
    return Context(
        clip_index,
        BankWindow(window, torch.ones(window.shape[:2], dtype=torch.bool), clip_index),
        objects=ObjectRows(objects, torch.ones(objects.shape[:2], dtype=torch.bool)),
    )


def looked(head: Head, roi: Tensor, context: Context) -> Tensor:
    assert head.shared is not None
    with torch.no_grad():
        return torch.as_tensor(head.shared(roi, context))


@pytest.mark.parametrize("mask", ["none", "valid"])
def test_each_answer_comes_from_its_rows(mask) -> None:
    torch.manual_seed(0)
    head = aia_split(dataclasses.replace(SETTINGS, mask=mask), latent=4, init="published").eval()
    clip_index = torch.tensor([0, 0, 1])
    roi, context = torch.randn(3, CHANNELS), context_of(clip_index)
    window, objects = context.window, context.objects
    assert window is not None
    assert objects is not None
    before = looked(head, roi, context)
    assert before.shape == (3, CHANNELS + 4 * len(PARTS))
    early, late = window.rows.clone(), window.rows.clone()
    early[:, :6] += 1
    late[:, 8:] += 1
    partner = roi.clone()
    partner[1] += 1
    changes = {
        "past": looked(head, roi, dataclasses.replace(context, window=dataclasses.replace(window, stored=early))),
        "future": looked(head, roi, dataclasses.replace(context, window=dataclasses.replace(window, stored=late))),
        "objects": looked(
            head, roi, dataclasses.replace(context, objects=dataclasses.replace(objects, rows=objects.rows + 1))
        ),
        "persons": looked(head, partner, context),
    }
    for changed, after in changes.items():
        for part, at in PARTS.items():
            first = slice(CHANNELS + 4 * at, CHANNELS + 4 * at + 4)
            moved = (after[0, first] - before[0, first]).abs().max() > 1e-4
            assert bool(moved) == (part == changed), f"{changed} moves {part}"
    assert torch.equal(changes["persons"][2], before[2]), "a person of another clip is not looked at"


def test_it_learns_what_only_another_person_or_an_object_tells() -> None:
    def task(clips: int, seed: int) -> tuple[Tensor, Context, Tensor]:
        draw = torch.Generator().manual_seed(seed)
        signs = torch.randn(4, CHANNELS, generator=torch.Generator().manual_seed(9))
        clip_index = torch.arange(clips).repeat(2)
        context = context_of(clip_index, seed=seed)
        assert context.objects is not None
        by_object, by_partner = torch.randint(0, 2, (2, clips), generator=draw)
        roi = 0.3 * torch.randn(2 * clips, CHANNELS, generator=draw)
        roi[clips:] += 2 * signs[by_partner]
        rows = 0.3 * torch.randn(clips, PLACES, CHANNELS, generator=draw)
        rows[torch.arange(clips), torch.randint(0, PLACES, (clips,), generator=draw)] += 2 * signs[2 + by_object]
        objects = dataclasses.replace(context.objects, rows=rows)
        labels = torch.stack([by_object, by_partner], dim=1).float()
        return roi, dataclasses.replace(context, objects=objects), labels

    def trained(order: str) -> list[float]:
        torch.manual_seed(0)
        head = aia_split(SETTINGS if "O" in order else dataclasses.replace(SETTINGS, objects=0), order=order, latent=16)
        optimiser = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
        roi, context, labels = task(192, seed=1)
        for _ in range(80):
            optimiser.zero_grad()
            logits = head(roi, context)[: len(labels)]
            nn.functional.binary_cross_entropy_with_logits(logits, labels).backward()
            optimiser.step()
        head.eval()
        roi, context, labels = task(192, seed=2)
        with torch.no_grad():
            right = (head(roi, context)[: len(labels)] > 0) == (labels > 0)
        return [float(each) for each in right.float().mean(dim=0)]

    both, without_objects, without_persons = trained("PO"), trained("P"), trained("O")
    assert min(both) > 0.95
    assert without_objects[0] < 0.65
    assert without_objects[1] > 0.95
    assert without_persons[0] > 0.95
    assert without_persons[1] < 0.65


def test_the_memory_is_that_of_lfb_nl_split() -> None:
    torch.manual_seed(0)
    head = aia_split(dataclasses.replace(SETTINGS, objects=0), order="M", latent=4, init="published").eval()
    other = lfb_nl_split(SETTINGS, latent=4, init="published").eval()
    assert head.shared is not None
    assert other.shared is not None
    state = head.shared.state_dict()
    other.shared.load_state_dict({name.removeprefix("memory."): value for name, value in state.items()})
    roi, context = torch.randn(3, CHANNELS), context_of(torch.tensor([0, 1, 1]))
    assert torch.equal(looked(head, roi, context), looked(other, roi, context))


@pytest.mark.parametrize(("order", "needs"), [("POM", {"objects", "window"}), ("PO", {"objects"}), ("MP", {"window"})])
def test_it_needs_what_it_reads(order, needs) -> None:
    assert aia_split(SETTINGS, order=order, latent=4).needs == needs


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_there_may_be_no_object_no_window_and_one_person() -> None:
    torch.manual_seed(0)
    head = aia_split(SETTINGS, latent=4, init="published")
    full = context_of(torch.tensor([0, 1]))
    assert full.window is not None
    assert full.objects is not None
    nothing = dataclasses.replace(
        full,
        window=BankWindow(torch.zeros_like(full.window.rows), ~full.window.mask, full.clip_index),
        objects=ObjectRows(torch.zeros_like(full.objects.rows), ~full.objects.mask),
    )
    with torch.autograd.detect_anomaly(check_nan=True):
        head(torch.randn(2, CHANNELS), nothing).sum().backward()
    assert all(each.grad is None or each.grad.isfinite().all() for each in head.parameters())
    nobody = torch.zeros(0, dtype=torch.long)
    window = BankWindow(torch.zeros_like(full.window.rows), ~full.window.mask, nobody)
    empty = dataclasses.replace(nothing, window=window, clip_index=nobody)
    assert head(torch.zeros(0, CHANNELS), empty).shape == (0, 2)


def test_what_a_user_can_ask_wrongly_is_refused() -> None:
    for order in ("", "PX", "PP"):
        message = rf"^head aia_split: order is '{order}', expected letters P, O and M, each at most once$"
        with pytest.raises(InputError, match=message):
            aia_split(SETTINGS, order=order)
    with pytest.raises(InputError, match=r"^head aia_split: persons is 0, expected at least 1$"):
        aia_split(SETTINGS, persons=0)
    with pytest.raises(InputError, match=r"^head aia_split: layers is 0 and latent 512, expected at least 1$"):
        aia_split(SETTINGS, layers=0)
    message = r"^head aia_split: it splits a window at the keyframe, found head\.window\.span past, expected centred$"
    with pytest.raises(InputError, match=message):
        aia_split(dataclasses.replace(SETTINGS, span="past"))
