"""Settings of stored frames; `params.yaml` holds them."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.base.block import Block, Fraction, Positive


class StoredFrames(Block):
    """Settings of frame extraction that every frame store has."""

    short_side: Positive | Literal["none"]
    "Stored frames have this short side in pixels (never upsampled); none keeps the source's size."
    quality: Annotated[int, Field(ge=1, le=100)]
    "JPEG quality."
    max_bad_fraction: Fraction
    "Largest share of unreadable videos that is accepted."


class Frames(StoredFrames):
    """Settings of frame extraction for clips around a time."""

    fps: Annotated[float, Field(gt=0)]
    "Frames per second of the constant grid that clips are counted on."
    allow_smaller: bool
    "Accept a short_side below the scale that training or inference asks for; clips are then upsampled."


class ClipFrames(StoredFrames):
    """Settings of frame extraction for recognition."""

    fps: Literal["source"]
    "Every frame of the source is stored, as often as it is shown there: clips are counted in frames."


class Views(Block):
    """How training views of clips are made (docs/recognition-data.md)."""

    sampling: Literal["whole", "published"]
    "How a segment's frame is drawn: from all frames, or by upstream's rule, which never takes a film's last ones."
    scales: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)]
    "Sides of the crop, as shares of the scaled short side, longest first."
    scales_apart: Annotated[int, Field(ge=0)]
    "Width and height of the crop are at most so many places of `scales` apart; 0 keeps crops square."
    flip: Literal["mapped", "plain", "none"]
    "mapped: a mirrored view gets the label of the mirrored class; plain: it keeps its own; none: nothing is mirrored."
    flip_probability: Fraction
    "Share of views that are mirrored."
