"""Two orders of the same products; gradients and options of what the heads share."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pipeline.base.errors import InputError
from pipeline.models.context import BankWindow, Context, KeptRows, ObjectRows
from pipeline.models.heads.attend import (
    Carried,
    Projected,
    WindowReader,
    attend,
    group_persons,
    is_carried_cheaper,
)
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.lfb_nl import lfb_nl
from pipeline.models.heads.table import build_head
from pipeline.models.settings import Mask
from pipeline.models.standardise import Standardise, StandardisedHead

CHANNELS, SECONDS, PER_SECOND = 6, 4, 2
CLIPS = torch.tensor([0, 2, 2, 0, 3])
NAMES = ("lfb_nl", "lfb_nl_split", "aia_parallel", "aia_serial", "aia_dense_serial", "aia_split")


@given(st.lists(st.integers(0, 4), max_size=12))
def test_persons_are_numbered_within_their_clip(clips: list[int]) -> None:
    place, persons = group_persons(torch.tensor(clips, dtype=torch.long), 5)
    assert place.tolist() == [clips[:row].count(clip) for row, clip in enumerate(clips)]
    assert persons == max((clips.count(clip) for clip in range(5)), default=0)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=7), st.booleans(), st.integers(0, 2**20))
def test_attention_equals_each_person_alone_with_a_window_of_its_own(clips, masked, seed) -> None:
    draw = torch.Generator().manual_seed(seed)
    query = torch.randn(len(clips), 4, generator=draw)
    key, value = torch.randn(2, 3, 5, 4, generator=draw)
    valid = torch.rand(3, 5, generator=draw) < 0.5
    valid[:, 0] = True
    together = attend(query, key, value, valid if masked else None, torch.tensor(clips))
    for row, clip in enumerate(clips):
        keep = valid[clip] if masked else torch.ones(5, dtype=torch.bool)
        weight = (key[clip][keep] @ query[row] / math.sqrt(4)).softmax(0)
        assert torch.allclose(together[row], weight @ value[clip][keep], atol=1e-5)


def head_of(name: str, mask: Mask = "valid", **options: float | str) -> StandardisedHead:
    """A small head whose every weight counts, on standardised rows."""
    torch.manual_seed(0)
    sizes = HeadSettings(
        roi_channels=CHANNELS, bank_channels=CHANNELS, classes=3, dropout=0.0, mask=mask, window_seconds=SECONDS,
        per_second=PER_SECOND, objects=2 if name.startswith("aia") else 0,
    )  # fmt: skip
    head = build_head(name, sizes, {"latent": 4, "dropout": 0.0, **options})
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.5)
    statistics = [Standardise(torch.randn(CHANNELS), torch.rand(CHANNELS) + 0.5) for _ in range(2)]
    return StandardisedHead(head, roi=statistics[0], bank=statistics[1]).eval()


def context_of(*, as_table: bool = True) -> Context:
    """Four windows: one of nobody, one without a row, two half full."""
    draw = torch.Generator().manual_seed(1)
    table = torch.randn(20, CHANNELS, generator=draw).half()
    table[0] = 0
    slots = torch.randint(1, 20, (4, SECONDS * PER_SECOND), generator=draw)
    slots[torch.rand(slots.shape, generator=draw) < 0.5] = 0
    slots[3] = 0
    given = (table, slots != 0, CLIPS, slots) if as_table else (table[slots], slots != 0, CLIPS)
    objects = ObjectRows(torch.randn(4, 2, CHANNELS, generator=draw), torch.ones(4, 2, dtype=torch.bool))
    return Context(CLIPS, BankWindow(*given), None, objects)


def projected(reader: WindowReader, window: BankWindow, project: nn.Linear, dropout: nn.Dropout) -> Projected:
    """What `WindowReader.see` gives, in the other order."""
    assert not dropout.training
    valid = None if reader.mask == "none" else window.mask
    return Projected(project(window.whole(project.weight.dtype)), valid, window.owner)


@pytest.mark.parametrize("mask", ["none", "valid"])
@pytest.mark.parametrize("name", NAMES)
def test_both_orders_give_the_same_and_the_same_gradients(name: str, mask: Mask, monkeypatch) -> None:
    head, context = head_of(name, mask).double(), context_of()
    found = []
    for order in ("carried", "projected"):
        if order == "projected":
            monkeypatch.setattr(WindowReader, "see", projected)
        roi = torch.randn(5, CHANNELS, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        head.zero_grad()
        logits = head(roi.requires_grad_(), context)
        logits.square().sum().backward()
        assert roi.grad is not None
        gradients = {key: each.grad for key, each in head.named_parameters()}
        assert all(each is not None for each in gradients.values()), "of the bias of keys too: ranks wait for it"
        found.append({**gradients, "logits": logits.detach(), "roi": roi.grad})
    for key, carried in found[0].items():
        # Rounding alone decides the gradient of the bias of keys, which is 0.
        torch.testing.assert_close(carried, found[1][key], rtol=1e-6, atol=1e-9, msg=key)


@pytest.mark.parametrize("mask", ["none", "valid"])
@pytest.mark.parametrize("name", NAMES)
def test_rows_by_number_and_copied_rows_give_the_same_bytes(name: str, mask: Mask) -> None:
    head, roi = head_of(name, mask), torch.randn(5, CHANNELS)
    with torch.no_grad():
        by_number, copied = (head(roi, context_of(as_table=as_table)) for as_table in (True, False))
    assert torch.equal(by_number, copied)


def test_what_dropout_acts_on_is_seen_in_training_alone() -> None:
    context = context_of()
    assert context.window is not None
    roi, dropout, project = torch.randn(5, CHANNELS), nn.Dropout(0.5), nn.Linear(CHANNELS, 4)
    rows, whole = (head_of("lfb_nl", dropout=0.5, window_dropout=each) for each in ("rows", "projected"))
    assert torch.equal(rows(roi, context), whole(roi, context))
    torch.manual_seed(0)
    for mask in ("valid", "none"):
        seen = WindowReader("h", mask, "rows", 1).see(context.window, project, dropout)
        assert isinstance(seen, Carried)
        taken = seen.valid[:3][context.window.mask[:3]] if mask == "valid" else seen.valid  # type: ignore[index]
        assert taken is not None
        assert 0.2 < taken.float().mean() < 0.8
        seen = WindowReader("h", mask, "projected", 1).see(context.window, project, dropout)
        assert isinstance(seen, Projected)
        assert 0.2 < (seen.rows == 0).float().mean() < 0.8
    dropout.eval()
    for each in ("rows", "projected"):
        seen = WindowReader("h", "valid", each, 1).see(context.window, project, dropout)
        assert isinstance(seen, Carried)
        assert seen.valid is context.window.mask


@pytest.mark.parametrize("name", NAMES)
def test_a_window_whose_rows_are_all_left_out_has_finite_gradients(name: str, monkeypatch) -> None:
    heads, context = [head_of(name, mask, dropout=0.3).train() for mask in ("none", "valid")], context_of()
    monkeypatch.setattr(torch, "rand", lambda shape, device: torch.zeros(shape, device=device))
    for head in heads:
        head(torch.randn(5, CHANNELS), context).sum().backward()
        assert all(each.grad is not None and each.grad.isfinite().all() for each in head.parameters())


def test_the_order_with_fewer_products_is_taken_in_training() -> None:
    project = nn.Linear(2048, 512)

    def cheaper(*, persons: int, slots: int = 300) -> bool:
        owner = torch.zeros(persons, dtype=torch.long)
        numbers = torch.zeros(1, slots, dtype=torch.long)
        return is_carried_cheaper(BankWindow(torch.zeros(1, 2048), numbers != 0, owner, numbers), project, 2)

    assert [cheaper(persons=count) for count in (1, 4, 20, 80, 100)] == [True, True, True, True, False]
    assert [cheaper(persons=4, slots=count) for count in (1, 5, 30)] == [False, False, True]


def test_many_persons_are_asked_in_the_other_order_with_the_same_result() -> None:
    settings = HeadSettings(roi_channels=CHANNELS, bank_channels=CHANNELS, classes=2, dropout=0.0)
    head = lfb_nl(settings, latent=4, dropout=0.0, init="published")
    context = context_of()
    many = replace(context, clip_index=CLIPS.repeat(40), window=replace(context.window, owner=CLIPS.repeat(40)))  # type: ignore[type-var]
    roi = torch.randn(5, CHANNELS)
    torch.testing.assert_close(head.train()(roi.repeat(40, 1), many)[:5], head.eval()(roi, context))


@pytest.mark.parametrize("name", NAMES)
def test_another_word_is_refused(name: str) -> None:
    message = rf"^head {name}: options\.window_dropout is some, expected rows or projected$"
    with pytest.raises(InputError, match=message):
        head_of(name, window_dropout="some")


@pytest.mark.parametrize("mask", ["none", "valid"])
@pytest.mark.parametrize("name", NAMES)
def test_rows_that_are_kept_projected_give_the_same(name: str, mask: Mask) -> None:
    head, roi, context = head_of(name, mask).double(), torch.randn(5, CHANNELS, dtype=torch.float64), context_of()
    kept = replace(context, window=replace(context.window, kept=KeptRows()))  # type: ignore[type-var]
    with torch.no_grad():
        found = [head(roi, each) for each in (context, kept, kept)]
    torch.testing.assert_close(found[0], found[1], rtol=1e-6, atol=1e-9)
    assert torch.equal(found[1], found[2])
    torch.testing.assert_close(head(roi, kept), found[0], rtol=0, atol=0)  # with a gradient nothing is kept
    assert len(kept.window.kept.of) == 1  # type: ignore[union-attr]
