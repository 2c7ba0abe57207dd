"""AIA: each person looks at the persons and objects of its clip and at the window of the bank (Tang et al. 2020).

`aia_parallel`, `aia_serial` and `aia_dense_serial` differ in how their blocks follow each other. What the blocks find
is added to the person's own feature, and two hidden layers follow.

Shape suffixes of names: R persons, B clips, W windows, K places of a clip, L slots of a window, C channels, d latent
channels.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.models.context import BankWindow, Context, Placed
from pipeline.models.heads.attend import LookedAt, Projected, WindowReader
from pipeline.models.heads.head import Head, HeadSettings, context_window, pool_persons
from pipeline.models.heads.interaction import InteractionBlock, Mixture, seat_persons
from pipeline.models.heads.two_layer import TwoLayers, two_layers
from pipeline.models.settings import Mask
from pipeline.tables.window_span import own_second

Wiring = Literal["parallel", "serial", "dense"]
NEEDS = {"O": "objects", "M": "window"}
"The field of `Context` that a block of each letter reads; P reads the persons, which are always there."
MASKS: dict[str, Mask | None] = {"window": None, "valid": "valid", "none": "none"}
See = Callable[[str, Tensor], LookedAt]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the heads of AIA."""

    order: str = "POMPOM"
    """The blocks: P looks at the persons of the clip, O at its objects, M at the window of the bank. A letter may be
    left out, and the head then does not read what it stands for."""
    latent: int = 1024
    "Channels of the blocks."
    hidden: int = 1024
    "Channels of the two layers before the classifier."
    dropout: float = 0.2
    "Of the reduced features and of what each block adds."
    persons: int = 25
    "Most persons of a clip that others look at; of more, training draws some, evaluation takes the first."
    mask: str = "window"
    """Of empty places of persons, objects and memory: `window` takes head.window.mask, which is `valid` where there is
    no window; `none` and `valid` as there."""
    init: str = "identity"
    """`published` draws the projections of the blocks with a deviation of 0.01, `identity` as torch does by default.
    With both, each block at first adds nothing to its query. On a synthetic task (which of three patterns is among 48
    slots; 16 channels, latent 32, chance 0.33) one block reached 1.0 with `identity` and 0.38 with `published`, whose
    products are lost in few channels."""
    window_dropout: str = "rows"
    "Of the window's rows, see `WindowDropout`; `projected` is published."


class Interaction(nn.Module):
    """Blocks of the letters P (persons), O (objects) and M (memory) in an order, and how they follow each other."""

    def __init__(self, settings: HeadSettings, wiring: Wiring, options: Options, *, head: str) -> None:
        super().__init__()
        order, latent, dropout = options.order, options.latent, options.dropout
        self.wiring: Wiring = wiring
        self.order = order
        self.mask: Mask = settings.mask
        self.reader = WindowReader(head, settings.mask, options.window_dropout, order.count("M"))
        self.persons = options.persons
        self.slots = settings.window_seconds * settings.per_second
        own = own_second(settings.window_seconds, settings.span) * settings.per_second
        self.own_slots = None if settings.exclude_keyframe else slice(own, own + settings.per_second)
        channels = settings.roi_channels
        self.dropout = nn.Dropout(dropout)
        self.reduce_person = nn.Linear(channels, latent)
        # After another block, persons look at what that gave to the others.
        first = "P" in order if wiring == "parallel" else order[0] == "P"
        self.reduce_key = nn.Linear(channels, latent) if first else None
        self.reduce_object = nn.Linear(channels, latent) if "O" in order else None
        self.reduce_memory = nn.Linear(settings.bank_channels, latent) if "M" in order else None
        self.names = [f"{letter}{order[: number + 1].count(letter)}" for number, letter in enumerate(order)]
        last = {order.rfind(letter) for letter in order} if wiring == "parallel" else {len(order) - 1}
        self.blocks = nn.ModuleDict(
            {
                name: InteractionBlock(
                    latent,
                    channels if number in last else latent,
                    seconds=settings.window_seconds if name[0] == "M" else 0,
                    dropout=dropout,
                )
                for number, name in enumerate(self.names)
            }
        )
        mixed = range(2, len(order)) if wiring == "dense" else range(0)
        self.mixtures = nn.ModuleDict({str(number): Mixture(number, latent) for number in mixed})

    def forward(self, person_RC: Tensor, context: Context) -> Tensor:
        """Compute what the persons read, [R, C], from rows that are already pooled."""
        clips, fit = count_clips(context), self.mask == "valid"
        seats = seat_persons(context.clip_index, clips, self.persons, draw=self.training, fit=fit)
        rows = self._shared_rows(person_RC, context)
        query_Rd = self._reduce(self.reduce_person, person_RC)
        first_key_Rd = self._reduce(self.reduce_key, person_RC) if self.reduce_key else None

        def see(name: str, query_Rd: Tensor) -> LookedAt:
            if name[0] != "P":
                return rows[name[0]]
            # Keys of persons are padded after the reduction, those of objects and memory before it.
            key_Rd = first_key_Rd if name == "P1" and first_key_Rd is not None else query_Rd
            valid_BK = None if self.mask == "none" else seats.taken_BK
            return Projected(seats.group(key_Rd), valid_BK, context.clip_index)

        return self._parallel(query_Rd, see) if self.wiring == "parallel" else self._serial(query_Rd, see)

    def _parallel(self, query_Rd: Tensor, see: See) -> Tensor:
        """Sum the results of one chain of blocks for each letter; all chains begin with the same query."""
        found: dict[str, Tensor] = {}
        for name in self.names:
            before_Rd = found.get(name[0], query_Rd)
            found[name[0]] = self.blocks[name](before_Rd, see(name, before_Rd))
        return sum(found.values(), start=torch.zeros_like(next(iter(found.values()))))

    def _serial(self, query_Rd: Tensor, see: See) -> Tensor:
        """Let each block ask with what the one before it gave or, if the blocks are dense, with a mixture of all."""
        given: list[Tensor] = []
        for number, name in enumerate(self.names):
            if str(number) in self.mixtures:
                query_Rd = self.mixtures[str(number)](given)
            query_Rd = self.blocks[name](query_Rd, see(name, query_Rd))
            given.append(query_Rd)
        return query_Rd

    def _shared_rows(self, person_RC: Tensor, context: Context) -> dict[str, LookedAt]:
        """Return the objects, reduced, and the memory; every block of their letter sees the same."""
        rows: dict[str, LookedAt] = {}
        if self.reduce_object:
            objects = context.objects
            assert objects is not None  # the head needs it
            valid_BK = None if self.mask == "none" else objects.mask
            reduced = self._reduce(self.reduce_object, objects.rows.to(person_RC.dtype))
            rows["O"] = Projected(reduced, valid_BK, context.clip_index)
        if self.reduce_memory:
            rows["M"] = self.reader.see(self.memory_window(person_RC, context), self.reduce_memory, self.dropout)
        return rows

    def memory_window(self, person_RC: Tensor, context: Context) -> BankWindow:
        """Return the window with the clip's own persons in the keyframe's second; no gradient reaches them there."""
        window = context_window(context)
        if window.mask.shape[1] != self.slots:
            raise ValueError(f"the window has {window.mask.shape[1]} slots, this head expects {self.slots}")
        if self.own_slots is None:
            return window
        places = self.own_slots.stop - self.own_slots.start
        # One clip more, of nobody: that of a window which no person has.
        clips = count_clips(context)
        seats = seat_persons(context.clip_index, clips + 1, places, draw=self.training)
        clip_W = window.owner.new_full((window.mask.shape[0],), clips)
        clip_W = clip_W.scatter(0, window.owner, context.clip_index.to(window.owner.dtype))
        own_RC = person_RC.detach() if context.own_rows is None else context.own_rows.to(person_RC.dtype)
        before_WL, after_WL = window.mask[:, : self.own_slots.start], window.mask[:, self.own_slots.stop :]
        mask_WL = torch.cat([before_WL, seats.taken_BK[clip_W], after_WL], dim=1)
        return replace(window, mask=mask_WL, placed=Placed(self.own_slots, seats.group(own_RC)[clip_W]))

    def _reduce(self, layer: nn.Linear, rows: Tensor) -> Tensor:
        reduced: Tensor = self.dropout(layer(rows))
        return reduced


def needs_of(order: str) -> frozenset[str]:
    """Return the fields of `Context` that the letters of an order read."""
    return frozenset(need for letter, need in NEEDS.items() if letter in order)


def count_clips(context: Context) -> int:
    """Return the number of clips, as far as objects or persons show it."""
    if context.objects is not None:
        return context.objects.rows.shape[0]
    # Clip 0 is there also where there are no persons. `item`, not `int`: a graph that is traced keeps the number open.
    index = torch.cat([context.clip_index, context.clip_index.new_zeros(1)])
    return cast(int, index.max().item()) + 1


class InteractionHead(nn.Module):
    """Adds what the blocks find to the person's feature, and applies two hidden layers to the sum."""

    def __init__(self, interaction: Interaction, layers: TwoLayers) -> None:
        super().__init__()
        self.interaction = interaction
        self.layers = layers

    def forward(self, roi: Tensor, context: Context) -> Tensor:
        """RoI features (see `Head`) -> [R, hidden]."""
        person_RC = pool_persons(roi)
        hidden_Rh: Tensor = self.layers(person_RC + self.interaction(person_RC, context), context)
        return hidden_Rh


def _build(name: str, settings: HeadSettings, wiring: Wiring, options: Options) -> Head:
    """Build a head; errors are those of `_head_of`."""
    _check(name, options)
    settings = replace(settings, mask=MASKS[options.mask] or settings.mask)
    if "M" in options.order:
        _check_memory(name, settings)
    interaction = Interaction(settings, wiring, options, head=name)
    _initialise(interaction, options.init)
    body = InteractionHead(interaction, two_layers(settings, head=name, hidden=options.hidden))
    return Head(body, settings, channels=options.hidden, needs=needs_of(options.order))


def _check(name: str, options: Options) -> None:
    if not options.order or set(options.order) - set("POM"):
        raise InputError(f"head {name}: order is {options.order!r}, expected letters P, O and M")
    if options.mask not in MASKS:
        raise InputError(f"head {name}: mask is {options.mask}, expected {' or '.join(MASKS)}")
    if options.init not in ("identity", "published"):
        raise InputError(f"head {name}: init is {options.init}, expected identity or published")
    if options.latent < 1 or options.persons < 1:
        raise InputError(f"head {name}: latent is {options.latent} and persons {options.persons}, expected at least 1")
    if not 0 <= options.dropout < 1:
        raise InputError(f"head {name}: dropout is {options.dropout}, expected 0 to below 1")


def _check_memory(name: str, settings: HeadSettings) -> None:
    if not settings.bank_channels:
        raise InputError(f"head {name}: it reads a bank, found bank_channels 0")
    if settings.bank_channels != settings.roi_channels:
        raise InputError(
            f"head {name}: a person has {settings.roi_channels} channels and a row of the bank "
            f"{settings.bank_channels}, expected equal numbers: the clip's persons are part of its memory"
        )
    if settings.window_seconds < 1 or settings.per_second < 1:
        raise InputError(
            f"head {name}: it reads a window, found head.window.seconds {settings.window_seconds} "
            f"and head.window.per_second {settings.per_second}"
        )


def _initialise(interaction: Interaction, init: str) -> None:
    for module in interaction.modules():
        if isinstance(module, nn.Linear) and not module.weight.is_meta:  # see `_conv3d`
            nn.init.zeros_(module.bias)
            if init == "published":
                nn.init.normal_(module.weight, std=0.01)
    for block in interaction.blocks.children():
        assert isinstance(block, InteractionBlock)
        nn.init.zeros_(block.out.weight)


def _head_of(name: str, wiring: Wiring) -> Callable[..., Head]:
    """Return the function that builds a head of AIA.

    The slots of the keyframe's own second hold the clip's persons, unless `head.window.exclude_keyframe` is set. The
    function takes `HeadSettings`, which need a window with M in `order` and objects with O, and the fields of
    `Options`. It raises InputError where `order` has another letter or none, `mask`, `init` or `window_dropout` is
    another word, a size is below 1, `dropout` is not in [0, 1), or the window is absent or has rows of other channels
    than the persons.
    """

    def build(settings: HeadSettings, **options: Any) -> Head:
        return _build(name, settings, wiring, Options(**options))

    # What `choose_head` reads, to refuse options that are none.
    first = inspect.Parameter("settings", inspect.Parameter.POSITIONAL_ONLY)
    named = inspect.signature(Options).parameters.values()
    build.__signature__ = inspect.Signature([first, *named])  # type: ignore[attr-defined]
    return build


aia_parallel = _head_of("aia_parallel", "parallel")
"A chain of blocks for each letter of the order; their results are summed."
aia_serial = _head_of("aia_serial", "serial")
"Each block asks with what the one before it gave."
aia_dense_serial = _head_of("aia_dense_serial", "dense")
"From the third on, each block asks with a learned mixture of what all before it gave."
