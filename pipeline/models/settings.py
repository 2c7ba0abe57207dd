"""What a detector and its heads are told: plain values, without a tensor, that `params.yaml` and sidecars hold.

A string under a field says what it means and in which unit. A message that begins with a dot names a key of its own
block.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from annotated_types import Gt

from pipeline.tables.window_span import USUAL_SPAN, Span

# Who reads values from outside (pydantic) refuses unknown keys and numbers that are none.
STRICT = {"extra": "forbid", "allow_inf_nan": False}
Positive = Annotated[int, Gt(0)]
TemporalPooling = Literal["mean", "max"]
Mask = Literal["none", "valid"]
Draw = Literal["keyframe", "roi"]
Scope = Literal["head", "all"]
Options = Mapping[str, bool | int | float | str]


@dataclass(frozen=True)
class RoiSettings:
    """How a person's feature is cut out of the feature maps, in the baseline and so in its bank."""

    __pydantic_config__: ClassVar = STRICT

    output_size: Positive = 8
    "Cells per side."
    temporal: TemporalPooling = "mean"
    "How the frames of each pathway's map are pooled before RoIAlign."
    context: Literal["none", "global"] = "none"
    "global: the clip's whole map, pooled to output_size, beside each box's; channels double (MMAction2 `with_global`)."
    aligned: bool = True
    "RoIAlign's shift by half a cell; PySlowFast's models from Caffe2 are without."


@dataclass(frozen=True)
class Labels:
    """How many actions a person has at a time.

    Raises:
        ValueError: a background column of several sigmoids, which would change nothing.
    """

    __pydantic_config__: ClassVar = STRICT

    kind: Literal["multi", "single"] = "multi"
    "multi: a sigmoid per class; single: a softmax over all columns."
    background: bool = False
    "single: column 0 is of no action; it takes part in the softmax, as upstream on AVA."
    several: Literal["error", "soft"] = "error"
    "single: a person with several actions is an error, or a soft label of equal parts."

    def __post_init__(self) -> None:
        if self.background and self.kind == "multi":
            raise ValueError(".background is a column of the softmax, and .kind is multi")

    @property
    def decode(self) -> Literal["all", "argmax"]:
        """What validation counts as a box's detections: every action, or its one."""
        return "argmax" if self.kind == "single" else "all"


def columns(classes: int, labels: Labels) -> int:
    """Columns of the logits of a head that scores `classes` actions."""
    return classes + labels.background


@dataclass(frozen=True, kw_only=True)
class WindowSettings:
    """The stretch of the bank around a keyframe."""

    __pydantic_config__: ClassVar = STRICT

    seconds: Positive
    "Length, the keyframe's own second included."
    per_second: Positive
    "Slots per second (K); more persons are sampled in training and taken by score in evaluation."
    mask: Mask
    "none: empty slots are zeros that take part, as published; valid: they are ignored."
    score: float
    "Rows below this score are not read; at least bank.box_threshold."
    span: Span = USUAL_SPAN
    "centred: from timestamp - seconds // 2 on; past: ends with the keyframe's second; future: begins with it."
    exclude_keyframe: bool = False
    "The slots of the keyframe's own second are left empty."
    draw: Draw = "keyframe"
    "Sampling in training: once for all persons of a keyframe, or anew for each person, as upstream."


@dataclass(frozen=True, kw_only=True)
class BaselineHead:
    """The head that a baseline is trained with.

    Raises:
        ValueError: the name is no plain word.
    """

    __pydantic_config__: ClassVar = STRICT

    name: str
    "linear or acrn."
    mlp: bool = False
    "A hidden layer before the classifier."
    options: Options = field(default_factory=dict)
    "Further arguments of the head's function."

    def __post_init__(self) -> None:
        _check_name(self.name)


@dataclass(frozen=True, kw_only=True)
class LongTermHead:
    """What scores a person beside, or instead of, the baseline's head; its function is in pipeline/models/heads.

    Raises:
        ValueError: the name is no plain word, or there is a window that is not read, or none that is.
    """

    __pydantic_config__: ClassVar = STRICT

    name: str
    "One of pipeline/models/heads/table.py, or baseline."
    reads: Literal["bank", "features"]
    "bank: windows of the bank; features: nothing but the person's own feature, so no bank is computed."
    banks: list[Literal["train", "val", "test"]] = field(default_factory=list)
    "Splits that infer_bank computes for it."
    standardise: Literal["none", "train"]
    "Zero mean and unit spread per channel, by statistics of the train split."
    window: WindowSettings | None = None
    "For a head that reads the bank."
    mlp: bool = False
    "A hidden layer before the classifier."
    options: Options = field(default_factory=dict)
    "Further arguments of the head's function."

    def __post_init__(self) -> None:
        _check_name(self.name)
        if (self.window is None) != (self.reads == "features"):
            raise ValueError(f".reads is {self.reads}, and there is {'no' if self.window is None else 'a'} .window")

    @property
    def is_baseline(self) -> bool:
        """Whether the baseline itself is evaluated and no further head is trained."""
        return self.name == "baseline"


def _check_name(name: str) -> None:
    if not re.fullmatch("[a-z0-9_]+", name):
        raise ValueError(f".name is {name!r}, expected small letters, digits and _")
