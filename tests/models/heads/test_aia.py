"""The wiring of AIA's blocks against plain arithmetic, person by person; fixtures hold upstream's numbers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.models.context import BankWindow, Context, ObjectRows
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.heads.table import build_head
from tests.models.heads import made_up

HEADS = ("aia_parallel", "aia_serial", "aia_dense_serial")
CHANNELS, SECONDS, PER_SECOND, OBJECTS, PERSONS = 6, 5, 3, 2, 4
SETTINGS = HeadSettings(
    roi_channels=CHANNELS, bank_channels=CHANNELS, classes=3, window_seconds=SECONDS, per_second=PER_SECOND,
    objects=OBJECTS, mask="valid",
)  # fmt: skip
SMALL: dict[str, Any] = {"latent": 5, "hidden": 7, "persons": PERSONS}
CLIPS = torch.tensor([1, 0, 1, 1])


def small(name: str, *, settings: HeadSettings = SETTINGS, **options: Any) -> Head:
    """A head with random weights everywhere, as a new one adds nothing."""
    if "O" not in options.get("order", "POM"):
        settings = replace(settings, objects=0)
    head = build_head(name, settings, {**SMALL, **options})
    for each in head.parameters():
        torch.nn.init.normal_(each, std=0.5)
    return head.eval()


def body(head: Head) -> Any:
    """The part before the classifier, whose type torch does not tell."""
    return head.shared


def seen(clip_index: Tensor = CLIPS, *, clips: int = 2, share: float = 0.6) -> Context:
    mask, of_objects = torch.rand(clips, SECONDS * PER_SECOND) < share, torch.rand(clips, OBJECTS) < share
    rows = torch.randn(*mask.shape, CHANNELS) * mask[:, :, None]
    objects = torch.randn(*of_objects.shape, CHANNELS) * of_objects[:, :, None]
    return Context(clip_index, BankWindow(rows, mask, clip_index), None, ObjectRows(objects, of_objects))


def plain(head: Head, roi: Tensor, context: Context, *, masked: bool) -> Tensor:
    """The interaction of one head in float64, every person by itself, with copies of all that it sees."""
    interaction = body(head).interaction
    weights: dict[str, Tensor] = {key: value.detach().double() for key, value in interaction.state_dict().items()}
    window, objects = context.window, context.objects
    assert window is not None
    assert objects is not None
    clip_index, persons = context.clip_index.tolist(), roi.double()

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def block(name: str, query: Tensor, key: Tensor, valid: Tensor) -> Tensor:
        at = f"blocks.{name}"
        keys, values = linear(f"{at}.key", key), linear(f"{at}.value", key)
        if f"{at}.position_k" in weights:
            keys = keys + weights[f"{at}.position_k"][:, 0].repeat_interleave(PER_SECOND, 0)
            values = values + weights[f"{at}.position_v"][:, 0].repeat_interleave(PER_SECOND, 0)
        shortcut = linear(f"{at}.shortcut", query) if f"{at}.shortcut.weight" in weights else query
        if masked:
            keys, values = keys[valid], values[valid]
        if not len(keys):
            return shortcut
        share = (keys @ linear(f"{at}.query", query) / keys.shape[1] ** 0.5).softmax(0)
        read = share @ values
        read = (read - read.mean()) / (read.var(correction=0) + 1e-5).sqrt()
        return linear(f"{at}.out", read.clamp_min(0)) + shortcut

    def others(person: int, rows: Tensor, places: int) -> tuple[Tensor, Tensor]:
        mates = [row for row, clip in enumerate(clip_index) if clip == clip_index[person]][:places]
        padded = torch.zeros(places, rows.shape[1], dtype=torch.float64)
        padded[: len(mates)] = rows[mates]
        return padded, torch.arange(places) < len(mates)

    def look(name: str, queries: Tensor, first: bool) -> Tensor:
        found = []
        for person, query in enumerate(queries):
            clip = clip_index[person]
            if name[0] == "P":
                key, valid = others(person, linear("reduce_key", persons) if first else queries, PERSONS)
            elif name[0] == "O":
                key, valid = linear("reduce_object", objects.rows[clip].double()), objects.mask[clip]
            else:
                memory, valid = window.rows[clip].double().clone(), window.mask[clip].clone()
                own = slice(SECONDS // 2 * PER_SECOND, (SECONDS // 2 + 1) * PER_SECOND)
                memory[own], valid[own] = others(person, persons, PER_SECOND)
                key = linear("reduce_memory", memory)
            found.append(block(name, query, key, valid))
        return torch.stack(found)

    names = [key.split(".")[1] for key in weights if key.endswith(".query.weight")]
    start = linear("reduce_person", persons)
    if interaction.wiring == "parallel":
        total = torch.zeros_like(persons)
        for letter in dict.fromkeys(name[0] for name in names):
            query = start
            for number, name in enumerate(name for name in names if name[0] == letter):
                query = look(name, query, number == 0)
            total = total + query
        return total
    given: list[Tensor] = []
    query = start
    for number, name in enumerate(names):
        if interaction.wiring == "dense" and number >= 2:
            shares = weights[f"mixtures.{number}.shares"].softmax(0)
            query = sum((share * row for share, row in zip(shares, given, strict=True)), torch.zeros_like(given[0]))
        query = look(name, query, number == 0)
        given.append(query)
    return query


@pytest.mark.parametrize("mask", ["none", "valid"])
@pytest.mark.parametrize("order", ["POMPOM", "OPM", "PPOM", "MOM", "P"])
@pytest.mark.parametrize("name", HEADS)
def test_the_interaction_is_that_of_plain_arithmetic(name: str, order: str, mask: Any) -> None:
    head = small(name, settings=replace(SETTINGS, mask=mask), order=order).double()
    roi, context = torch.randn(4, CHANNELS, dtype=torch.float64), seen()
    expected = plain(head, roi, context, masked=mask == "valid")
    with torch.no_grad():
        found = body(head).interaction(roi, context)
        logits = head(roi, context)
        hidden = body(head).layers(roi + expected, context)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(logits, head.classifier(hidden), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", HEADS)
def test_letters_that_are_left_out_are_not_read(name: str) -> None:
    assert small(name).needs == {"objects", "window"}
    assert small(name, order="PM").needs == {"window"}
    assert small(name, order="OO").needs == {"objects"}
    assert small(name, order="P").needs == frozenset()
    assert small(name, order="P").scopes == {"head", "all"}
    only = small(name, order="P")(torch.randn(4, CHANNELS), Context(CLIPS))
    assert only.shape == (4, 3)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("mask", ["none", "valid"])
def test_every_weight_has_a_finite_gradient_also_where_nothing_is_to_be_seen(name: str, mask: Any) -> None:
    for order in ("POMPOM", "OPOP", "MP"):
        head = build_head(
            name, replace(SETTINGS, mask=mask, objects=OBJECTS if "O" in order else 0), {**SMALL, "order": order}
        )
        for share in (0.6, 0.0):
            head.zero_grad()
            head(torch.randn(4, CHANNELS), seen(share=share)).sum().backward()
            assert all(each.grad is not None and each.grad.isfinite().all() for each in head.parameters())


@pytest.mark.parametrize("name", HEADS)
def test_half_precision_gives_nearly_the_same_and_finite_gradients(name: str) -> None:
    roi, context = torch.randn(4, CHANNELS), seen()
    head = small(name, dropout=0.0)
    full = head(roi, context)
    with torch.autocast("cpu", torch.bfloat16):
        half = head(roi, context)
    assert half.dtype == torch.bfloat16
    assert (half.float() - full).abs().max() < 0.05 * full.abs().max()
    half.float().sum().backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in head.parameters())


@pytest.mark.parametrize("name", HEADS)
def test_no_person_at_all(name: str) -> None:
    nobody = torch.zeros(0, dtype=torch.long)
    for clips in (0, 2):
        assert small(name)(torch.zeros(0, CHANNELS), seen(nobody, clips=clips)).shape == (0, 3)


@pytest.mark.parametrize("name", HEADS)
def test_with_a_mask_empty_places_do_not_matter_and_without_one_they_do(name: str) -> None:
    roi, context = torch.randn(4, CHANNELS), seen()
    assert context.window is not None
    assert context.objects is not None
    rubbish = replace(
        context,
        window=replace(context.window, stored=torch.where(context.window.mask[..., None], context.window.rows, 9.0)),
        objects=replace(context.objects, rows=torch.where(context.objects.mask[..., None], context.objects.rows, 9.0)),
    )
    for mask, same in (("valid", True), ("none", False)):
        head = small(name, settings=replace(SETTINGS, mask=mask))  # type: ignore[arg-type]
        assert torch.allclose(head(roi, context), head(roi, rubbish), atol=1e-5) is same


@pytest.mark.parametrize("mask", ["none", "valid"])
def test_the_mask_can_be_told_where_there_is_no_window_to_say_it(mask: Any) -> None:
    settings = replace(SETTINGS, window_seconds=0, bank_channels=0, objects=0)
    head = small("aia_serial", settings=settings, order="PP", mask=mask)
    other = small("aia_serial", settings=replace(settings, mask=mask), order="PP")
    other.load_state_dict(head.state_dict())
    roi, context = torch.randn(4, CHANNELS), Context(CLIPS)
    assert torch.equal(head(roi, context), other(roi, context))
    wrong = small("aia_serial", settings=settings, order="PP", mask="none" if mask == "valid" else "valid")
    wrong.load_state_dict(head.state_dict())
    assert not torch.allclose(wrong(roi, context), head(roi, context), atol=1e-4)


def _changed(head: Head, roi: Tensor, context: Context, change: Callable[[Tensor], None]) -> list[bool]:
    """Whether each person's logits differ after a change of the window."""
    assert context.window is not None
    rows = context.window.rows.clone()
    change(rows)
    other = replace(context, window=BankWindow(rows, torch.ones_like(context.window.mask), context.window.owner))
    same = replace(context, window=replace(other.window, stored=context.window.rows))  # type: ignore[type-var]
    with torch.no_grad():
        return [not torch.allclose(*pair, atol=1e-6) for pair in zip(head(roi, same), head(roi, other), strict=True)]


@pytest.mark.parametrize(("span", "own"), [("centred", 2), ("past", 4), ("future", 0)])
def test_the_keyframes_second_of_the_memory_holds_the_clips_persons_and_no_gradient(span: Any, own: int) -> None:
    roi, context = torch.randn(4, CHANNELS), seen(share=1.0)
    at = slice(own * PER_SECOND, (own + 1) * PER_SECOND)

    def change(rows: Tensor) -> None:
        rows[:, at] += 1

    head = small("aia_serial", settings=replace(SETTINGS, span=span), order="M")
    assert _changed(head, roi, context, change) == [False] * 4
    other = small("aia_serial", settings=replace(SETTINGS, span=span, exclude_keyframe=True), order="M")
    assert _changed(other, roi, context, change) == [True] * 4
    # Person 1 is alone in its clip: others reach it only through memory, where it is, not through gradients.
    roi.requires_grad_()
    head(roi, context)[2].sum().backward()
    assert roi.grad is not None
    assert roi.grad.abs().sum(dim=1).gt(0).tolist() == [False, False, True, False]


@pytest.mark.parametrize("mask", ["valid", "none"])
def test_the_keyframes_second_of_a_window_that_no_person_has_holds_nobody(mask: Any) -> None:
    persons, context = torch.randn(3, CHANNELS), seen(torch.tensor([0, 2, 2]), clips=4, share=1.0)
    interaction = body(small("aia_serial", settings=replace(SETTINGS, mask=mask))).interaction
    memory = interaction.memory_window(persons, context)
    window, valid = memory.whole(torch.float32), memory.mask
    nobody = torch.zeros(PER_SECOND, CHANNELS)
    own = torch.unflatten(window, 1, (SECONDS, PER_SECOND))[:, SECONDS // 2]
    expected = [torch.cat([rows, nobody[len(rows) :]]) for rows in (persons[:1], persons[:0], persons[1:], persons[:0])]
    assert torch.equal(own, torch.stack(expected))
    if mask == "valid":
        held = torch.unflatten(valid, 1, (SECONDS, PER_SECOND))[:, SECONDS // 2]
        assert held.sum(dim=1).tolist() == [1, 0, 2, 0]


def test_persons_as_rows_of_the_bank_stand_in_the_keyframes_second_where_the_context_has_them() -> None:
    head, roi, context = small("aia_serial", order="M"), torch.randn(4, CHANNELS), seen()
    with torch.no_grad():
        plain = head(roi, context)
        assert torch.equal(head(roi, replace(context, own_rows=roi)), plain)
        assert not torch.allclose(head(roi, replace(context, own_rows=roi + 1)), plain, atol=1e-4)


def test_persons_with_windows_of_their_own_read_their_own_clips_persons() -> None:
    head, roi, context = small("aia_serial", order="MP"), torch.randn(4, CHANNELS), seen()
    assert context.window is not None
    rows, mask = context.window.rows[CLIPS], context.window.mask[CLIPS]
    own = replace(context, window=BankWindow(rows, mask, torch.arange(4)))
    with torch.no_grad():
        assert torch.allclose(head(roi, own), head(roi, context), atol=1e-6)


@pytest.mark.parametrize("mask", ["none", "valid"])
def test_of_more_persons_than_places_evaluation_sees_the_first_and_training_draws(mask: Any) -> None:
    clips = torch.zeros(7, dtype=torch.long)
    head = small("aia_serial", settings=replace(SETTINGS, mask=mask), order="PM", dropout=0.0)
    head.dropout.p = 0.0
    roi, context = torch.randn(7, CHANNELS), seen(clips, clips=1)
    far = roi.clone()
    far[PERSONS:] += 5  # persons 4 to 6 are seen by nobody
    with torch.no_grad():
        assert torch.allclose(head(roi, context)[:PERSONS], head(far, context)[:PERSONS], atol=1e-6)
        head.train()
        torch.manual_seed(1)
        first = head(roi, context)
        torch.manual_seed(1)
        assert torch.equal(first, head(roi, context))
        assert not torch.allclose(first, head(roi, context), atol=1e-6)


@pytest.mark.parametrize("name", HEADS)
def test_it_finds_one_slot_among_many_with_the_wider_weights_alone(name: str) -> None:
    settings = HeadSettings(
        roi_channels=made_up.CHANNELS, bank_channels=made_up.CHANNELS, classes=3, dropout=0.0, exclude_keyframe=True,
        window_seconds=made_up.SECONDS, per_second=made_up.PER_SECOND,
    )  # fmt: skip

    def accuracy(init: str) -> float:
        options = {"order": "M", "latent": 32, "hidden": 32, "dropout": 0.0, "init": init}
        return made_up.trained_accuracy(lambda: build_head(name, settings, options))

    assert accuracy("identity") > 0.9
    if name == "aia_serial":
        assert accuracy("published") < 0.6


def test_a_new_head_adds_nothing_but_the_shortcut_and_init_says_how_wide_weights_are() -> None:
    for name in HEADS:
        for init, least, most in (("published", 0.009, 0.011), ("identity", 0.015, 0.1)):
            head = build_head(
                name, replace(SETTINGS, roi_channels=512, bank_channels=512), {"latent": 256, "init": init}
            )
            interaction = body(head).interaction
            for block in interaction.blocks.values():
                assert not block.out.weight.any()
                assert not block.out.bias.any()
            assert least < interaction.reduce_memory.weight.std() < most
            assert not interaction.reduce_memory.bias.any()


def test_a_shorter_window_has_fewer_codes_and_a_window_of_another_length_is_refused() -> None:
    head = small("aia_serial", settings=replace(SETTINGS, window_seconds=2))
    assert body(head).interaction.blocks.M1.position_k.shape == (2, 1, 5)
    with pytest.raises(ValueError, match=r"^the window has 15 slots, this head expects 6$"):
        head(torch.randn(4, CHANNELS), seen())


@pytest.mark.parametrize(
    ("options", "settings", "message"),
    [
        ({"order": "POX"}, {}, "order is 'POX', expected letters P, O and M"),
        ({"order": ""}, {}, "order is '', expected letters P, O and M"),
        ({"mask": "no"}, {}, "mask is no, expected window or valid or none"),
        ({"init": "zero"}, {}, "init is zero, expected identity or published"),
        ({"latent": 0}, {}, "latent is 0 and persons 25, expected at least 1"),
        ({"persons": 0}, {}, "latent is 1024 and persons 0, expected at least 1"),
        ({"hidden": 0}, {}, "hidden is 0, expected at least 1"),
        ({"dropout": 1.0}, {}, "dropout is 1.0, expected 0 to below 1"),
        ({}, {"bank_channels": 4}, "a person has 6 channels and a row of the bank 4, expected equal numbers: the clip's"
         " persons are part of its memory"),
        ({}, {"window_seconds": 0}, "it reads a window, found head.window.seconds 0 and head.window.per_second 3"),
        ({}, {"bank_channels": 0}, "it reads a bank, found bank_channels 0"),
        ({}, {"objects": 0}, "it reads objects, found head.objects.per_keyframe 0"),
        ({"order": "PM"}, {}, "it does not read objects, found head.objects.per_keyframe 2"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", HEADS)
def test_refusals(name: str, options: Any, settings: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        build_head(name, replace(SETTINGS, **settings), options)
    assert str(error.value) == f"head {name}: {message}"
