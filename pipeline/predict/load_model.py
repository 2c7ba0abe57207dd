"""Open a model that predicts films: from a project, a packed one, or a converted checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.bank.settings import BankSettings
from pipeline.base.hardware import Hardware, hardware_of
from pipeline.checkpoint.build_baseline import feature_detector
from pipeline.checkpoint.sidecars import Checkpoint, HandedOn
from pipeline.checkpoint.specs import HeadSpec
from pipeline.checkpoint.weights import load_checkpoint, load_tensors
from pipeline.models.detector import Detector
from pipeline.models.settings import WindowSettings
from pipeline.predict.model_files import ModelFiles, find_model
from pipeline.predict.settings import PredictSettings
from pipeline.predict.typed_results import Person, Second
from pipeline.scoring.predictor import Predictor, make_predictor
from pipeline.tables.label_map import Label
from pipeline.video.clip_input import ClipInput


@dataclass(frozen=True)
class Producer:
    """The model that makes the rows of windows, or those that a head scores."""

    detector: Detector
    clip: ClipInput
    checkpoint: Checkpoint


@dataclass(frozen=True, kw_only=True)
class Model:
    """A trained model with all that puts it on a film."""

    files: ModelFiles
    predictor: Predictor
    producer: Producer | None
    "None for a detector whose head reads no rows."
    settings: PredictSettings
    thresholds: Mapping[int, float]
    "By action id: the score from which an action is shown."

    @property
    def spec(self) -> HeadSpec | HandedOn:
        """The spec of what is scored."""
        return self.predictor.spec

    @property
    def labels(self) -> Sequence[Label]:
        """All classes, by id."""
        return self.files.labels

    @property
    def project(self) -> Path | None:
        """The project that the model is of, if it is there."""
        return self.files.project

    @property
    def bank_settings(self) -> BankSettings:
        """The settings of rows; a detector finds the objects of a clip itself, and stores none."""
        in_rows = isinstance(self.spec, HeadSpec) and self.spec.scope == "head"
        return self.settings.bank if in_rows else replace(self.settings.bank, objects=0)

    @property
    def window(self) -> WindowSettings | None:
        """The window that the head reads, from the score on with which rows are stored."""
        window, lowest = self.spec.head.window, self.settings.bank.box_threshold
        if window is None or self.settings.bank == self.files.settings.bank:
            return window
        return replace(window, score=lowest)

    def shown_from(self, threshold: float | None) -> "Model":
        """Return the model with one threshold for all classes; None keeps those of the classes."""
        return self if threshold is None else replace(self, thresholds=dict.fromkeys(self.thresholds, threshold))

    def one_by_one(self) -> "Model":
        """Return the model as a camera runs it: each keyframe alone, since several of them round differently."""
        return replace(self, predictor=replace(self.predictor, one_by_one=True))

    def predict(
        self,
        video: str | Path,
        *,
        boxes: Path | None = None,
        objects: Path | None = None,
        detector: str | None = None,
        every: float = 1.0,
        memory: Literal["full", "past"] = "full",
    ) -> "list[Second]":
        """Predict a film; arguments are those of `actionbank predict`.

        Raises:
            InputError: the film cannot be read, or as `plan_films`.
        """
        # These modules take a `Model`.
        from pipeline.predict.film_plans import UserChoice, plan_films
        from pipeline.predict.film_sources import find_films
        from pipeline.predict.predict_film import PredictOptions
        from pipeline.predict.predict_films import predict_films

        seconds: list[Second] = []
        options = PredictOptions(every=every, memory=memory)
        options.check(self)
        films, _ = find_films([str(video)])
        plans = plan_films(films, self, UserChoice(boxes=boxes, objects=objects, detector=detector))
        predict_films(self, plans, options, on_second=seconds.append)
        return seconds

    def predict_clip(self, frames: NDArray[np.uint8], boxes_xyxy: NDArray[np.floating[Any]]) -> "tuple[Person, ...]":
        """Score the persons of one clip; see `pipeline.predict.predict_clip`."""
        from pipeline.predict.predict_clip import predict_clip  # takes a `Model`

        return predict_clip(self, frames, boxes_xyxy)

    def facts(self) -> dict[str, Any]:
        """Return what `model.json` of a prediction says of the model."""
        return {
            "digest": self.files.digest,
            "head": self.spec.head.name,
            "scope": self.spec.scope,
            "thresholds": {str(key): value for key, value in sorted(self.thresholds.items())},
        }


def load_model(
    path: str | Path,
    *,
    device: str = "auto",
    workers: int = 0,
    batch: int = 8,
    labels: Path | None = None,
    box_threshold: float | None = None,
) -> Model:
    """Load a model.

    Args:
        path: a project's folder or its `models`, a packed model, or a converted checkpoint (.safetensors).
        device: cpu, cuda, cuda:1 ...; auto takes a GPU where there is one.
        workers: threads that read frames; 0 takes one per core.
        batch: clips that are read ahead of the network.
        labels: a label map for a converted checkpoint.
        box_threshold: score from which boxes are scored and fill windows; None takes the model's own.

    Raises:
        InputError: there is no model, it is not whole, of another version, or cannot be put on films.
        DamagedError: its bytes have changed since it was written.
    """
    files = find_model(Path(path), labels)
    settings = files.settings if box_threshold is None else files.settings.at_threshold(box_threshold)
    return open_model(files, settings, hardware_of(device, workers, batch))


def open_model(files: ModelFiles, settings: PredictSettings, hardware: Hardware) -> Model:
    """Load the model of files that `find_model` found; see `load_model`."""
    producer = _producer(files)
    tensors = load_tensors(files.head, files.checkpoint.sha256)
    predictor = make_predictor(tensors, files.checkpoint, hardware, compute_dtype=settings.compute_dtype)
    if producer is not None:
        producer.detector.eval().to(hardware.device)
    return Model(
        files=files, predictor=predictor, producer=producer, settings=settings, thresholds=dict(files.thresholds)
    )


def _producer(files: ModelFiles) -> Producer | None:
    spec = files.checkpoint.scored()
    if files.baseline is not None:
        tensors, checkpoint = load_checkpoint(files.baseline)
        where = files.baseline
    elif isinstance(spec, HeadSpec) and spec.head.window is not None:
        checkpoint, where = files.checkpoint, files.head
        tensors = load_tensors(where, checkpoint.sha256)
    else:
        return None
    made_by = checkpoint.features()
    return Producer(feature_detector(made_by, tensors, str(where)), made_by.clip, checkpoint)
