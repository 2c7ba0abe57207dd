"""What builds the network of a checkpoint, and what goes into it and comes out of it."""

from dataclasses import dataclass
from typing import Literal

from pipeline.models.settings import BaselineHead, Labels, LongTermHead, RoiSettings, Scope, columns
from pipeline.video.clip_input import ClipInput

# Of sidecars that were written before there was a choice.
SEVERAL = Labels()


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """Of a backbone alone, to start from."""

    backbone: str | None = None
    "A key of `BACKBONES`."
    width: int | None = None
    "See `build_backbone`."

    @property
    def kind(self) -> Literal["backbone"]:
        """As a sidecar says it."""
        return "backbone"


@dataclass(frozen=True, kw_only=True)
class DetectorSpec:
    """Of a detector whose head reads no bank: a baseline."""

    backbone: str
    width: int | None
    input: ClipInput
    roi: RoiSettings
    head: BaselineHead
    labels: Labels = SEVERAL
    columns: int
    "Of the logits."
    classes: int
    dropout: float

    @property
    def kind(self) -> Literal["detector"]:
        """As a sidecar says it."""
        return "detector"


@dataclass(frozen=True, kw_only=True)
class HeadSpec:
    """Of a long-term head on stored features (scope head), or of a detector with one (scope all).

    Raises:
        ValueError: of a detector it is not known what builds it.
    """

    scope: Scope
    head: LongTermHead
    backbone: str | None
    "What makes the features, as far as it is known; scope all: of the detector itself."
    width: int | None
    input: ClipInput | None
    roi: RoiSettings | None
    labels: Labels = SEVERAL
    columns: int
    classes: int
    roi_channels: int
    "Channels of a person's feature."
    bank_channels: int
    "Channels of a bank row; 0 where no bank is read."
    dropout: float
    feature_dropout: float
    threads: int
    "CPU threads that it is scored with."

    def __post_init__(self) -> None:
        if self.scope == "all" and None in (self.backbone, self.input, self.roi):
            raise ValueError(".scope is all, and .backbone, .input or .roi is null")

    @property
    def clip(self) -> ClipInput:
        """What the detector of scope all sees."""
        assert self.input is not None
        return self.input

    @property
    def kind(self) -> Literal["head", "detector"]:
        """As a sidecar says it."""
        return "head" if self.scope == "head" else "detector"


@dataclass(frozen=True, kw_only=True)
class FeatureSource:
    """What makes the features that a head works on; None for what is not known."""

    backbone: str | None
    width: int | None
    input: ClipInput | None
    roi: RoiSettings | None
    channels: int
    "Of a person's feature."
    sha256: str | None
    "Of the weights."


def head_spec(
    head: LongTermHead,
    source: FeatureSource,
    *,
    scope: Scope,
    labels: Labels,
    classes: int,
    dropout: float,
    feature_dropout: float,
    threads: int,
) -> HeadSpec:
    """The spec of a head that is to be trained on the features of `source`, and on a bank of the same."""
    return HeadSpec(
        scope=scope,
        head=head,
        backbone=source.backbone,
        width=source.width,
        input=source.input,
        roi=source.roi,
        labels=labels,
        columns=columns(classes, labels),
        classes=classes,
        roi_channels=source.channels,
        bank_channels=source.channels if head.window else 0,
        dropout=dropout,
        feature_dropout=feature_dropout,
        threads=threads,
    )
