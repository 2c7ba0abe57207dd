"""LFB-NL split at the keyframe: one attention, applied once to the past of the window and once to its future.

This head is ours; no number is published for it. Attention ignores order: every published LFB head gives the same
answer if the window is shuffled. Two results, kept apart, at least show on which side of the keyframe a row is. Both
come from the same weights, because the same thing is searched before and after, and each example then trains both. (On
the playground's pair of classes that differ in order, two towers with weights of their own reached 0.86 AP, this head
0.99.)

Shape suffixes of names: R persons, B clips, L slots of a window, C channels.
"""

import torch
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.models.context import Context
from pipeline.models.heads.head import Head, HeadSettings, context_window, pool_persons
from pipeline.models.heads.lfb_nl import NonLocalBank, NonLocalOptions, non_local_bank


class SplitBank(nn.Module):
    """Concatenates a person's pooled feature with what the tower reads before and after the keyframe."""

    def __init__(self, tower: NonLocalBank, *, window_seconds: int, per_second: int) -> None:
        super().__init__()
        self.tower = tower
        self.slots = window_seconds * per_second
        # The keyframe's own second is in both halves: it may hold the end of one action or the start of the other.
        self.past_slots = slice(0, (window_seconds // 2 + 1) * per_second)
        self.future_slots = slice(window_seconds // 2 * per_second, self.slots)

    def forward(self, roi: Tensor, context: Context) -> Tensor:
        """RoI features (see `Head`) -> [R, C_roi + 2 * latent]; errors as in `look`."""
        person_RC = pool_persons(roi)
        return torch.cat([person_RC, *self.look(person_RC, context)], dim=1)

    def look(self, person_RC: Tensor, context: Context) -> list[Tensor]:
        """Compute what the persons read from the past and what they read from the future, [R, latent] each.

        Raises:
            ValueError: the window has another length than the settings say.
        """
        window = context_window(context)
        if window.mask.shape[1] != self.slots:
            raise ValueError(f"the window has {window.mask.shape[1]} slots, this head expects {self.slots}")
        person_Rd = self.tower.project_roi(person_RC)
        return [
            self.tower.look_at(person_Rd, window.part(part)).to(person_RC.dtype)
            for part in (self.past_slots, self.future_slots)
        ]


def split_bank(settings: HeadSettings, tower: NonLocalBank, *, head: str) -> SplitBank:
    """Apply a tower to each half of the window.

    Args:
        settings: see `lfb_nl_split`.
        tower: reads rows of the bank.
        head: the head's name, for messages.

    Raises:
        InputError: as `lfb_nl_split`, with the name of the head.
    """
    if settings.span != "centred":
        raise InputError(
            f"head {head}: it splits a window at the keyframe, found head.window.span {settings.span}, expected centred"
        )
    if settings.window_seconds < 2 or settings.per_second < 1:
        raise InputError(
            f"head {head}: it splits a window, found head.window.seconds {settings.window_seconds} "
            f"and head.window.per_second {settings.per_second}"
        )
    return SplitBank(tower, window_seconds=settings.window_seconds, per_second=settings.per_second)


def lfb_nl_split(
    settings: HeadSettings,
    *,
    layers: int = 2,
    latent: int = 512,
    dropout: float = 0.2,
    init: str = "identity",
    window_dropout: str = "rows",
) -> Head:
    """Build LFB-NL over each half of the window; the options are those of `lfb_nl`.

    Args:
        settings: see `HeadSettings`; needs `window_seconds` (at least 2), `per_second` and a centred window.
        layers: attention layers.
        latent: channels of the attention.
        dropout: on the person's projection, on the window and on what each layer adds.
        init: see `lfb_nl`.
        window_dropout: see `lfb_nl`; rows of the keyframe's own second are drawn for each half.

    Raises:
        InputError: as `lfb_nl`, or the settings give no window length, or the window is not centred.
    """
    options = NonLocalOptions(layers=layers, latent=latent, dropout=dropout, init=init, window_dropout=window_dropout)
    tower = non_local_bank(settings, options, head="lfb_nl_split")
    split = split_bank(settings, tower, head="lfb_nl_split")
    return Head(split, settings, channels=settings.roi_channels + 2 * latent, needs=frozenset({"window"}))
