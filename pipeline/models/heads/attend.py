"""Attention of persons to rows that many of them share, in two orders of the same products.

Rows x of a window are projected (W, b), and each layer makes keys (P, p) and values (G, g) of that; a second of the
window may add a code to either (r, s). For the query q of a person and the row x of slot l, in second t(l):

    score of l = q . (P (W x + b) + p + r[t])  =  (Wᵀ Pᵀ q) . x  +  q . r[t]  +  q . (P b + p)

The last term is the same for every slot of a window, an empty one that takes part (x = 0) included, so the softmax does
not see it. The weights a of the slots add up to 1, so that what is read is

    sum of a (G (W x + b) + g + s[t])  =  G (W (sum of a x) + b) + g  +  sum over t of (sum of a in t) s[t]

and is exact for every mask. `Projected` computes the left sides: rows are projected once, whoever asks. `Carried`
computes the right sides: for each person the query is carried to the rows, and what is read from the rows is projected.
Dropout between the projection and the layers does not allow this, dropout of rows does (`WindowDropout`).

Shape suffixes of names: R persons, W windows or clips, P persons of the window that has most, L slots, S seconds of a
window, C channels of a row, d latent channels.
"""

import math
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import torch
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.models.context import BankWindow
from pipeline.models.row_projections import project_windows
from pipeline.models.settings import Mask
from pipeline.models.window_blocks import RowsLookedAt, sum_rows

WindowDropout = Literal["rows", "projected"]
"""What dropout of a window acts on, in training. projected: each value of the projected rows, as published; the rest is
divided by the share that stays. rows: whole rows, which then take no part; every layer sees the same."""
WINDOW_DROPOUTS: tuple[WindowDropout, ...] = ("rows", "projected")


@dataclass(frozen=True)
class Maps:
    """The layers that make keys and values, and the codes of seconds that are added to them."""

    key: nn.Linear
    value: nn.Linear
    position_k: Tensor | None = None
    "[S, 1, d]."
    position_v: Tensor | None = None
    "[S, 1, d]."


class LookedAt(Protocol):
    """What persons look at."""

    @property
    def valid(self) -> Tensor | None:
        """True where a slot takes part, [W, L]; None lets all take part."""

    @property
    def owner(self) -> Tensor:
        """The window of each person, [R]."""

    def read(self, query_Rd: Tensor, maps: Maps) -> Tensor:
        """Return softmax(query . key / sqrt(d)) . value for each person, [R, d]; see `attend`."""

    def weights(self, query_Rd: Tensor, maps: Maps) -> Tensor:
        """Return the weights by which `read` sums, [R, L]; NaN for a person whose window has no valid slot."""


def group_persons(index: Tensor, groups: int) -> tuple[Tensor, int]:
    """Return each person's place within its group, [R], and the number of persons of the largest group."""
    member_RB = index[:, None] == torch.arange(groups, device=index.device)
    place_R = member_RB.cumsum(dim=0).gather(1, index[:, None].long())[:, 0] - 1
    # `item`, not `int`: a graph that is traced keeps the number open.
    return place_R, cast(int, member_RB.sum(dim=0).max().item()) if groups else 0


def attend(query_Rd: Tensor, key_WLd: Tensor, value_WLd: Tensor, valid_WL: Tensor | None, window_R: Tensor) -> Tensor:
    """Compute softmax(query . key / sqrt(d)) . value for each person, over the slots of its window.

    Args:
        query_Rd: one row per person, in any order of windows.
        key_WLd: one row per slot.
        value_WLd: one row per slot.
        valid_WL: True where a slot takes part; None lets all take part.
        window_R: [R], the window of each person.

    Returns:
        [R, d]; for a window without a valid slot the values have no meaning, but they and their gradients are finite.
    """
    windows = key_WLd.shape[0]
    place_R, persons = group_persons(window_R, windows)
    query_WPd = query_Rd.new_zeros(windows, persons, query_Rd.shape[1])
    query_WPd = query_WPd.index_put((window_R, place_R), query_Rd)
    score_WPL = query_WPd @ key_WLd.transpose(1, 2) / math.sqrt(query_Rd.shape[1])
    if valid_WL is not None:
        # The lowest finite number, not -inf: softmax over a row of -inf gives NaN values and NaN gradients.
        score_WPL = score_WPL.masked_fill(~valid_WL[:, None, :], torch.finfo(score_WPL.dtype).min)
    out_WPd: Tensor = score_WPL.softmax(dim=2).to(value_WLd.dtype) @ value_WLd
    return out_WPd[window_R, place_R]


def attention_weights(query_Rd: Tensor, key_WLd: Tensor, valid_WL: Tensor | None, window_R: Tensor) -> Tensor:
    """Compute the weights [R, L] by which `attend` sums the values; its arguments.

    A person whose window has no valid place gets NaN.
    """
    place_R, persons = group_persons(window_R, len(key_WLd))
    query_WPd = query_Rd.new_zeros(len(key_WLd), persons, query_Rd.shape[1])
    query_WPd = query_WPd.index_put((window_R, place_R), query_Rd)
    score_WPL = query_WPd @ key_WLd.transpose(1, 2) / math.sqrt(query_Rd.shape[1])
    if valid_WL is not None:
        score_WPL = score_WPL.masked_fill(~valid_WL[:, None, :], -math.inf)
    return score_WPL.softmax(dim=2)[window_R, place_R]


@dataclass(frozen=True)
class Projected:
    """Rows that are projected already, once for all who ask."""

    rows: Tensor
    "[W, L, d]."
    valid: Tensor | None
    owner: Tensor

    def read(self, query_Rd: Tensor, maps: Maps) -> Tensor:
        """See `LookedAt.read`."""
        value_WLd = in_time(maps.value(self.rows), maps.position_v)
        return attend(query_Rd, self._keys(maps), value_WLd, self.valid, self.owner)

    def weights(self, query_Rd: Tensor, maps: Maps) -> Tensor:
        """See `LookedAt.weights`."""
        return attention_weights(query_Rd, self._keys(maps), self.valid, self.owner)

    def _keys(self, maps: Maps) -> Tensor:
        return in_time(maps.key(self.rows), maps.position_k)


def in_time(rows_WLd: Tensor, position_S1d: Tensor | None) -> Tensor:
    """Add to each row [W, L, d] the code of its second [S, 1, d], if there are codes.

    The L slots are those of S seconds, one second after the other, each with L / S of them.
    """
    if position_S1d is None:
        return rows_WLd
    placed_WSkd: Tensor = torch.unflatten(rows_WLd, 1, (len(position_S1d), -1)) + position_S1d
    return placed_WSkd.flatten(1, 2)


@dataclass(frozen=True)
class Carried:
    """Rows of a window as they are, or projected for many windows: each query is carried to them."""

    window: BankWindow
    project: nn.Linear
    latent: bool
    "The rows of the window are projected already, but for the bias: queries are carried to the latent channels."
    valid: Tensor | None
    empty: bool
    "See `RowsLookedAt`."
    alone: bool
    "See `RowsLookedAt`."

    @property
    def owner(self) -> Tensor:
        """See `LookedAt.owner`."""
        return self.window.owner

    def read(self, query_Rd: Tensor, maps: Maps) -> Tensor:
        """See `LookedAt.read`."""
        sums_RC, weights_RL = self._sums(query_Rd, maps)
        sums_RC = sums_RC.to(self.project.weight.dtype)
        value_Rd: Tensor = maps.value(sums_RC + self.project.bias if self.latent else self.project(sums_RC))
        if maps.position_v is not None:
            shares_RS = torch.unflatten(weights_RL, 1, (len(maps.position_v), -1)).sum(dim=2)
            value_Rd = value_Rd + shares_RS @ maps.position_v[:, 0]
        return value_Rd

    def weights(self, query_Rd: Tensor, maps: Maps) -> Tensor:
        """See `LookedAt.weights`."""
        weights_RL = self._sums(query_Rd, maps)[1]
        if self.valid is None:
            return weights_RL
        return weights_RL.masked_fill(~self.valid.any(dim=1)[self.owner, None], math.nan)

    def _sums(self, query_Rd: Tensor, maps: Maps) -> tuple[Tensor, Tensor]:
        """Return each person's sum of its window's rows, [R, C], and the weights of the slots, [R, L]."""
        # The bias of the keys changes no weight. Its gradient is 0, not absent: ranks and optimisers expect one.
        query_Rd = query_Rd / math.sqrt(query_Rd.shape[1]) + 0 * maps.key.bias
        carried_RC = query_Rd @ maps.key.weight
        if not self.latent:
            carried_RC = carried_RC @ self.project.weight
        dtype = torch.promote_types(carried_RC.dtype, torch.float32)
        windows, slots = self.window.mask.shape  # `len` would close the size of a graph that is traced
        place_R, persons = group_persons(self.owner, windows)

        def by_window(rows: Tensor) -> Tensor:
            grouped = rows.new_zeros(windows, persons, rows.shape[1], dtype=dtype)
            return grouped.index_put((self.owner, place_R), rows.to(dtype))

        bias_WPL = None
        if maps.position_k is not None:
            bias_RS = query_Rd @ maps.position_k[:, 0].T
            bias_WPL = by_window(bias_RS.repeat_interleave(slots // len(maps.position_k), dim=1))
        look = RowsLookedAt(self.window, self.valid, self._counts(), empty=self.empty, alone=self.alone)
        sums_WPC, weights_WPL = sum_rows(by_window(carried_RC), bias_WPL, look)
        return sums_WPC[self.owner, place_R], weights_WPL[self.owner, place_R]

    def _counts(self) -> list[int] | None:
        if torch.compiler.is_exporting():
            return None
        counts: list[int] = torch.bincount(self.owner, minlength=len(self.window.mask)).tolist()
        return counts


@dataclass(frozen=True)
class WindowReader:
    """How the attention of a head reads windows of the bank.

    Raises:
        InputError: `window_dropout` is another word.
    """

    head: str
    "Its name, for the message."
    mask: Mask
    window_dropout: str
    layers: int
    "Layers that read the same window."

    def __post_init__(self) -> None:
        if self.window_dropout not in WINDOW_DROPOUTS:
            raise InputError(
                f"head {self.head}: options.window_dropout is {self.window_dropout}, expected "
                f"{' or '.join(WINDOW_DROPOUTS)}"
            )

    def see(self, window: BankWindow, project: nn.Linear, dropout: nn.Dropout) -> LookedAt:
        """Return what the persons of windows look at.

        Args:
            window: see `BankWindow`.
            project: the projection of rows, [C] to [d].
            dropout: of the window.
        """
        valid_WL = None if self.mask == "none" else window.mask
        drops = dropout.training and dropout.p > 0
        if drops and self.window_dropout == "projected":
            return Projected(dropout(project(window.whole(project.weight.dtype))), valid_WL, window.owner)
        if drops:
            kept_WL = torch.rand(window.mask.shape, device=window.mask.device) >= dropout.p
            valid_WL = kept_WL if valid_WL is None else valid_WL & kept_WL
        if dropout.training and not is_carried_cheaper(window, project, self.layers):
            return Projected(project(window.whole(project.weight.dtype)), valid_WL, window.owner)
        latent = window.kept is not None and not torch.is_grad_enabled()
        if window.kept is not None and latent:
            window = project_windows(window, project, window.kept)
        return Carried(window, project, latent, valid_WL, empty=self.mask == "none", alone=not dropout.training)


def is_carried_cheaper(window: BankWindow, project: nn.Linear, layers: int) -> bool:
    """Return whether `Carried` multiplies less than `Projected`, by the numbers of slots, persons, channels and layers.

    Evaluation does not ask: there each window is read by itself, so that no score depends on the others.
    """
    (windows, slots), persons = window.mask.shape, len(window.owner)
    latent, channels = project.weight.shape
    carried = layers * persons * 2 * (latent * latent + latent * channels + slots * channels)
    projected = windows * slots * (channels * latent + layers * 2 * latent * latent)
    return carried < projected + layers * persons * 2 * slots * latent
