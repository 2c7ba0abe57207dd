"""Parameters of the detector and its heads."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.base.block import Block, Positive


class ClipInput(Block):
    """What a backbone sees."""

    frames: Positive
    "T of a clip TxS."
    interval: Positive
    "S of a clip TxS, in grid frames."
    short_side: Positive
    "Inference scales the short side to this many pixels."
    offset_frames: int
    "Grid frames that a clip is moved by; 1 reproduces MMAction2's clips of AVA, which are one frame late."
    mean: tuple[float, float, float]
    "RGB mean, of values 0 to 255."
    std: tuple[float, float, float]
    "RGB standard deviation, of values 0 to 255."


class Backbone(Block):
    """The network that turns a clip into feature maps."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    "One of pipeline/models/build.py."
    width: Positive | None
    "Channels of the stem, with which all others scale; null takes the published 64 (tiny: 16)."
    input: ClipInput


class Roi(Block):
    """How a person's feature is cut out of the feature maps, in the baseline and so in its bank."""

    output_size: Positive
    "Cells per side."
    temporal: Literal["mean", "max"]
    "How the frames of a feature map are pooled before RoIAlign."
    context: Literal["none", "global"]
    "global: the pooled map of the whole frame beside each person's; doubles the channels."
    aligned: bool
    "RoIAlign's shift by half a cell; the Caffe2 models of PySlowFast are without."


class Labels(Block):
    """How many actions a person has at a time."""

    kind: Literal["multi", "single"]
    "multi: a sigmoid per class; single: a softmax over all."
    background: bool
    "single: a column that no action has takes part in the softmax, as upstream on AVA."
    several: Literal["error", "soft"]
    "single: a person with several actions is an error, or a soft label of equal parts."

    @model_validator(mode="after")
    def _column(self) -> "Labels":
        if self.background and self.kind == "multi":
            raise ValueError(".background is a column of the softmax, and .kind is multi")
        return self


class BaselineHead(Block):
    """The head that the baseline is trained with."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    "linear or acrn."
    mlp: bool
    "A hidden layer before the classifier."
    options: dict[str, bool | int | float | str]
    "Further arguments of the head's function."


class Window(Block):
    """The stretch of the bank around a keyframe."""

    seconds: Positive
    "Length, the keyframe's own second included."
    per_second: Positive
    "Slots per second (K); more persons are sampled in training and taken by score in evaluation."
    mask: Literal["none", "valid"]
    "none: empty slots are zeros that take part, as published; valid: they are ignored."
    score: float
    "Rows below this score are not read; at least bank.box_threshold."
    span: Literal["past", "centred", "future"] = "centred"
    "centred: from timestamp - seconds // 2 on; past: ends with the keyframe's second; future: begins with it."
    exclude_keyframe: bool = False
    "The slots of the keyframe's own second are left empty."
    draw: Literal["keyframe", "roi"] = "keyframe"
    "Sampling in training: once for all persons of a keyframe, or anew for each person, as upstream."


class Head(Block):
    """What scores a person; its function is in pipeline/models/heads."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    reads: Literal["bank", "features"]
    "bank: windows of the bank; features: nothing but the person's own feature, so no bank is computed."
    banks: list[Literal["train", "val", "test"]]
    "Splits that infer_bank computes for it."
    standardise: Literal["none", "train"]
    "Zero mean and unit spread per channel, by statistics of the train split."
    window: Window | None = None
    "For a head that reads the bank."
    mlp: bool = False
    "A hidden layer before the classifier."
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)
    "Further arguments of the head's function."

    @property
    def is_baseline(self) -> bool:
        """Whether the baseline itself is evaluated and no further head is trained."""
        return self.name == "baseline"

    @model_validator(mode="after")
    def _has_window(self) -> "Head":
        if (self.window is None) != (self.reads == "features"):
            raise ValueError(f".reads is {self.reads}, and there is {'no' if self.window is None else 'a'} .window")
        return self


class Scope(Block):
    """What train_head trains."""

    name: Literal["head", "all"]
    "head: the head alone on frozen features, no frame is read; all: the whole detector."
    frames: str
    weights: str
    sidecar: str
    boxes: str
    "Dependencies of train_head and evaluate; conf/none/* where the choice needs none."
