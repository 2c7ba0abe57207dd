"""Parameters of the detector and its heads that are not declared where they are used."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.base.block import Block, Positive
from pipeline.video.clip_input import ClipInput


class Backbone(Block):
    """The network that turns a clip into feature maps."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    "One of pipeline/models/build.py."
    width: Positive | None
    "Channels of the stem, with which all others scale; null takes the published 64 (tiny: 16)."
    input: ClipInput


class Scope(Block):
    """What train_head trains."""

    name: Literal["head", "all"]
    "head: the head alone on frozen features, no frame is read; all: the whole detector."
    frames: str
    weights: str
    sidecar: str
    boxes: str
    "Dependencies of train_head and evaluate; conf/none/* where the choice needs none."
