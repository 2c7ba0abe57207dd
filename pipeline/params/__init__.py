"""The typed parameters: `params.yaml`, read once at the edge of a stage and validated as a whole.

Nothing below the stages imports this module. A block that the pipeline reads is declared where it is used, and handed
on as it is; here they are put together and held against each other. A string under a field says what it means and in
which unit.
"""

import os
import reprlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError, model_validator

from pipeline.base.block import Block
from pipeline.base.errors import InputError
from pipeline.base.invalid import key_of, told_of
from pipeline.base.plain_yaml import read_yaml
from pipeline.boxes.settings import Boxes
from pipeline.evaluation.settings import EvaluationSettings
from pipeline.models.settings import Labels, LongTermHead, RoiSettings
from pipeline.params.data import Bank, Dataset
from pipeline.params.model import Backbone, Scope
from pipeline.params.scoring import Reported
from pipeline.training.settings import Augmentation, BaselineTraining, HeadTraining, Training, Watching
from pipeline.video.settings import Frames

__all__ = [
    "Augmentation",
    "Backbone",
    "Bank",
    "BaselineTraining",
    "Block",
    "Choices",
    "Dataset",
    "EvaluationSettings",
    "Frames",
    "HeadTraining",
    "Params",
    "Reported",
    "Scope",
    "Training",
    "Watching",
    "load_params",
    "parse_params",
]


# A few lines of YAML with references may stand for more than a terminal, or memory, can hold.
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 80, 80


class Choices(Block):
    """Which file of each Hydra group was chosen, so that `actionbank compose --check` can recompose."""

    dataset: str
    backbone: str
    head: str
    scope: str
    bank: str
    experiment: str | None = None
    values: list[str]
    "What `actionbank compose` was given beside groups."


class Params(Block):
    """The whole of params.yaml."""

    choices: Choices
    seed: int
    training: Watching
    inputs: dict[str, Any]
    "Paths that the groups choose from."
    sizes: dict[str, int | str]
    "Sizes that a data set gives to every head."
    dataset: Dataset
    frames: Frames
    boxes: Boxes
    backbone: Backbone
    roi: RoiSettings
    labels: Labels
    baseline: BaselineTraining
    bank: Bank
    head: LongTermHead
    scope: Scope
    head_train: HeadTraining
    evaluation: EvaluationSettings
    reported: Reported | None = None

    @model_validator(mode="after")
    def _agree(self) -> "Params":
        self._frames_large_enough()
        self._clips_within_gap()
        for name, training in (("baseline", self.baseline), ("head_train", self.head_train)):
            _clips_fit(f"{name}.augmentation", training.augmentation, bn_batch=training.bn_batch)
        self._thresholds_reached()
        if self.scope.name == "head" and self.bank.name == "external" and self.head.is_baseline:
            raise ValueError(
                "head=baseline scores frames, of which scope=head has none on a bank made elsewhere; "
                "scope=all takes them"
            )
        if self.head.window is not None and self.head.window.score < self.bank.box_threshold:
            raise ValueError(
                f"head.window.score {self.head.window.score} is below bank.box_threshold {self.bank.box_threshold}"
            )
        return self

    def _thresholds_reached(self) -> None:
        """No threshold of boxes asks for boxes that are not stored where it reads them."""
        for key, threshold in box_thresholds(self):
            floors = {"boxes.min_score": self.boxes.min_score}
            if self.scope.name == "head" and key.split(".")[0] not in ("baseline", "bank"):  # it reads the bank's rows
                floors["bank.box_threshold"] = self.bank.box_threshold
            for floor, stored in floors.items():
                if threshold < stored:
                    raise ValueError(f"{key} {threshold} is below {floor} {stored}")

    def _clips_within_gap(self) -> None:
        shown, gap = self.backbone.input, self.dataset.split_gap_seconds
        seconds = shown.frames * shown.interval / self.frames.fps
        if self.dataset.split_by == "time" and gap < seconds:
            raise ValueError(
                f"dataset.split_gap_seconds {gap:g} is less than a clip lasts, {seconds:.3g} s "
                f"({shown.frames}x{shown.interval} frames at {self.frames.fps:g} a second): clips of train and val "
                "would share frames"
            )

    def _frames_large_enough(self) -> None:
        stored = self.frames.short_side
        asked = {"backbone.input.short_side": self.backbone.input.short_side}
        for name, training in (("baseline", self.baseline), ("head_train", self.head_train)):
            asked[f"{name}.augmentation.short_side"] = max(training.augmentation.short_side)
        if stored == "none" or self.frames.allow_smaller:
            return
        for key, pixels in asked.items():
            if stored < pixels:
                raise ValueError(
                    f"frames.short_side {stored} is below {key} {pixels}: clips would be upsampled; "
                    "store larger frames or set frames.allow_smaller"
                )


def box_thresholds(block: Any, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Key and value of every `box_threshold` of a block (a model or a dataclass) and of the blocks in it."""
    for name in names_of(type(block)):
        value = getattr(block, name)
        if name == "box_threshold":
            yield prefix + name, value
        else:
            yield from box_thresholds(value, f"{prefix}{name}.")


def names_of(kind: type) -> list[str]:
    """The fields of a block; none of any other type."""
    if issubclass(kind, Block):
        return list(kind.model_fields)
    return [each.name for each in fields(kind)] if is_dataclass(kind) else []


def _clips_fit(key: str, changes: Augmentation, *, bn_batch: int) -> None:
    least, most = changes.short_side
    if least > most:
        raise ValueError(f"{key}.short_side is [{least}, {most}], expected the smallest first")
    if changes.crop == "none" and least < most and bn_batch > 1:
        raise ValueError(
            f"{key}.short_side is [{least}, {most}] and {key}.crop is none: clips of one batch would differ in size; "
            f"set {key}.crop to at most {least}"
        )
    if changes.crop != "none" and changes.crop > least:
        raise ValueError(f"{key}.crop {changes.crop} is above the smallest {key}.short_side {least}")


def parse_params(values: Any, where: str) -> Params:
    """Validate a whole parameter tree.

    Raises:
        InputError: one line with every bad key, what was found and what was expected.
    """
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        lines = []
        for each in error.errors():
            told = each["type"] in ("missing", "value_error")
            found = "" if told else f" (found {_SHORT.repr(each['input'])})"
            lines.append(f"{told_of(each, key_of(each) or 'parameters')}{found}")
        raise InputError(f"{where}: " + "; ".join(lines)) from None


def load_params(path: Path | None = None) -> Params:
    """Read and validate `params.yaml` of the current folder (or `path`).

    Raises:
        InputError: the file is absent, not YAML, or a key is missing, unknown or out of range.
    """
    path = path or Path(os.environ.get("ACTIONBANK_PARAMS", "params.yaml"))
    return parse_params(read_yaml(path), str(path))
