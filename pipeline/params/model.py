"""Parameters of the detector and its heads, as far as they are not declared in the package that uses them."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.base.block import Block, Positive
from pipeline.video.clip_input import ClipInput


class Backbone(Block):
    """The network that turns a clip into feature maps."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    "A name of the table in pipeline/models/build.py, or transformers (docs/frozen-features.md)."
    width: Positive | None
    "Channels of the stem, or of a transformer's tokens; all other widths scale with it. null: as published."
    folder: str | None = None
    "Of transformers, which needs it: a Hugging Face folder with config.json and model.safetensors."
    input: ClipInput


class Scope(Block):
    """What train_head trains: the head alone or the whole detector."""

    name: Literal["head", "all"]
    "head: only the head, on frozen features, without frames; all: the whole detector."
    frames: str
    weights: str
    sidecar: str
    boxes: str
    network: str
    network_sidecar: str
    "The last six: dependencies of train_head and evaluate; conf/none/* for one that the choice does not need."
