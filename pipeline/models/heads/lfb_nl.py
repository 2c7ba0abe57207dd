"""LFB-NL: the person's feature attends to the window (Wu et al. 2019, section 3.3; MMAction2 `FBONonLocal`).

Shape suffixes of names: R persons, B windows, L slots of a window, C channels, d latent channels.

A window is held once for all persons who share it (usually those of a clip), and its rows are not projected: see
`pipeline/models/heads/attend.py`. Upstream copies and projects the window for every person.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.models.context import BankWindow, Context
from pipeline.models.heads.attend import LookedAt, Maps, Projected, WindowReader
from pipeline.models.heads.head import Head, HeadSettings, context_window, pool_persons


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

    def forward(self, person_Rd: Tensor, seen: LookedAt) -> Tensor:
        """Compute the update that the caller adds to `person_Rd`, [R, d]."""
        out_Rd = seen.read(self.theta(person_Rd), self.maps)
        update_Rd: Tensor = self.dropout(self.out(F.relu(self.norm(out_Rd))))
        return update_Rd

    @property
    def maps(self) -> Maps:
        """What makes keys and values of rows."""
        return Maps(self.phi, self.g)


class NonLocalBank(nn.Module):
    """Concatenates a person's pooled feature with what attention reads from its window."""

    def __init__(
        self, *, roi_channels: int, bank_channels: int, latent: int, dropout: float, reader: WindowReader
    ) -> None:
        super().__init__()
        self.project_roi = nn.Linear(roi_channels, latent)
        self.project_bank = nn.Linear(bank_channels, latent)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList([NonLocalLayer(latent, dropout=dropout) for _ in range(reader.layers)])
        self.reader = reader

    def forward(self, roi: Tensor, context: Context) -> Tensor:
        """RoI features (see `Head`) -> [R, C_roi + latent].

        With mask `valid`, a person whose window is empty keeps its query: no layer adds anything.
        """
        person_RC = pool_persons(roi)
        found_Rd = self.look_at(self.project_roi(person_RC), context_window(context))
        return torch.cat([person_RC, found_Rd.to(person_RC.dtype)], dim=1)

    def look_at(self, person_Rd: Tensor, window: BankWindow) -> Tensor:
        """Compute what the persons, projected, read from their windows, [R, latent]."""
        person_Rd = self.dropout(person_Rd)
        # One dropout mask per window; upstream draws one for every person, on its copy of the window.
        return self._ask(person_Rd, self.reader.see(window, self.project_bank, self.dropout))

    def look(self, person_RC: Tensor, rows_BLC: Tensor, valid_BL: Tensor | None, owner_R: Tensor) -> Tensor:
        """Compute what the persons read from a few rows, which may have a gradient: [R, latent]."""
        person_Rd: Tensor = self.dropout(self.project_roi(person_RC))
        seen = Projected(self.dropout(self.project_bank(rows_BLC)), valid_BL, owner_R)
        return self._ask(person_Rd, seen).to(person_RC.dtype)

    def _ask(self, person_Rd: Tensor, seen: LookedAt) -> Tensor:
        for layer in self.layers:
            update_Rd = layer(person_Rd, seen)
            if seen.valid is not None:
                update_Rd = update_Rd.masked_fill(~seen.valid.any(dim=1)[seen.owner, None], 0)
            person_Rd = person_Rd + update_Rd
        return person_Rd


@dataclass(frozen=True, kw_only=True)
class NonLocalOptions:
    """The options of `lfb_nl`."""

    layers: int
    latent: int
    dropout: float
    init: str
    window_dropout: str


def non_local_bank(
    settings: HeadSettings, options: NonLocalOptions, *, head: str, asks: int | None = None
) -> NonLocalBank:
    """Build the attention over a window, initialised as `init` says.

    Args:
        settings: see `HeadSettings`.
        options: see `lfb_nl`.
        head: the head's name, for messages.
        asks: channels of what looks at the window; None for the persons' features.

    Raises:
        InputError: as `lfb_nl`, with the name of the head.
    """
    init, layers, latent, dropout = options.init, options.layers, options.latent, options.dropout
    if init not in ("identity", "published"):
        raise InputError(f"head {head}: init is {init}, expected identity or published")
    if layers < 1 or latent < 1:
        raise InputError(f"head {head}: layers is {layers} and latent {latent}, expected at least 1")
    if not 0 <= dropout < 1:
        raise InputError(f"head {head}: dropout is {dropout}, expected 0 to below 1")
    bank = NonLocalBank(
        roi_channels=settings.roi_channels if asks is None else asks,
        bank_channels=settings.bank_channels,
        latent=latent,
        dropout=dropout,
        reader=WindowReader(head, settings.mask, options.window_dropout, layers),
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
    window_dropout: str = "rows",
) -> Head:
    """Build LFB-NL. Published on AVA: two layers (Wu et al.: also three), latent 512, dropout 0.2.

    Args:
        settings: see `HeadSettings`.
        layers: attention layers; all read the same projected window.
        latent: channels of the attention.
        dropout: on the person's projection, on the window and on what each layer adds.
        init: `published` draws all projections by kaiming_normal over fan_out, as MMAction2 does; attention is then
            nearly one-hot at first. `identity` draws them smaller (torch's default), and each layer at first adds
            nothing; the arithmetic is the same. On a synthetic task (which of three patterns is among 112 slots;
            700 examples, 12 epochs, six seeds, chance 0.33) `identity` reached 0.71 to 1.00 and `published` 0.32
            to 0.65.
        window_dropout: see `WindowDropout`; `projected` is published. Evaluation is the same with both.

    Raises:
        InputError: `init` or `window_dropout` is another word, a size is below 1, or `dropout` is not in [0, 1).
    """
    options = NonLocalOptions(layers=layers, latent=latent, dropout=dropout, init=init, window_dropout=window_dropout)
    bank = non_local_bank(settings, options, head="lfb_nl")
    return Head(bank, settings, channels=settings.roi_channels + latent, needs=frozenset({"window"}))
