"""ACAR over a long time: the persons' relations look at the window of the bank. Ours, after Pan et al. 2021.

The paper's bank (ACFB) holds the relation map of every person, and the window's maps take part in the attention among
those of the clip. Its code is not published, and a bank of maps is twenty times the size of a bank of features. Here
the window holds the rows of an ordinary bank: the person beside its relations asks, by the attention of LFB-NL, who was
there before and after. Both are learnt together.

Shape suffixes of names: R persons, d channels of a relation.
"""

import torch
from torch import Tensor, nn

from pipeline.models.context import Context
from pipeline.models.heads.acar import RelationOptions, Relations, build_relations
from pipeline.models.heads.head import Head, HeadSettings, context_window
from pipeline.models.heads.lfb_nl import NonLocalBank, NonLocalOptions, non_local_bank


class LongTermRelations(nn.Module):
    """Concatenates the relations of ACAR and what they read from the window."""

    def __init__(self, relations: Relations, bank: NonLocalBank) -> None:
        super().__init__()
        self.relations = relations
        self.bank = bank

    def forward(self, roi: Tensor, context: Context) -> Tensor:
        """RoI maps [R, C, 1, s, s] -> [R, 2 * hidden + latent]."""
        asks_Rd = self.relations(roi, context)
        found_Rd = self.bank.look_at(self.bank.project_roi(asks_Rd), context_window(context))
        return torch.cat([asks_Rd, found_Rd.to(asks_Rd.dtype)], dim=1)


def acar_lfb(
    settings: HeadSettings,
    *,
    depth: int = RelationOptions.depth,
    kernel: int = RelationOptions.kernel,
    reduced: int = RelationOptions.reduced,
    hidden: int = RelationOptions.hidden,
    dropout: float = RelationOptions.dropout,
    downsample: str = RelationOptions.downsample,
    latent: int = 512,
) -> Head:
    """Build ACAR with a window of the bank. It reads the feature map, so it trains only with the detector (scope all).

    Args:
        settings: see `HeadSettings`.
        depth: see `RelationOptions`, as for all up to `downsample`.
        kernel: see there.
        reduced: see there.
        hidden: see there.
        dropout: see there; also that of the attention over the window.
        downsample: see there.
        latent: channels of the attention over the window, which has two layers, see `lfb_nl`.

    Raises:
        InputError: see `acar` and `lfb_nl`.
    """
    options = RelationOptions(
        depth=depth, kernel=kernel, reduced=reduced, hidden=hidden, dropout=dropout, downsample=downsample
    )
    relations = build_relations(settings, options, head="acar_lfb")
    look = NonLocalOptions(layers=2, latent=latent, dropout=dropout, init="identity", window_dropout="rows")
    bank = non_local_bank(settings, look, head="acar_lfb", asks=2 * hidden)
    return Head(
        LongTermRelations(relations, bank),
        settings,
        channels=2 * hidden + latent,
        needs=frozenset({"feature_map", "window"}),
        scopes=frozenset({"all"}),
    )
