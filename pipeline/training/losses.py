"""Losses of RoI heads (MMAction2 `BBoxHeadAVA.loss_and_target`).

If a model has a background column, `make_loss` first removes it (column 0) from the logits, as upstream removes it from
logits and labels. Rows without a positive label are left out. If no row is left, upstream's mean is NaN; here the loss
and its gradients are 0, so a batch without a matched box changes nothing.

Labels in groups have AlphAction's loss, unless a group says otherwise: per box, the focal loss of a softmax group, and
the mean over the classes of the focal losses of a sigmoid group, times the groups' weights. It is summed over the
boxes, and `fit` divides by the boxes of the whole step (`rows_of_batch`), which is what upstream comes to: each of its
ranks divides by the mean number of boxes of a rank, and the gradient is the mean over the ranks.

Shape suffixes of names: R persons, K classes.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.models.scores import action_logits
from pipeline.models.settings import Labels

# A function of logits [R, columns] and labels [R, classes] that returns a scalar.
LossOf = Callable[[Tensor, Tensor], Tensor]


def make_loss(kind: Labels, *, alpha: float = 1.0, gamma: float = 0.0, normalise: bool = True) -> LossOf:
    """Build the loss for persons that have one or several actions, as `kind` says.

    Args:
        kind: multi: `multilabel_loss`; single: `singlelabel_loss`; grouped: the weighted sum of `group_losses` over the
            rows that `rows_of_batch` counts. A background column is removed from the logits.
        alpha: factor of the loss.
        gamma: exponent of the focal factor.
        normalise: for single: True divides each row of labels by its sum, which makes it a distribution. False computes
            what upstream does without a background column: a row with n labels counts n times. With one label per row
            both are the same.

    Returns:
        A function of logits [R, columns(classes, kind)] and labels [R, classes].
    """

    def loss(logits: Tensor, labels_RK: Tensor) -> Tensor:
        logits_RK = action_logits(logits, kind)
        if kind.kind == "multi":
            return multilabel_loss(logits_RK, labels_RK, alpha=alpha, gamma=gamma)
        if kind.kind == "grouped":
            keep_R = (labels_RK > 0).any(dim=1)
            losses = group_losses(logits_RK[keep_R], labels_RK[keep_R], kind, gamma=gamma)
            return (
                alpha
                * torch.stack([group.weight * each for group, each in zip(kind.groups, losses, strict=True)]).sum()
            )
        if kind.several == "first":
            labels_RK = _first_alone(labels_RK)
        return singlelabel_loss(logits_RK, labels_RK, alpha=alpha, gamma=gamma, normalise=normalise)

    return loss


def group_losses(logits_RK: Tensor, labels_RK: Tensor, kind: Labels, *, gamma: float) -> list[Tensor]:
    """Compute the loss of each group of labels, focal and summed over all rows, without the group's weight.

    Args:
        logits_RK: any floating type; the losses are computed in float32 or float64.
        labels_RK: 0 or 1.
        kind: grouped; says how a softmax takes a row with several actions of its group, or with none.
        gamma: exponent of the focal factor (1 - exp(-loss)) of a softmax, or of each sigmoid or binary loss.
    """
    logits_RK = _at_least_float32(logits_RK)
    labels_RK = labels_RK.to(logits_RK.dtype)
    losses = []
    logits_of, labels_of = (torch.split(each, kind.sizes, dim=1) for each in (logits_RK, labels_RK))
    for group, logits, labels in zip(kind.groups, logits_of, labels_of, strict=True):
        if group.kind == "sigmoid":
            loss = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
            losses.append(_focal(loss, 1.0, gamma).mean(dim=1).sum())
        elif group.loss == "binary":
            losses.append(_focal(_binary_of_softmax(logits, labels), 1.0, gamma).mean(dim=1).sum())
        else:
            loss = -(softmax_targets(labels, kind) * logits.log_softmax(dim=1)).sum(dim=1)
            losses.append(_focal(loss, 1.0, gamma).sum())
    return losses


def _binary_of_softmax(logits_RK: Tensor, labels_RK: Tensor) -> Tensor:
    """Return the binary cross-entropy of each probability of a softmax, [R, K] (ACAR-Net's loss of poses)."""
    log_RK = logits_RK.log_softmax(dim=1)
    # Kept below 1, so that a class that fills the softmax wrongly has a finite loss and finite gradients.
    most = 1 - torch.finfo(log_RK.dtype).eps / 2
    return -(labels_RK * log_RK + (1 - labels_RK) * torch.log1p(-log_RK.exp().clamp_max(most)))


def softmax_targets(labels_RK: Tensor, kind: Labels) -> Tensor:
    """Return the targets of a softmax group; a row of zeros takes no part in its loss.

    Args:
        labels_RK: of the classes of the group, 0 or 1.
        kind: `several`: equal parts, or the first class alone; `unlabelled`: zeros, or the first class.
    """
    if kind.unlabelled == "first":
        first_K = torch.arange(labels_RK.shape[1], device=labels_RK.device) == 0
        labels_RK = torch.where((labels_RK > 0).any(dim=1, keepdim=True), labels_RK, first_K.to(labels_RK))
    if kind.several == "first":
        return _first_alone(labels_RK)
    return labels_RK / labels_RK.sum(dim=1, keepdim=True).clamp_min(1)


def _first_alone(labels_RK: Tensor) -> Tensor:
    """Keep the first label of each row."""
    present_RK = labels_RK > 0
    return (present_RK & (present_RK.cumsum(dim=1) == 1)).to(labels_RK)


def multilabel_loss(logits_RK: Tensor, labels_RK: Tensor, *, alpha: float = 1.0, gamma: float = 0.0) -> Tensor:
    """Compute the binary cross-entropy of each class, focal if `gamma` > 0; the mean over kept rows and classes.

    Args:
        logits_RK: any floating type; the loss is computed in float32 or float64.
        labels_RK: 0 or 1.
        alpha: factor of the loss.
        gamma: exponent of the focal factor (1 - exp(-loss)); gradients flow through this factor too.

    Returns:
        A scalar; 0 where no row has a positive label.
    """
    logits_RK = _at_least_float32(logits_RK)
    labels_RK = labels_RK.to(logits_RK.dtype)
    loss_RK = F.binary_cross_entropy_with_logits(logits_RK, labels_RK, reduction="none")
    return _mean_of_kept(_focal(loss_RK, alpha, gamma).mean(dim=1), labels_RK)


def singlelabel_loss(
    logits_RK: Tensor, labels_RK: Tensor, *, alpha: float = 1.0, gamma: float = 0.0, normalise: bool = False
) -> Tensor:
    """Compute the cross-entropy of the softmax over the classes, focal if `gamma` > 0; the mean over kept rows.

    Args:
        logits_RK: any floating type; the loss is computed in float32 or float64.
        labels_RK: one-hot, or several ones per row.
        alpha: factor of the loss.
        gamma: exponent of the focal factor, which is computed from a row's cross-entropy.
        normalise: divide a row of labels by its sum, as upstream does for models with a background column.

    Returns:
        A scalar; 0 where no row has a positive label.
    """
    logits_RK = _at_least_float32(logits_RK)
    labels_RK = labels_RK.to(logits_RK.dtype)
    target_RK = labels_RK / labels_RK.sum(dim=1, keepdim=True).clamp_min(1) if normalise else labels_RK
    loss_R = -(target_RK * logits_RK.log_softmax(dim=1)).sum(dim=1)
    return _mean_of_kept(_focal(loss_R, alpha, gamma), labels_RK)


def _at_least_float32(logits_RK: Tensor) -> Tensor:
    return logits_RK if logits_RK.dtype == torch.float64 else logits_RK.float()


def _focal(loss: Tensor, alpha: float, gamma: float) -> Tensor:
    if gamma == 0:
        return alpha * loss
    # Kept above 0 even for a perfect logit: the derivative of x ** gamma at 0 is infinite for gamma below 1.
    doubt = (-torch.expm1(-loss)).clamp_min(torch.finfo(loss.dtype).tiny)
    return alpha * doubt**gamma * loss


def _mean_of_kept(loss_R: Tensor, labels_RK: Tensor) -> Tensor:
    keep_R = (labels_RK > 0).any(dim=1)
    return loss_R.masked_fill(~keep_R, 0).sum() / keep_R.sum().clamp_min(1)
