"""Find the stored rows of the objects of each keyframe, and say where a head that reads objects finds none."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.bank.feature_rows import IntArray
from pipeline.bank.reader import Bank
from pipeline.bank.row_places import StoredFeatures, rows_at
from pipeline.base.errors import InputError
from pipeline.base.ranks import is_main
from pipeline.models.context import ObjectRows
from pipeline.models.settings import ObjectSettings
from pipeline.tables.keyframes import KeyframeSet
from pipeline.tables.ordering import ranks


@dataclass(frozen=True, eq=False)
class KeyframeObjects:
    """The rows of objects of K keyframes; P places each."""

    features: StoredFeatures  # [N, C]
    row: IntArray  # [K, P], the row of each place, by score, the best first; -1 where a place is empty

    def of(self, index: IntArray) -> ObjectRows:
        """Return the objects of the keyframes `index`; empty places hold zeros."""
        row = self.row[index]
        mask = torch.from_numpy(row >= 0)
        rows = torch.zeros(*row.shape, self.features.shape[1])
        rows[mask] = self.features.take(row[row >= 0]).float()
        return ObjectRows(rows, mask)


def objects_at(bank: Bank, keyframes: KeyframeSet, settings: ObjectSettings) -> KeyframeObjects:
    """Find the best objects of each keyframe in a bank; a bank without objects gives empty places.

    Args:
        bank: any bank, or loose parts.
        keyframes: sorted by video_id.
        settings: the number of places, and the least score.

    Raises:
        InputError: the bank stores fewer objects of a second than there are places.
    """
    stored = bank.provenance.get("objects")
    if isinstance(stored, int) and stored < settings.per_keyframe:
        raise InputError(
            f"{bank.where}: stores at most {stored} objects of each second (bank.objects), and "
            f"head.objects.per_keyframe is {settings.per_keyframe}"
        )
    places = rows_at(bank, keyframes, "objects")
    if places.score is not None:
        places = places.take(places.score >= np.float32(settings.score))
    row = np.full((len(keyframes), settings.per_keyframe), -1)
    rank = ranks(places.keyframe)  # rows of a second are stored by score
    best = rank < settings.per_keyframe
    row[places.keyframe[best], rank[best]] = np.arange(best.sum())
    return KeyframeObjects(StoredFeatures(bank, places.take(best)), row)


def say_without_objects(head: str, found_in: Mapping[str, NDArray[np.bool_]]) -> None:
    """Print a line for each split in which no keyframe has an object.

    Args:
        head: the name of the head, which reads objects.
        found_in: split -> which places of each keyframe hold an object, [K, P].
    """
    for split, found in found_in.items():
        if not found.any() and len(found) and is_main():
            print(
                f"objects of {split}: none of {len(found)} keyframes has one, so what looks at objects in head {head} "
                "sees none (dataset.objects, bank.objects)",
                file=sys.stderr,
            )
