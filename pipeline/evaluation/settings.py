"""Settings of the evaluation; `params.yaml` holds them."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.base.block import Block, Fraction
from pipeline.tables.select_boxes import BoxRule

ViewsOf = Literal["efficient", "accurate"]
"The centre crop of one sampling; three crops of two samplings."


class EvaluationSettings(Block):
    """How detections are scored."""

    metric: Literal["ava", "multisports"]
    "ava: mAP at keyframes; multisports: frame-mAP, and video-mAP of linked tubes."
    decode: Literal["all", "argmax"]
    "Which actions of a box become detections: all above action_threshold, or the best one if it is above."
    boxes: Literal["detected", "ground_truth"]
    "The boxes whose mAP is the headline; every table has both kinds."
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

    @property
    def rule(self) -> BoxRule:
        """Return the rule for which detected boxes are scored."""
        return BoxRule(self.box_threshold, self.lower_threshold)


class RecognitionEvaluation(Block):
    """How the clips of a data set for recognition are scored."""

    split: Literal["val", "test"]
    "The split that is scored; test only if it has labels."
    views: Annotated[list[ViewsOf], Field(min_length=1)]
    "efficient: the centre crop of one sampling; accurate: three crops of two samplings. The last one is the headline."
    rule: Literal["ours", "published"]
    "Ties, and the classes of the mean over classes (pipeline/evaluation/top_k.py)."
    compute_dtype: Literal["fp32", "tf32", "bf16"]
