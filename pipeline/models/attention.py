"""Tell what a head attends to: the weights of its attention, computed beside its own forward pass.

Hooks see what each attention layer is given and compute its weights once more, so that a head that nobody asks has
neither other arithmetic nor other speed.

Shape suffixes of names: R persons, L places that are looked at, d latent channels.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.models.heads.aia import Interaction
from pipeline.models.heads.aia_split import SplitInteraction
from pipeline.models.heads.attend import LookedAt
from pipeline.models.heads.interaction import InteractionBlock
from pipeline.models.heads.lfb_nl import NonLocalBank, NonLocalLayer
from pipeline.models.heads.lfb_nl_split import SplitBank

BLOCKS = ("P", "O", "M", "past", "future")
"What is looked at: persons of the clip, its objects, the window (memory), or one half of the window."


@dataclass(frozen=True)
class Looker:
    """The place of an attention layer in its head."""

    block: str
    "One of `BLOCKS`."
    layer: int
    "From 1, among the layers of its block."
    first_slot: int = 0
    "The slot of the window that is the first place of `past` or `future`."
    own_slots: slice | None = None
    "Slots that hold the persons of the clip and no rows of the bank, as in AIA."


@dataclass(frozen=True)
class Attention:
    """The weights of one layer for the persons of one batch."""

    looker: Looker
    weights_RL: Tensor
    "Each row adds up to 1, or is NaN for a person who has nothing to look at."


@dataclass
class _Asked:
    """The layers of a head, each with its places; one that is called for several blocks in turn has several."""

    lookers: dict[nn.Module, list[Looker]] = field(default_factory=dict)
    calls: dict[nn.Module, int] = field(default_factory=dict)

    def next(self, layer: nn.Module) -> Looker:
        number = self.calls.get(layer, 0)
        self.calls[layer] = number + 1
        return self.lookers[layer][number % len(self.lookers[layer])]


@contextmanager
def record_attention(model: nn.Module) -> Iterator[list[Attention]]:
    """Yield a list to which every forward pass of a head (or of a detector with one) adds an entry for each layer.

    Args:
        model: in evaluation mode: in training, dropout of the inputs and draws of persons are in the weights too.

    Raises:
        ValueError: nothing in the model attends (see `attends`).
    """
    asked = _Asked(_lookers(model))
    if not asked.lookers:
        raise ValueError("nothing in this model attends")
    recorded: list[Attention] = []

    def listen(layer: nn.Module, inputs: tuple[Any, ...], _: Tensor) -> None:
        looker = asked.next(layer)
        with torch.no_grad():
            recorded.append(Attention(looker, _weights(layer, *inputs)))

    with ExitStack() as stack:
        for layer in asked.lookers:
            stack.callback(layer.register_forward_hook(listen).remove)
        yield recorded


def attends(model: nn.Module) -> bool:
    """Return whether a model has a layer of attention, whose weights can be told."""
    return bool(_lookers(model))


def _weights(layer: nn.Module, query_Rd: Tensor, seen: LookedAt) -> Tensor:
    """Return the weights by which a layer has read what it has seen."""
    if isinstance(layer, NonLocalLayer):
        return seen.weights(layer.theta(query_Rd), layer.maps)
    assert isinstance(layer, InteractionBlock)
    return seen.weights(layer.query(query_Rd), layer.maps)


def _lookers(model: nn.Module) -> dict[nn.Module, list[Looker]]:
    """Find the attention layers of a model; outer modules come first and say what their parts look at."""
    found: dict[nn.Module, list[Looker]] = {}
    for module in model.modules():
        if isinstance(module, SplitInteraction):
            for letter, tower in module.towers.items():
                _name_layers(found, tower, [(letter, 0)])
        elif isinstance(module, SplitBank):
            _name_layers(found, module.tower, [("past", 0), ("future", module.future_slots.start)])
        elif isinstance(module, NonLocalBank):
            _name_layers(found, module, [("M", 0)])
        elif isinstance(module, Interaction):
            for name, block in module.blocks.items():
                own_slots = module.own_slots if name[0] == "M" else None
                found[block] = [Looker(name[0], int(name[1:]), own_slots=own_slots)]
    return found


def _name_layers(found: dict[nn.Module, list[Looker]], tower: nn.Module, blocks: list[tuple[str, int]]) -> None:
    assert isinstance(tower, NonLocalBank)
    for number, layer in enumerate(tower.layers, 1):
        found.setdefault(layer, [Looker(block, number, first) for block, first in blocks])
