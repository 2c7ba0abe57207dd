"""The parameters `boxes`: where person boxes come from."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.base.block import Block, Fraction


class Boxes(Block):
    """The parameters `boxes`: where person boxes come from, and how they are imported."""

    detector: Literal["none", "motion", "fasterrcnn"]
    "The detector that detect_boxes runs; none reads the files of dataset.proposals."
    weights: str
    "fasterrcnn: .pth or .safetensors of its weights; conf/none/weights takes those that torchvision downloads."
    source: str
    "The folder that import_boxes reads; it follows from the detector."
    detect: list[Literal["motion", "fasterrcnn"]]
    "[detector], or [] if the detector is none."
    tracks: Literal["none", "iou"]
    "iou: give boxes track ids, by the overlap of boxes in neighbouring seconds."
    person_class: Annotated[int, Field(ge=0)]
    "The class id of person in YOLO's text files."
    min_score: float
    "Boxes below this floor are dropped; each consumer applies its own threshold above it."
    max_bad_fraction: Fraction
    "Largest accepted share of bad rows."
