"""Settings of a detector and its heads: plain values, without tensors, as `params.yaml` and sidecars hold them.

A string under a field gives its meaning and unit. A message that begins with a dot names a key of its own block.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt

from pipeline.base.omitted_fields import LEFT_OUT
from pipeline.tables.window_span import USUAL_SPAN, Span

# Pydantic, which reads values from outside, then refuses unknown keys and numbers that are not finite.
STRICT = {"extra": "forbid", "allow_inf_nan": False}
Positive = Annotated[int, Gt(0)]
Share = Annotated[float, Ge(0)]
TemporalPooling = Literal["mean", "max"]
CellPooling = Literal["max", "mean", "attentive"]
Mask = Literal["none", "valid"]
Draw = Literal["keyframe", "roi"]
Scope = Literal["head", "all"]
HeadMemory = Literal["bank", "asynchronous"]
Options = Mapping[str, bool | int | float | str]


@dataclass(frozen=True)
class RoiSettings:
    """How a person's feature is cut out of the feature maps, in the baseline and therefore in its bank."""

    __pydantic_config__: ClassVar = STRICT

    output_size: Positive = 8
    "Cells per side of a box's map."
    temporal: TemporalPooling = "mean"
    "How the frames of each pathway's map are pooled before RoIAlign."
    context: Literal["none", "global"] = "none"
    "global: append the clip's map, pooled to output_size, to each box; twice the channels (MMAction2 `with_global`)."
    aligned: bool = True
    "RoIAlign's shift by half a cell; PySlowFast's models from Caffe2 and AlphAction's do not have it."
    extend_x: Share = 0.0
    "In evaluation a person's box grows by this share of its width, half on each side (AlphAction: 0.1)."
    extend_y: Share = 0.0
    "The same for its height (AlphAction: 0.05)."
    scale: Literal["stride", "map"] = field(default="stride", metadata=LEFT_OUT)
    """What a pixel is on the map: 1 / stride of a cell; or, as in ACAR-Net, the map's cells over the clip's pixels.
    They differ where the stride does not divide a side."""
    pool: CellPooling = field(default="max", metadata=LEFT_OUT)
    """How the cells of a person become one vector. max, as published; mean; attentive: a query, learned with the
    baseline and kept in its checkpoint, attends to the cells."""


@dataclass(frozen=True, kw_only=True)
class LabelGroup:
    """Classes with consecutive ids that are scored together.

    Raises:
        ValueError: `loss` is binary, and `kind` sigmoid.
    """

    __pydantic_config__: ClassVar = STRICT

    classes: Positive | str
    "How many, in order of id; or a group of the label map, which then says how many."
    kind: Literal["softmax", "sigmoid"]
    "softmax: one of them; sigmoid: any number of them."
    weight: Annotated[float, Gt(0)] = 1.0
    "Factor of this group's loss."
    loss: Literal["cross_entropy", "binary"] = field(default="cross_entropy", metadata=LEFT_OUT)
    """Of a softmax. binary: the mean of the binary cross-entropies of its probabilities, as ACAR-Net; labels count as
    they are, be it none or several."""

    def __post_init__(self) -> None:
        if self.loss == "binary" and self.kind == "sigmoid":
            raise ValueError(".loss binary is of a softmax, and .kind is sigmoid, whose loss is binary anyway")


@dataclass(frozen=True)
class Labels:
    """How many actions a person can have at a time.

    Raises:
        ValueError: a background column without a softmax over all columns, or `groups` does not fit `kind`, or has
            numbers beside names.
    """

    __pydantic_config__: ClassVar = STRICT

    kind: Literal["multi", "single", "grouped"] = "multi"
    "multi: a sigmoid per class; single: a softmax over all columns; grouped: as each of groups says."
    background: bool = False
    "single: column 0 stands for no action; it takes part in the softmax, as upstream on AVA."
    several: Literal["error", "soft", "first"] = "error"
    "Of a softmax: a person with several actions is an error, a soft label of equal parts, or has the lowest id alone."
    unlabelled: Literal["ignore", "first"] = "ignore"
    "Of a group's softmax: a person without an action of it is left out, or trained as its first, as in AlphAction."
    groups: tuple[LabelGroup, ...] = ()
    "grouped: the groups, in order of id, which have all classes between them."

    def __post_init__(self) -> None:
        if self.background and self.kind != "single":
            raise ValueError(f".background is a column of the softmax, and .kind is {self.kind}")
        if bool(self.groups) != (self.kind == "grouped"):
            raise ValueError(f".kind is {self.kind}, and .groups has {len(self.groups)} groups")
        if len({type(each.classes) for each in self.groups}) > 1:
            raise ValueError(".groups has numbers of classes and names of groups, expected one or the other")

    @property
    def decode(self) -> Literal["all", "argmax"]:
        """Which detections validation takes from a box: one for every action, or only the best one."""
        return "argmax" if self.kind == "single" else "all"

    @property
    def sizes(self) -> list[int]:
        """The number of classes of each group; empty if the groups are named, and not counted yet (`count_groups`)."""
        return [each.classes for each in self.groups if isinstance(each.classes, int)]

    @property
    def softmax_ids(self) -> list[tuple[int, int]]:
        """The first and last id of each softmax group, whose classes are counted."""
        ends = list(accumulate(self.sizes))
        spans = zip(self.groups, self.sizes, ends, strict=True)
        return [(end - size + 1, end) for group, size, end in spans if group.kind == "softmax"]

    @property
    def names(self) -> list[str]:
        """The name of each group in the label map; empty if their classes are counted."""
        return [each.classes for each in self.groups if isinstance(each.classes, str)]


def columns(classes: int, labels: Labels) -> int:
    """Count the columns of the logits of a head that scores `classes` actions."""
    return classes + labels.background


@dataclass(frozen=True, kw_only=True)
class WindowSettings:
    """The window: the seconds of the bank around a keyframe."""

    __pydantic_config__: ClassVar = STRICT

    seconds: Positive
    "Length in seconds, including the keyframe's own second."
    per_second: Positive
    "Slots per second (K); if there are more persons, training samples K, evaluation takes the K best by score."
    mask: Mask
    "none: empty slots are zeros that take part, as published; valid: empty slots are ignored."
    score: float
    "Rows below this score are not read; at least bank.box_threshold."
    span: Span = USUAL_SPAN
    "centred: from timestamp - seconds // 2 on; past: ends with the keyframe's second; future: begins with it."
    exclude_keyframe: bool = False
    "Leave the slots of the keyframe's own second empty."
    draw: Draw = "keyframe"
    "Sampling in training: keyframe: once for all persons of a keyframe; roi: anew for each person, as upstream."


@dataclass(frozen=True, kw_only=True)
class ObjectSettings:
    """The objects of a keyframe that a head reads."""

    __pydantic_config__: ClassVar = STRICT

    per_keyframe: Positive
    "Places for objects; of more, the best by score are taken."
    score: float
    "Objects below this score are not read."


@dataclass(frozen=True, kw_only=True)
class BaselineHead:
    """The head that a baseline is trained with.

    Raises:
        ValueError: the name is not one word of small letters, digits and underscores.
    """

    __pydantic_config__: ClassVar = STRICT

    name: str
    "linear, two_layer, acrn or acar."
    mlp: bool = False
    "A hidden layer before the classifier."
    options: Options = field(default_factory=dict)
    "Further arguments of the head's function."

    def __post_init__(self) -> None:
        _check_name(self.name)


@dataclass(frozen=True, kw_only=True)
class LongTermHead:
    """The head that scores persons; its function is in pipeline/models/heads. Name `baseline`: the baseline's own head.

    Raises:
        ValueError: the name is not one word of small letters, digits and underscores, or `reads` and `window`, or
            `memory` and another field, disagree.
    """

    __pydantic_config__: ClassVar = STRICT

    name: str
    "One of pipeline/models/heads/table.py, or baseline."
    reads: Literal["bank", "features"]
    "bank: reads windows of the bank; features: reads only the person's own feature, so no bank is computed."
    banks: list[Literal["train", "val", "test"]] = field(default_factory=list)
    "Splits whose banks infer_bank computes for this head."
    standardise: Literal["none", "train"]
    "train: shift and scale each channel to zero mean and unit deviation, by statistics of the train split."
    window: WindowSettings | None = None
    "Only for a head that reads the bank."
    memory: HeadMemory = "bank"
    """What fills the windows. bank: the bank of the baseline; asynchronous, in scope all: in training what the detector
    has computed lately (docs/memory.md), in testing its own bank, which infer_memory makes."""
    objects: ObjectSettings | None = None
    "Only for a head that reads objects."
    mlp: bool = False
    "A hidden layer before the classifier."
    options: Options = field(default_factory=dict)
    "Further arguments of the head's function."

    def __post_init__(self) -> None:
        _check_name(self.name)
        if (self.window is None) != (self.reads == "features"):
            raise ValueError(f".reads is {self.reads}, and there is {'no' if self.window is None else 'a'} .window")
        if self.is_asynchronous and self.window is None:
            raise ValueError(
                f".memory is asynchronous, and there is no .window that reads it: head {self.name} sees the person "
                "alone; one of lfb or aia has a window"
            )
        if self.is_asynchronous and self.standardise == "train":
            raise ValueError(
                ".standardise is train, and the rows of .memory asynchronous change in training; expected none"
            )

    @property
    def is_asynchronous(self) -> bool:
        """Whether windows read the detector's own memory, and no bank of another model."""
        return self.memory == "asynchronous"

    @property
    def is_baseline(self) -> bool:
        """Whether the baseline itself is evaluated, and no other head is trained."""
        return self.name == "baseline"


def _check_name(name: str) -> None:
    if not re.fullmatch("[a-z0-9_]+", name):
        raise ValueError(f".name is {name!r}, expected small letters, digits and _")
