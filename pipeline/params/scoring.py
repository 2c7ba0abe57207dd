"""Parameters of the evaluation, and what a published row reports."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.base.block import Block, Fraction, Positive


class Evaluation(Block):
    """Scoring on the val split."""

    metric: Literal["ava", "multisports"]
    "ava: mAP of keyframes; multisports: frame-mAP, and video-mAP of linked tubes."
    decode: Literal["all", "argmax"]
    "Actions of a box that become detections: all above action_threshold, or the best one, if above."
    boxes: Literal["detected", "ground_truth"]
    "Which boxes the headline mAP is of; both are in every table."
    box_threshold: float
    lower_threshold: bool
    action_threshold: float
    "Rows with a score at or below this are not written as detections."
    protocol: Literal["official", "mmaction2_1x", "mmaction2_0x", "pyslowfast"]
    iou: Fraction
    "Matching threshold of the headline mAP."
    more_ious: list[Fraction]
    "Further thresholds in the per-IoU table."
    classes: Literal["labelmap", "all"]
    "labelmap: the classes that the label map lists (AVA: 60 of 80); all: 1 to dataset.classes."
    cap: Annotated[int, Field(ge=0)]
    "Rows per keyframe that the official code keeps; 0 for no cap. Only protocol official reads it."
    compute_dtype: Literal["fp32", "tf32", "bf16"]
    max_bad_fraction: Fraction


class Reported(Block):
    """What the source of a published row says of it; nothing of it is read by a stage."""

    map: float
    "mAP in percent, as reported."
    video_map: dict[str, float] = Field(default_factory=dict)
    "By tube IoU."
    source: str
    "Where the number stands."
    config: str
    "Upstream's configuration file."
    protocol: Literal["official", "mmaction2_1x", "mmaction2_0x", "pyslowfast", "multisports"]
    "The evaluation that made the number."
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
    "The parity fixture of its arithmetic."
    note: str = ""
