"""The meaning of the columns of a head's logits, and the conversion of logits to scores of actions.

Shape suffixes of names: R persons, K columns.
"""

import torch
from torch import Tensor

from pipeline.models.settings import Labels


def action_logits(logits_RK: Tensor, kind: Labels) -> Tensor:
    """Return the logits of actions [R, classes]: all columns except the background."""
    return logits_RK[:, 1:] if kind.background else logits_RK


def action_scores(logits_RK: Tensor, kind: Labels) -> Tensor:
    """Compute scores of actions, in [0, 1]; of labels in groups, each group's by itself.

    Matches MMAction2's `BBoxHeadAVA` at test time: a background column takes part in the softmax, so the scores of a
    person sum to less than 1. In training the column is removed before the loss (`make_loss`), so it is never trained.

    Args:
        logits_RK: K is `columns(classes, kind)`.
        kind: how many actions a person can have.

    Returns:
        [R, classes]; column c is action id c + 1.
    """
    if kind.kind == "grouped":
        parts = zip(kind.groups, torch.split(logits_RK, kind.sizes, dim=1), strict=True)
        return torch.cat(
            [part.softmax(dim=1) if group.kind == "softmax" else part.sigmoid() for group, part in parts], 1
        )
    return logits_RK.sigmoid() if kind.kind == "multi" else action_logits(logits_RK.softmax(dim=1), kind)
