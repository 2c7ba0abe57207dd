"""Blocks in which persons look at other rows, and the rows that they look at (Tang et al. 2020, section 3.2).

Shape suffixes of names: R persons, B clips, S seconds of a window, K places of a clip, d latent channels, D channels of
a result.

Rows are held once for each clip (or window); upstream copies them for every person.
"""

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.models.heads.attend import LookedAt, Maps, group_persons


class InteractionBlock(nn.Module):
    """Attention, LayerNorm without weights, ReLU, a linear layer and dropout, added to the query."""

    def __init__(self, latent: int, outputs: int, *, seconds: int, dropout: float) -> None:
        """Build the block.

        Args:
            latent: channels of the query, of what is looked at, and of the attention.
            outputs: channels of the result; where they are others than `latent`, a linear layer fits the query to them.
            seconds: seconds of the window that is looked at, each with a code of its own; 0 for rows without a time.
            dropout: on what is added to the query.
        """
        super().__init__()
        self.query = nn.Linear(latent, latent)
        self.key = nn.Linear(latent, latent)
        self.value = nn.Linear(latent, latent)
        self.out = nn.Linear(latent, outputs)
        self.shortcut = nn.Linear(latent, outputs) if latent != outputs else None
        self.dropout = nn.Dropout(dropout)
        # [S, 1, d] as upstream has it: the places of a second share its code.
        self.position_k = nn.Parameter(torch.zeros(seconds, 1, latent)) if seconds else None
        self.position_v = nn.Parameter(torch.zeros(seconds, 1, latent)) if seconds else None

    def forward(self, query_Rd: Tensor, seen: LookedAt) -> Tensor:
        """Return the query plus what it reads, [R, outputs]; a person without any valid row reads nothing."""
        read_Rd = seen.read(self.query(query_Rd), self.maps)
        update_RD: Tensor = self.dropout(self.out(F.relu(F.layer_norm(read_Rd, read_Rd.shape[1:], eps=1e-5))))
        if seen.valid is not None:
            update_RD = update_RD.masked_fill(~seen.valid.any(dim=1)[seen.owner, None], 0)
        shortcut_RD = query_Rd if self.shortcut is None else self.shortcut(query_Rd)
        return update_RD + shortcut_RD

    @property
    def maps(self) -> Maps:
        """What makes keys and values of rows."""
        return Maps(self.key, self.value, self.position_k, self.position_v)


class Mixture(nn.Module):
    """The sum of what earlier blocks gave, with learned shares per channel that add up to 1."""

    def __init__(self, blocks: int, latent: int) -> None:
        """Begin with nearly all of the last block: each other one has 10^-5 of its share."""
        super().__init__()
        shares_nd = torch.full((blocks, latent), -5 * math.log(10))
        shares_nd[-1] = 0
        self.shares = nn.Parameter(shares_nd)

    def forward(self, earlier_Rd: list[Tensor]) -> Tensor:
        """Return the mixture, [R, d]."""
        shares_nd = self.shares.softmax(dim=0)
        mixed_Rd: Tensor = (torch.stack(earlier_Rd) * shares_nd[:, None]).sum(dim=0)
        return mixed_Rd


@dataclass(frozen=True)
class Seats:
    """Places for the persons of each clip among the rows that others look at; of too many, some have none."""

    clip_R: Tensor
    place_R: Tensor
    kept_R: Tensor
    "bool: False for a person without a place."
    clips: int
    places: int

    def group(self, rows_Rd: Tensor) -> Tensor:
        """Put rows in their places, [B, K, ...]; empty places hold zeros."""
        where = self.clip_R[self.kept_R], self.place_R[self.kept_R]
        return rows_Rd.new_zeros(self.clips, self.places, *rows_Rd.shape[1:]).index_put(where, rows_Rd[self.kept_R])

    @property
    def taken_BK(self) -> Tensor:
        """Return which places hold a person."""
        return self.group(torch.ones_like(self.kept_R))


def seat_persons(clip_R: Tensor, clips: int, places: int, *, draw: bool, fit: bool = False) -> Seats:
    """Give places to the persons of each clip.

    Args:
        clip_R: the clip of each person.
        clips: number of clips.
        places: of each clip, at most.
        draw: of more persons than places, draw some from torch's global generator; False takes the first.
        fit: make no more places than the clip with most persons needs.
    """
    place_R, most = group_persons(clip_R, clips)
    if draw and most > places:
        # Drawn on the CPU, so that every device draws the same.
        order_R = torch.randperm(len(clip_R), device="cpu").to(clip_R.device)
        place_R = torch.empty_like(place_R)
        place_R[order_R] = group_persons(clip_R[order_R], clips)[0]
    return Seats(clip_R, place_R, place_R < places, clips, cast(int, torch.sym_min(places, most)) if fit else places)
