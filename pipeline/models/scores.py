"""What the columns of a head's logits mean, and the scores of actions that come of them.

Shape suffixes of names: R persons, K columns.
"""

from torch import Tensor

from pipeline.models.settings import Labels


def action_logits(logits_RK: Tensor, kind: Labels) -> Tensor:
    """The logits of actions [R, classes]: all columns but that of the background."""
    return logits_RK[:, 1:] if kind.background else logits_RK


def action_scores(logits_RK: Tensor, kind: Labels) -> Tensor:
    """Scores of actions, in [0, 1].

    Matches MMAction2's `BBoxHeadAVA` in testing: a background column takes part in the softmax, so that the
    scores of a person sum to less than 1; in training it is cut off before the loss (`make_loss`), so nothing
    ever teaches it.

    Args:
        logits_RK: K is `columns(classes, kind)`.
        kind: how many actions a person has.

    Returns:
        [R, classes]; column c is action id c + 1.
    """
    return logits_RK.sigmoid() if kind.kind == "multi" else action_logits(logits_RK.softmax(dim=1), kind)
