"""Specs: typed descriptions from which the network of a checkpoint is built, with its inputs and outputs."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Gt

from pipeline.base.omitted_fields import LEFT_OUT
from pipeline.models.recognition_settings import RecognitionHead
from pipeline.models.settings import BaselineHead, Labels, LongTermHead, RoiSettings, Scope, columns
from pipeline.video.clip_input import ClipInput
from pipeline.video.view_input import ViewInput

# For sidecars that are older than the choice of labels.
SEVERAL = Labels()


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """The spec of a backbone alone, whose weights a training starts from."""

    backbone: str | None = None
    "A key of `BACKBONES`."
    width: int | None = None
    "See `build_backbone`."

    @property
    def kind(self) -> Literal["backbone"]:
        """The kind that the sidecar records."""
        return "backbone"


@dataclass(frozen=True, kw_only=True)
class FrozenSpec:
    """A frozen network that was made elsewhere, as the checkpoints name it that were trained on its features."""

    model_type: str
    "As its config.json calls it."
    folder: str
    "Name of the folder that it was imported from."
    sha256: str
    "Of the folder's model.safetensors."
    config: str
    "Digest of what its config.json says of the arithmetic."
    library: str
    "What computes it, with its version."
    channels: int
    "Of its map."


@dataclass(frozen=True, kw_only=True)
class DetectorSpec:
    """The spec of a detector whose head reads no bank: a baseline."""

    backbone: str
    width: int | None
    frozen: FrozenSpec | None = field(default=None, metadata=LEFT_OUT)
    "Of backbone transformers: the network, whose weights lie beside this checkpoint's."
    input: ClipInput
    roi: RoiSettings
    head: BaselineHead
    labels: Labels = SEVERAL
    columns: int
    "Columns of the logits."
    classes: int
    dropout: float

    @property
    def clip(self) -> ClipInput:
        """The clip that the detector gets as input."""
        return self.input

    @property
    def kind(self) -> Literal["detector"]:
        """The kind that the sidecar records."""
        return "detector"


@dataclass(frozen=True, kw_only=True)
class HeadSpec:
    """The spec of a long-term head on stored features (scope head), or of a detector with one (scope all).

    Raises:
        ValueError: the scope is all, and the spec lacks what builds the detector.
    """

    scope: Scope
    head: LongTermHead
    backbone: str | None
    "The backbone that makes the features, None if unknown; in scope all the detector's own."
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
    "CPU threads for scoring."

    def __post_init__(self) -> None:
        if self.scope == "all" and None in (self.backbone, self.input, self.roi):
            raise ValueError(".scope is all, and .backbone, .input or .roi is null")

    @property
    def clip(self) -> ClipInput:
        """The clip that the detector of scope all gets as input."""
        assert self.input is not None
        return self.input

    @property
    def kind(self) -> Literal["head", "detector"]:
        """The kind that the sidecar records."""
        return "head" if self.scope == "head" else "detector"


@dataclass(frozen=True, kw_only=True)
class RecognizerSpec:
    """The spec of a recognizer, which scores a clip as a whole by some of its frames."""

    backbone: str
    "A key of `RECOGNIZER_BACKBONES`."
    width: int | None
    "See `build_recognizer_backbone`."
    input: ViewInput
    head: RecognitionHead
    segments: Annotated[int, Gt(0)]
    "Parts of a clip, of each of which the recognizer sees one frame."
    classes: Annotated[int, Gt(0)]
    "Columns of the logits; exactly one class is true of a clip."

    @property
    def kind(self) -> Literal["recognizer"]:
        """The kind that the sidecar records."""
        return "recognizer"


@dataclass(frozen=True, kw_only=True)
class FeatureSource:
    """What makes the features that a head works on; None for what is unknown."""

    backbone: str | None
    width: int | None
    input: ClipInput | None
    roi: RoiSettings | None
    channels: int
    "Channels of a person's feature."
    sha256: str | None
    "sha256 of the weights."


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
    """Make the spec of a head to be trained on the features of `source`, and on a bank of the same features."""
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
