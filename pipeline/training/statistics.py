"""Compute the statistics of the train split for a standardised head, before its training."""

from collections.abc import Collection, Iterable

import numpy as np
import torch

from pipeline.bank.reader import Bank
from pipeline.bank.windows.seconds import features_of, index_rows
from pipeline.models.heads.head import Head
from pipeline.models.standardise import StandardisedHead, fit_standardise


def fit_statistics(
    head: Head | StandardisedHead,
    *,
    rows: Iterable[torch.Tensor] | None,
    bank: Bank | None,
    score: float,
    films: Collection[str],
) -> None:
    """Fit a standardised head's statistics to the train split.

    Args:
        head: the head; one without standardisation is unchanged.
        rows: chunks of the labelled rows, for the persons' features; None in scope all.
        bank: the train bank, for the rows of windows.
        score: rows with a lower score are not read.
        films: the films that are trained on. Other films of the bank are ignored: their rows may look different
            (docs/gap.md).
    """
    if not isinstance(head, StandardisedHead):
        return
    if head.roi is not None and rows is not None:
        head.roi = fit_standardise(rows)
    if head.bank is not None and bank is not None:
        read = (features_of(bank, each, index_rows(bank, each, score)[0]) for each in bank.videos if each in films)
        head.bank = fit_standardise(torch.from_numpy(np.asarray(features)) for features in read)
