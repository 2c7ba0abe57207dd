"""The clip that a backbone gets as input; `params.yaml` and sidecars hold these settings."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from annotated_types import Gt

from pipeline.base.omitted_fields import LEFT_OUT
from pipeline.video.size import Shape


@dataclass(frozen=True, kw_only=True)
class ClipInput:
    """A clip TxS around a keyframe, and how its pixels are scaled."""

    __pydantic_config__: ClassVar = {"extra": "forbid", "allow_inf_nan": False}

    frames: Annotated[int, Gt(0)]
    "T of a clip TxS."
    interval: Annotated[int, Gt(0)]
    "S of a clip TxS, in grid frames."
    short_side: Annotated[int, Gt(0)]
    "Inference scales the short side to this many pixels."
    long_side: Annotated[int, Gt(0)] | None = None
    "Largest long side in pixels, in training too; a longer frame gets a smaller short side. null: no limit."
    shape: Shape = field(default="film", metadata=LEFT_OUT)
    "film: sides in the film's proportion; square: the whole frame is stretched to a square, as some networks need it."
    offset_frames: int = 0
    "Grid frames by which a clip is shifted; 1 reproduces MMAction2's clips of AVA, which are one frame late."
    mean: tuple[float, float, float]
    "RGB mean, of values 0 to 255."
    std: tuple[float, float, float]
    "RGB standard deviation, of values 0 to 255."
