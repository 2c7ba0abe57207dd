"""What the readers and writers of other projects' banks share: a bank is handed on one video at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.bank.feature_rows import FeatureRows, FloatArray
from pipeline.bank.format import FEATURE_DTYPES
from pipeline.base.errors import InputError


@dataclass(frozen=True)
class ForeignBank:
    """What is in a file of another project."""

    described: str  # what the file is, for the user
    videos: tuple[str, ...]  # sorted
    read: Callable[[str], tuple[FeatureRows, FloatArray]]  # rows of a video in the file's order, and timestamps seen
    dtype: str  # fp16 where every feature of the file is, else fp32
    provenance: Mapping[str, Any] = field(default_factory=dict)  # what the file says of itself


def cast_features(features: FloatArray, dtype: str, where: str) -> FloatArray:
    """Features [n, C] in the type that a file has; the same array where it is theirs.

    Args:
        features: as a bank has them.
        dtype: "fp16" or "fp32".
        where: whose they are, for messages.

    Raises:
        InputError: one is too large for float16.
    """
    with np.errstate(over="ignore"):
        cast = features.astype(FEATURE_DTYPES[dtype], copy=False)
    if cast is not features and not np.isfinite(cast).all():
        value = features[~np.isfinite(cast)][0]
        raise InputError(f"{where}: feature {value:g} is too large for float16; use --dtype fp32")
    return cast
