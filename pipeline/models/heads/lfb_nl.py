"""LFB-NL: the person's feature attends to the window (Wu et al. 2019, section 3.3; MMAction2 `FBONonLocal`).

Shape suffixes of names: R persons, B windows, P persons of the window that has most, L slots of a window,
C channels, d latent channels.

Each window is projected once, and the persons who share it (usually those of a clip) are the rows of one matrix
product. Upstream copies the window for every person.
"""

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.models.context import Context
from pipeline.models.heads.head import Head, HeadSettings, pool_persons, read_window
from pipeline.models.settings import Mask


def group_persons(index: Tensor, groups: int) -> tuple[Tensor, int]:
    """Return each person's place within its group, [R], and the number of persons of the largest group."""
    member_RB = index[:, None] == torch.arange(groups, device=index.device)
    place_R = member_RB.cumsum(dim=0).gather(1, index[:, None].long())[:, 0] - 1
    # `item`, not `int`: a graph that is traced keeps the number open.
    return place_R, cast(int, member_RB.sum(dim=0).max().item()) if groups else 0


def attend(query_Rd: Tensor, key_BLd: Tensor, value_BLd: Tensor, valid_BL: Tensor | None, window_R: Tensor) -> Tensor:
    """Compute softmax(query . key / sqrt(d)) . value for each person, over the slots of its window.

    Args:
        query_Rd: one row per person, in any order of windows.
        key_BLd: one row per slot.
        value_BLd: one row per slot.
        valid_BL: True where a slot takes part; None lets all take part.
        window_R: [R], the window of each person.

    Returns:
        [R, d]; for a window without a valid slot the values have no meaning, but they and their gradients are finite.
    """
    windows = key_BLd.shape[0]
    place_R, persons = group_persons(window_R, windows)
    query_BPd = query_Rd.new_zeros(windows, persons, query_Rd.shape[1])
    query_BPd = query_BPd.index_put((window_R, place_R), query_Rd)
    score_BPL = query_BPd @ key_BLd.transpose(1, 2) / math.sqrt(query_Rd.shape[1])
    if valid_BL is not None:
        # The lowest finite number, not -inf: softmax over a row of -inf gives NaN values and NaN gradients.
        score_BPL = score_BPL.masked_fill(~valid_BL[:, None, :], torch.finfo(score_BPL.dtype).min)
    out_BPd: Tensor = score_BPL.softmax(dim=2).to(value_BLd.dtype) @ value_BLd
    return out_BPd[window_R, place_R]


class NonLocalLayer(nn.Module):
    """Attention, LayerNorm, ReLU, a linear layer and dropout: the layer without its residual sum."""

    def __init__(self, latent: int, *, dropout: float) -> None:
        super().__init__()
        self.theta = nn.Linear(latent, latent)
        self.phi = nn.Linear(latent, latent)
        self.g = nn.Linear(latent, latent)
        self.norm = nn.LayerNorm(latent, eps=1e-5)
        self.out = nn.Linear(latent, latent)
        self.dropout = nn.Dropout(dropout)

    def forward(self, person_Rd: Tensor, bank_BLd: Tensor, valid_BL: Tensor | None, window_R: Tensor) -> Tensor:
        """Compute the update that the caller adds to `person_Rd`, [R, d]."""
        out_Rd = attend(self.theta(person_Rd), self.phi(bank_BLd), self.g(bank_BLd), valid_BL, window_R)
        update_Rd: Tensor = self.dropout(self.out(F.relu(self.norm(out_Rd))))
        return update_Rd


class NonLocalBank(nn.Module):
    """Concatenates a person's pooled feature with what attention reads from its window."""

    def __init__(
        self, *, roi_channels: int, bank_channels: int, latent: int, layers: int, dropout: float, mask: Mask
    ) -> None:
        super().__init__()
        self.project_roi = nn.Linear(roi_channels, latent)
        self.project_bank = nn.Linear(bank_channels, latent)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList([NonLocalLayer(latent, dropout=dropout) for _ in range(layers)])
        self.mask: Mask = mask

    def forward(self, roi: Tensor, context: Context) -> Tensor:
        """RoI features (see `Head`) -> [R, C_roi + latent].

        With mask `valid`, a person whose window is empty keeps its query: no layer adds anything.
        """
        person_RC = pool_persons(roi)
        window_BLC, valid_BL, window_R = read_window(context, self.mask, like=person_RC)
        return torch.cat([person_RC, self.look(person_RC, window_BLC, valid_BL, window_R)], dim=1)

    def look(self, person_RC: Tensor, window_BLC: Tensor, valid_BL: Tensor | None, window_R: Tensor) -> Tensor:
        """Compute what the persons read from their windows, [R, latent], in the type of `person_RC`."""
        person_Rd: Tensor = self.dropout(self.project_roi(person_RC))
        # One dropout mask per window; upstream draws one for every person, on its copy of the window.
        bank_BLd = self.dropout(self.project_bank(window_BLC))
        for layer in self.layers:
            update_Rd = layer(person_Rd, bank_BLd, valid_BL, window_R)
            if valid_BL is not None:
                update_Rd = update_Rd.masked_fill(~valid_BL.any(dim=1)[window_R, None], 0)
            person_Rd = person_Rd + update_Rd
        return person_Rd.to(person_RC.dtype)


def non_local_bank(
    settings: HeadSettings, *, head: str, layers: int, latent: int, dropout: float, init: str
) -> NonLocalBank:
    """Build the attention over a window, initialised as `init` says; arguments and errors are those of `lfb_nl`.

    Args:
        settings: see `HeadSettings`.
        head: the head's name, for messages.
        layers: see `lfb_nl`.
        latent: see `lfb_nl`.
        dropout: see `lfb_nl`.
        init: see `lfb_nl`.
    """
    if init not in ("identity", "published"):
        raise InputError(f"head {head}: init is {init}, expected identity or published")
    if layers < 1 or latent < 1:
        raise InputError(f"head {head}: layers is {layers} and latent {latent}, expected at least 1")
    if not 0 <= dropout < 1:
        raise InputError(f"head {head}: dropout is {dropout}, expected 0 to below 1")
    bank = NonLocalBank(
        roi_channels=settings.roi_channels,
        bank_channels=settings.bank_channels,
        latent=latent,
        layers=layers,
        dropout=dropout,
        mask=settings.mask,
    )
    _initialise(bank, init)
    return bank


def _initialise(bank: NonLocalBank, init: str) -> None:
    for module in bank.modules():
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
            if init == "published" and not module.weight.is_meta:  # see `_conv3d`
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(module, NonLocalLayer) and init == "identity":
            nn.init.zeros_(module.out.weight)


def lfb_nl(
    settings: HeadSettings,
    *,
    layers: int = 2,
    latent: int = 512,
    dropout: float = 0.2,
    init: str = "identity",
) -> Head:
    """Build LFB-NL. Published on AVA: two layers (Wu et al.: also three), latent 512, dropout 0.2.

    Args:
        settings: see `HeadSettings`.
        layers: attention layers; all read the same projected window.
        latent: channels of the attention.
        dropout: on both projections and on what each layer adds.
        init: `published` draws all projections by kaiming_normal over fan_out, as MMAction2 does; attention is then
            nearly one-hot at first. `identity` draws them smaller (torch's default), and each layer at first adds
            nothing; the arithmetic is the same. On a synthetic task (which of three patterns is among 112 slots;
            700 examples, 12 epochs, six seeds, chance 0.33) `identity` reached 0.71 to 1.00 and `published` 0.32
            to 0.65.

    Raises:
        InputError: `init` is another word, a size is below 1, or `dropout` is not in [0, 1).
    """
    bank = non_local_bank(settings, head="lfb_nl", layers=layers, latent=latent, dropout=dropout, init=init)
    return Head(bank, settings, channels=settings.roi_channels + latent, needs=frozenset({"window"}))
