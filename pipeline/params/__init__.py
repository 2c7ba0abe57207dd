"""The typed parameters: `params.yaml`, read once at the start of a stage and validated as a whole.

Nothing below the stages imports this module. Each block is declared in the package that uses it, which gets the block
unchanged. This package puts the blocks together and checks that they agree. A string under a field gives its meaning
and unit.
"""

import os
import reprlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, overload

from pydantic import ValidationError, model_validator

from pipeline.base.block import Block
from pipeline.base.errors import InputError
from pipeline.base.invalid import key_of, told_of
from pipeline.base.plain_yaml import read_yaml
from pipeline.boxes.settings import Boxes
from pipeline.evaluation.settings import EvaluationSettings
from pipeline.models.label_groups import wrong_sum
from pipeline.models.settings import Labels, LongTermHead, RoiSettings
from pipeline.params.choices import Choices, compose_words
from pipeline.params.data import BankParams, Dataset
from pipeline.params.model import Backbone, Scope
from pipeline.params.recognition import RecognitionParams
from pipeline.params.scoring import Reported
from pipeline.training.settings import Augmentation, BaselineTraining, HeadTraining, Training, Watching
from pipeline.video.settings import Frames

__all__ = [
    "Augmentation",
    "Backbone",
    "BankParams",
    "BaselineTraining",
    "Block",
    "Choices",
    "Dataset",
    "EvaluationSettings",
    "Frames",
    "HeadTraining",
    "Params",
    "RecognitionParams",
    "Reported",
    "Scope",
    "Training",
    "Watching",
    "load_params",
    "load_track",
    "parse_params",
]


# A key too few or too many, in pydantic's words for models and for dataclasses.
FORM = {
    "missing": "is missing",
    "missing_argument": "is missing",
    "extra_forbidden": "is no parameter",
    "unexpected_keyword_argument": "is no parameter",
}
# A few lines of YAML with references may expand to more than a terminal, or memory, can hold.
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 80, 80


class Params(Block):
    """The whole of params.yaml."""

    choices: Choices
    seed: int
    training: Watching
    inputs: dict[str, Any]
    "Paths that the groups select from."
    sizes: dict[str, int | str]
    "Sizes that a data set sets for every head."
    dataset: Dataset
    frames: Frames
    boxes: Boxes
    backbone: Backbone
    roi: RoiSettings
    labels: Labels
    baseline: BaselineTraining
    bank: BankParams
    head: LongTermHead
    scope: Scope
    head_train: HeadTraining
    evaluation: EvaluationSettings
    reported: Reported | None = None
    recognition: RecognitionParams
    "The second track (docs/recognition.md), which shares nothing but the choice of the experiment."

    @model_validator(mode="after")
    def _agree(self) -> "Params":
        if self.recognition.dataset.name == self.dataset.name:
            raise ValueError(
                f"recognition.dataset.name is {self.dataset.name}, as dataset.name: both pipelines would write its "
                "outs; expected another name"
            )
        self._frames_large_enough()
        self._clips_within_gap()
        for name, training in (("baseline", self.baseline), ("head_train", self.head_train)):
            _clips_fit(f"{name}.augmentation", training.augmentation, bn_batch=training.bn_batch)
        self._thresholds_reached()
        if wrong := wrong_sum(self.labels, classes=self.dataset.classes):
            raise ValueError(wrong)
        if self.scope.name == "head" and self.bank.name == "external" and self.head.is_baseline:
            raise ValueError(
                "head=baseline scores frames, of which scope=head has none on a bank made elsewhere; "
                "scope=all takes them"
            )
        if self.head.is_asynchronous and self.scope.name == "head":
            raise ValueError("head.memory=asynchronous is filled as the whole detector trains; scope=all does that")
        if self.head.is_asynchronous and self.bank.name == "external":
            raise ValueError("head.memory=asynchronous reads no bank made elsewhere; head.memory=bank does")
        if self.head.window is not None and self.head.window.score < self.bank.box_threshold:
            raise ValueError(
                f"head.window.score {self.head.window.score} is below bank.box_threshold {self.bank.box_threshold}"
            )
        self._objects_stored()
        self._learnable()
        return self

    def _learnable(self) -> None:
        """Check that what makes a person's feature is learned, or was."""
        if self.roi.pool == "attentive" and not self.baseline.schedule.epochs:
            raise ValueError(
                "roi.pool is attentive, which the baseline learns, and baseline.schedule.epochs is 0; expected 1 or "
                "more"
            )
        if self.backbone.name == "transformers":
            if self.scope.name == "all" and not self.head.is_baseline:
                raise ValueError("backbone=transformers is frozen, and scope=all trains it; scope=head trains the head")
            if self.baseline.init != "none":
                raise ValueError(
                    f"baseline.init is {self.baseline.init}, and backbone=transformers takes its weights from "
                    "backbone.folder; expected none"
                )
        elif self.baseline.freeze == "backbone" and self.baseline.init == "none":
            raise ValueError(
                "baseline.freeze is backbone, and baseline.init is none: the backbone would stay as it was drawn; "
                "expected a file of weights"
            )

    def _objects_stored(self) -> None:
        """Check that an own bank stores as many objects as a head reads in scope head."""
        objects = self.head.objects
        reads_own = self.scope.name == "head" and self.bank.name == "own"
        if objects and reads_own and objects.per_keyframe > self.bank.objects:
            raise ValueError(
                f"head.objects.per_keyframe {objects.per_keyframe} is above bank.objects {self.bank.objects}, the "
                "objects of each second that the bank stores"
            )

    def _thresholds_reached(self) -> None:
        """Check that no threshold is below the score from which boxes are stored where it reads them."""
        for key, threshold in box_thresholds(self):
            floors = {"boxes.min_score": self.boxes.min_score}
            if self.scope.name == "head" and key.split(".")[0] not in ("baseline", "bank"):  # the bank's rows are read
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
    """Yield the key and value of every `box_threshold` in a block (a model or a dataclass) and its inner blocks."""
    for name in names_of(type(block)):
        value = getattr(block, name)
        if name == "box_threshold":
            yield prefix + name, value
        else:
            yield from box_thresholds(value, f"{prefix}{name}.")


def names_of(kind: type) -> list[str]:
    """List the fields of a block; empty for any other type."""
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
        raise InputError(f"{where}: {_told(error)}") from None


@overload
def load_track(track: Literal["recognition"]) -> RecognitionParams: ...


@overload
def load_track(track: Literal["detection", "recognition"]) -> Params | RecognitionParams: ...


def load_track(track: Literal["detection", "recognition"]) -> Params | RecognitionParams:
    """Read the parameters of one pipeline: of dvc.yaml's, or the block of recognition/dvc.yaml's; see `load_params`."""
    params = load_params()
    return params.recognition if track == "recognition" else params


def load_params(path: Path | None = None) -> Params:
    """Read and validate `params.yaml` of the current folder (or `path`).

    Raises:
        InputError: the file is absent, not YAML, or a key is missing, unknown or out of range.
    """
    path = path or Path(os.environ.get("ACTIONBANK_PARAMS", "params.yaml"))
    values = read_yaml(path)
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        remedy = ""
        if any(each["type"] in FORM for each in error.errors()):
            remedy = f"; the file is of another version, or was edited: `{compose_words(values)}` writes it anew"
        raise InputError(f"{path}: {_told(error)}{remedy}") from None


def _told(error: ValidationError) -> str:
    """Return every bad key with what is wrong with it."""
    lines = []
    for each in error.errors():
        if each["type"] in FORM:
            lines.append(f"{key_of(each)[:200]}: {FORM[each['type']]}")
            continue
        found = "" if each["type"] == "value_error" else f" (found {_SHORT.repr(each['input'])})"
        lines.append(f"{told_of(each, key_of(each) or 'parameters')}{found}")
    return "; ".join(lines)
