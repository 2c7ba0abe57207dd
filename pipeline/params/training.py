"""Parameters of the two trainings; what they share is declared in `pipeline/training/settings.py`."""

from typing import ClassVar, Literal

from pydantic import model_validator

from pipeline.base.block import Block, Fraction
from pipeline.models.settings import BaselineHead
from pipeline.training.settings import Training


class Watching(Block):
    """What is seen of a training while it runs; no stage depends on it (docs/watching.md)."""

    log: Literal["none", "tensorboard", "mlflow"]
    "Where loss, learning rate and validation are written beside the terminal."


class Baseline(Training):
    """Training of the detector whose features fill the bank."""

    block: ClassVar[str] = "baseline"

    head: BaselineHead
    init: str
    "A safetensors file of backbone weights to start from, or none."
    full_frame_box: bool
    "Upstream's habit: a keyframe without any proposal gets one box of the whole frame."


class HeadTrain(Training):
    """Training of the head (or, in scope all, of the detector with the head)."""

    block: ClassVar[str] = "head_train"

    init: Literal["kinetics", "baseline"]
    "Scope all: start the backbone from the file of Kinetics weights, or from the trained baseline."
    feature_dropout: Fraction
    "Share of the channels dropped from persons' features and from window rows, against features learned by heart."
    kinetics: str
    "A safetensors file of backbone weights, or none."

    @model_validator(mode="after")
    def _trains(self) -> "HeadTrain":
        if not self.schedule.epochs:
            raise ValueError(".schedule.epochs is 0; only the baseline may stay at its initial weights")
        return self
