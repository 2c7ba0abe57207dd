"""The weights give back what the head computed."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from pipeline.models.attention import BLOCKS, Attention, attends, record_attention
from pipeline.models.context import BankWindow, Context, ObjectRows
from pipeline.models.heads import attend
from pipeline.models.heads.attend import Projected, WindowReader, attention_weights
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.table import HEADS, build_head
from pipeline.models.settings import Mask

CHANNELS, SECONDS, PER_SECOND, OBJECTS = 8, 5, 2, 3
CLIP = torch.tensor([0, 0, 1, 1, 1, 2])
SETTINGS = HeadSettings(
    roi_channels=CHANNELS, bank_channels=CHANNELS, classes=3, map_channels=CHANNELS, dropout=0.0,
    window_seconds=SECONDS, per_second=PER_SECOND,
)  # fmt: skip
LAYERS = {
    "lfb_nl": [("M", 1), ("M", 2)],
    "lfb_nl_split": [("past", 1), ("past", 2), ("future", 1), ("future", 2)],
    "aia_parallel": [("P", 1), ("O", 1), ("M", 1), ("P", 2), ("O", 2), ("M", 2)],
    "aia_serial": [("P", 1), ("O", 1), ("M", 1), ("P", 2), ("O", 2), ("M", 2)],
    "aia_dense_serial": [("P", 1), ("O", 1), ("M", 1), ("P", 2), ("O", 2), ("M", 2)],
    "aia_split": [("P", 1), ("P", 2), ("O", 1), ("O", 2), ("past", 1), ("past", 2), ("future", 1), ("future", 2)],
}


def settings_of(name: str, mask: Mask) -> HeadSettings:
    reads_objects = name.startswith("aia")
    return replace(SETTINGS, mask=mask, objects=OBJECTS if reads_objects else 0)


def made_up() -> tuple[Tensor, Context]:
    draw = torch.Generator().manual_seed(3)
    valid = torch.rand(3, SECONDS * PER_SECOND, generator=draw) < 0.6
    valid[2] = False  # nothing to look at in the window of the last clip, nor an object
    rows = torch.randn(3, SECONDS * PER_SECOND, CHANNELS, generator=draw) * valid[:, :, None]
    seen = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
    objects = torch.randn(3, OBJECTS, CHANNELS, generator=draw) * seen[:, :, None]
    context = Context(CLIP, BankWindow(rows, valid, CLIP), torch.zeros(3, CHANNELS, 2, 2), ObjectRows(objects, seen))
    return torch.randn(len(CLIP), CHANNELS, generator=draw).double(), context


def head_of(name: str, mask: Mask) -> tuple[nn.Module, Tensor, Context]:
    roi, context = made_up()
    torch.manual_seed(0)
    head = build_head(name, settings_of(name, mask), {"latent": 4}).eval().double()
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.5)  # `identity` begins with layers that add nothing
    return head, roi, context


@pytest.mark.parametrize("mask", ["none", "valid"])
@pytest.mark.parametrize("name", sorted(LAYERS))
def test_summing_by_the_weights_gives_what_the_head_computed(name, mask, monkeypatch) -> None:
    head, roi, context = head_of(name, mask)
    with torch.no_grad(), record_attention(head) as recorded:
        expected = head(roi, context)
    assert [(each.looker.block, each.looker.layer) for each in recorded] == LAYERS[name]
    waiting = [each.weights_RL for each in recorded]

    def by_weights(query: Tensor, key: Tensor, value: Tensor, valid: Tensor | None, window: Tensor) -> Tensor:
        weights = waiting.pop(0).nan_to_num(0)
        return (weights[:, :, None] * value[window]).sum(dim=1)

    def project(reader: WindowReader, window: BankWindow, layer: nn.Linear, _: nn.Dropout) -> Projected:
        valid = None if reader.mask == "none" else window.mask
        return Projected(layer(window.whole(torch.float64)), valid, window.owner)

    monkeypatch.setattr(attend, "attend", by_weights)
    monkeypatch.setattr(WindowReader, "see", project)
    with torch.no_grad():
        torch.testing.assert_close(head(roi, context), expected, rtol=1e-9, atol=1e-9)
    assert not waiting


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_the_weights_of_a_person_add_up_to_one_and_empty_places_have_none(name) -> None:
    head, roi, context = head_of(name, "valid")
    assert context.window is not None
    assert context.objects is not None
    with torch.no_grad(), record_attention(head) as recorded:
        head(roi, context)
    for each in recorded:
        total = each.weights_RL.sum(dim=1)
        alone = each.looker.block != "P" and each.looker.own_slots is None
        assert total.isnan().tolist() == [False] * 5 + [alone]
        torch.testing.assert_close(total[:5], torch.ones(5).double())
        if each.looker.block == "O":
            assert not each.weights_RL[:5][~context.objects.mask[CLIP[:5]]].any()
        if each.looker.block in ("past", "future"):
            valid = context.window.mask[CLIP[:5], each.looker.first_slot :][:, : each.weights_RL.shape[1]]
            assert not each.weights_RL[:5][~valid].any()


def test_the_places_of_a_half_begin_at_its_first_slot() -> None:
    head, roi, context = head_of("lfb_nl_split", "none")
    with torch.no_grad(), record_attention(head) as recorded:
        head(roi, context)
    assert [(each.looker.first_slot, each.weights_RL.shape[1]) for each in recorded] == [(0, 6)] * 2 + [(4, 6)] * 2


def test_a_head_that_is_asked_computes_the_same_bytes_and_forgets_the_question() -> None:
    head, roi, context = head_of("aia_serial", "valid")
    with torch.no_grad():
        before = head(roi, context)
        with record_attention(head) as recorded:
            asked = head(roi, context)
            head(roi, context)
        assert torch.equal(before, asked)
        count = len(recorded)
        head(roi, context)
    assert count == len(recorded) == 12
    assert all(isinstance(each, Attention) and each.looker.block in BLOCKS for each in recorded)


def test_weights_by_hand() -> None:
    query = torch.tensor([[2.0, 0, 0, 0]])
    key = torch.tensor([[[1.0, 0, 0, 0], [2, 0, 0, 0], [9, 9, 9, 9]]])
    valid = torch.tensor([[True, True, False]])
    expected = torch.tensor([1.0, 2.0]).softmax(dim=0)
    found = attention_weights(query, key, valid, torch.tensor([0]))
    torch.testing.assert_close(found, torch.cat([expected, torch.zeros(1)])[None])


def test_heads_without_attention_are_told_apart() -> None:
    maps = {"acrn", "acar", "acar_lfb"}
    without = set(HEADS) - set(LAYERS) - {"acar_lfb"}  # which has the layers of lfb_nl, and needs maps
    assert without == {"linear", "two_layer", "lfb_avg", "lfb_max"} | maps - {"acar_lfb"}
    assert attends(build_head("acar_lfb", SETTINGS))
    for name in without:
        head = build_head(name, SETTINGS)
        assert not attends(head)
        with pytest.raises(ValueError, match=r"^nothing in this model attends$"), record_attention(head):
            pass
