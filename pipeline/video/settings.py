"""Settings of stored frames; `params.yaml` holds them."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.base.block import Block, Fraction, Positive


class Frames(Block):
    """Settings of frame extraction."""

    fps: Annotated[float, Field(gt=0)]
    "Frames per second of the constant grid that clips are counted on."
    short_side: Positive | Literal["none"]
    "Stored frames have this short side in pixels (never upsampled); none keeps the source's size."
    allow_smaller: bool
    "Accept a short_side below the scale that training or inference asks for; clips are then upsampled."
    quality: Annotated[int, Field(ge=1, le=100)]
    "JPEG quality."
    max_bad_fraction: Fraction
    "Largest share of unreadable videos that is accepted."
