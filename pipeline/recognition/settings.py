"""Settings of the training of a recognizer: the block `recognition.train` of `params.yaml`."""

from typing import ClassVar, Literal

from pydantic import model_validator

from pipeline.training.settings import Fitting
from pipeline.video.settings import Views


class RecognizerTraining(Fitting):
    """Training of a recognizer on clips of which each has one label."""

    block: ClassVar[str] = "recognition.train"
    headline: ClassVar[str] = "top1"

    init: str
    "A safetensors file of backbone weights to start from (ImageNet's as published), or none."
    views: Views
    norm: Literal["batch", "sync", "frozen", "partial"]
    "Batch norm statistics: batch: of bn_batch clips; sync: of the global batch; frozen: the initial ones; partial: as\
 published, only those of the first layer are of bn_batch clips, and the other norms stay as they started."
    memory_format: Literal["contiguous", "channels_last"]

    @model_validator(mode="after")
    def _trains(self) -> "RecognizerTraining":
        if not self.schedule.epochs:
            raise ValueError(".schedule.epochs is 0, expected 1 or more")
        return self
