"""AIA with a memory that is split at the keyframe: persons, objects, the past and the future are read separately.

This head is ours; no number is published for it. Published AIA adds what its blocks find into one vector, and learns a
code for each second of its memory. Here each result stays apart, as in `lfb_nl_split`, so that the classifier sees who
is there, what is there, what was before and what comes after.

Shape suffixes of names: R persons, B clips, K places of a clip, L slots of a window, C channels.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.models.context import Context
from pipeline.models.heads.aia import count_clips, needs_of
from pipeline.models.heads.head import Head, HeadSettings, pool_persons
from pipeline.models.heads.interaction import seat_persons
from pipeline.models.heads.lfb_nl import NonLocalBank, NonLocalOptions, non_local_bank
from pipeline.models.heads.lfb_nl_split import SplitBank, split_bank
from pipeline.models.settings import Mask


class SplitInteraction(nn.Module):
    """Concatenates a person's pooled feature with what one tower reads from each kind of rows."""

    def __init__(
        self, towers: Mapping[str, NonLocalBank], memory: SplitBank | None, *, persons: int, mask: Mask
    ) -> None:
        super().__init__()
        self.towers = nn.ModuleDict(towers)
        self.memory = memory
        self.persons = persons
        self.mask: Mask = mask

    def forward(self, roi: Tensor, context: Context) -> Tensor:
        """RoI features (see `Head`) -> [R, C_roi + latent for persons, objects, the past and the future].

        With mask `valid`, a person without objects, or with an empty half of its window, keeps its query there.
        """
        person_RC = pool_persons(roi)
        found = [person_RC]
        for letter, tower in self.towers.items():
            assert isinstance(tower, NonLocalBank)
            rows_BKC, taken_BK = self._persons(person_RC, context) if letter == "P" else self._objects(context)
            valid_BK = None if self.mask == "none" else taken_BK
            found.append(tower.look(person_RC, rows_BKC.to(person_RC.dtype), valid_BK, context.clip_index))
        if self.memory is not None:
            found += self.memory.look(person_RC, context)
        return torch.cat(found, dim=1)

    def _persons(self, person_RC: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        seats = seat_persons(
            context.clip_index, count_clips(context), self.persons, draw=self.training, fit=self.mask == "valid"
        )
        return seats.group(person_RC), seats.taken_BK

    def _objects(self, context: Context) -> tuple[Tensor, Tensor]:
        assert context.objects is not None  # the head needs them
        return context.objects.rows, context.objects.mask


def aia_split(
    settings: HeadSettings,
    *,
    order: str = "POM",
    layers: int = 2,
    latent: int = 512,
    dropout: float = 0.2,
    persons: int = 25,
    init: str = "identity",
    window_dropout: str = "rows",
) -> Head:
    """Build one attention over the persons of the clip, one over its objects, and `lfb_nl_split` over the window.

    Args:
        settings: see `HeadSettings`; with M in `order` it needs what `lfb_nl_split` needs, with O objects.
        order: what is read: P the persons of the clip, O its objects, M the window. A letter may be left out.
        layers: attention layers of each.
        latent: channels of each.
        dropout: on the projections and on what each layer adds.
        persons: most persons of a clip that others look at; of more, training draws some, evaluation takes the first.
        init: see `lfb_nl`.
        window_dropout: see `lfb_nl_split`; dropout of persons and objects is `projected` always.

    Raises:
        InputError: as `lfb_nl_split`; or `order` has another letter, one twice or none, or `persons` is below 1.
    """
    if not order or set(order) - set("POM") or len(set(order)) < len(order):
        raise InputError(f"head aia_split: order is {order!r}, expected letters P, O and M, each at most once")
    if persons < 1:
        raise InputError(f"head aia_split: persons is {persons}, expected at least 1")
    of_clip = replace(settings, bank_channels=settings.roi_channels)
    options = NonLocalOptions(layers=layers, latent=latent, dropout=dropout, init=init, window_dropout=window_dropout)
    towers = {
        letter: non_local_bank(settings if letter == "M" else of_clip, options, head="aia_split") for letter in order
    }
    memory = split_bank(settings, towers.pop("M"), head="aia_split") if "M" in towers else None
    split = SplitInteraction(towers, memory, persons=persons, mask=settings.mask)
    return Head(
        split,
        settings,
        channels=settings.roi_channels + latent * (len(towers) + 2 * ("M" in order)),
        needs=needs_of(order),
    )
