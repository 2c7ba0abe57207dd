"""Types shared by the readers and writers of other projects' banks, which pass on one video at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.bank.feature_rows import FeatureRows, FloatArray
from pipeline.bank.format import FEATURE_DTYPES
from pipeline.base.errors import InputError


@dataclass(frozen=True)
class ForeignBank:
    """The content of another project's file."""

    described: str  # describes the file to the user
    videos: tuple[str, ...]  # sorted
    read: Callable[[str], tuple[FeatureRows, FloatArray]]  # rows of a video in file order, and timestamps seen
    dtype: str  # fp16 if every feature in the file is fp16, else fp32
    provenance: Mapping[str, Any] = field(default_factory=dict)  # what the file says about its origin


def cast_features(features: FloatArray, dtype: str, where: str) -> FloatArray:
    """Return features [n, C] in the number type of a file; the same array if they have it already.

    Args:
        features: the features of a bank.
        dtype: "fp16" or "fp32".
        where: the origin of the features, for messages.

    Raises:
        InputError: a feature is too large for float16.
    """
    with np.errstate(over="ignore"):
        cast = features.astype(FEATURE_DTYPES[dtype], copy=False)
    if cast is not features and not np.isfinite(cast).all():
        value = features[~np.isfinite(cast)][0]
        raise InputError(f"{where}: feature {value:g} is too large for float16; use --dtype fp32")
    return cast
