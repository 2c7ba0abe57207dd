"""Where person boxes come from; `params.yaml` holds it."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.base.block import Block, Fraction


class Boxes(Block):
    """Where person boxes come from, and their import."""

    detector: Literal["none", "motion", "fasterrcnn"]
    "What detect_boxes runs; none reads dataset.proposals."
    weights: str
    "fasterrcnn: .pth or .safetensors of its weights; conf/none/weights takes those that torchvision downloads."
    source: str
    "Folder that import_boxes reads, by the detector."
    detect: list[Literal["motion", "fasterrcnn"]]
    "[detector], or [] where there is none."
    tracks: Literal["none", "iou"]
    "iou: ids over time, by how much the boxes of neighbouring seconds overlap."
    person_class: Annotated[int, Field(ge=0)]
    "Text files of YOLO: the class that is a person."
    min_score: float
    "Boxes below this floor are dropped; each consumer applies its own threshold above it."
    max_bad_fraction: Fraction
    "Largest share of bad rows that is let pass."
