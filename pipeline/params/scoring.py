"""What the source of a published row reports."""

from typing import Literal

from pydantic import Field

from pipeline.base.block import Block, Positive


class Reported(Block):
    """What the source of a published row reports about it; no stage reads this block."""

    map: float
    "mAP in percent, as reported."
    paper_map: float | None = None
    "mAP of the paper, where the source's is another."
    reevaluated_map: float | None = None
    "mAP of the same weights, where the source evaluated them again."
    video_map: dict[str, float] = Field(default_factory=dict)
    "Video mAP by tube IoU."
    source: str
    "Where the number is published."
    config: str
    "Upstream's configuration file."
    protocol: Literal["official", "mmaction2_1x", "mmaction2_0x", "pyslowfast", "multisports"]
    "The evaluation that gave the number."
    gpus: Positive
    clips_per_gpu: Positive
    resolution: str
    memory_mb: Positive | None = None
    "Per GPU."
    trained_on: str
    evaluated_on: str
    initial_weights: str
    "Upstream's file, to be converted to the path in baseline.init (docs/checkpoints.md)."
    fixture: str | None = None
    "The parity fixture of this row's arithmetic."
    note: str = ""
