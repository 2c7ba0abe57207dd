"""The two scopes of head training: on rows of the bank, and with the whole detector."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from pipeline.bank.reader import Bank
from pipeline.bank.windows.seconds import features_of, index_rows
from pipeline.features.film_clips import ClipSettings
from pipeline.features.windows import WindowSource
from pipeline.models.detector import Detector
from pipeline.models.heads.head import Head
from pipeline.models.scores import LabelKind, action_scores
from pipeline.models.standardise import StandardisedHead, fit_standardise
from pipeline.scoring.keyframe_rows import score_rows, scoring_rows
from pipeline.scoring.score_films import score_films
from pipeline.scoring.settings import ScoreSettings
from pipeline.tables.keyframes import KeyframeBoxes, pack_keyframes
from pipeline.tables.select_boxes import BoxRule
from pipeline.tables.split_tables import Tables
from pipeline.training.clip_steps import Augmentation, SampleSettings, clip_steps, detector_loss
from pipeline.training.logs import LogSettings
from pipeline.training.loop import Fitted, Optimisation, fit
from pipeline.training.losses import LossOf, make_loss
from pipeline.training.norms import has_batch_norm
from pipeline.training.row_steps import head_loss, row_steps, steps_per_epoch, training_rows
from pipeline.training.validation import validator
from pipeline.video.store import FrameStore


@dataclass(frozen=True)
class HeadTraining:
    """What both scopes are told; see `pipeline.params.HeadTrain`."""

    optimisation: Optimisation
    match_iou: float
    rule: BoxRule
    validation_boxes: str
    validation_rule: BoxRule
    labels: LabelKind
    alpha: float
    gamma: float
    device: torch.device
    workers: int
    batch: int
    state_folder: Path
    log: LogSettings

    def loss(self) -> LossOf:
        """What is minimised; see `make_loss`."""
        return make_loss(self.labels, alpha=self.alpha, gamma=self.gamma)

    def scoring(self, window: WindowSource | None) -> ScoreSettings:
        """How the val split is scored."""
        return ScoreSettings(
            self.device,
            self.optimisation.compute_dtype,
            window.for_evaluation() if window else None,
            partial(action_scores, kind=self.labels),
        )


@dataclass(frozen=True)
class HeadData:
    """What a head learns from and is scored on."""

    tables: Tables
    keyframes: Sequence[KeyframeBoxes]
    "Annotated ones of train."
    val_keyframes: Sequence[KeyframeBoxes]
    "Those of val that are scored."
    window: WindowSource | None
    "For a head that reads the bank."
    score: float
    "Least score of the rows that windows read."


def fit_statistics(
    head: Head | StandardisedHead,
    *,
    rows: Iterable[torch.Tensor] | None,
    bank: Bank | None,
    score: float,
    films: Collection[str],
) -> None:
    """Put the train split's statistics into a standardised head.

    Args:
        head: others are left as they are.
        rows: chunks of the labelled rows, for the persons' features; None in scope all.
        bank: the train bank, for the rows of windows.
        score: rows below are not read.
        films: of the bank's films, those that are trained on: rows of others may look otherwise (docs/gap.md).
    """
    if not isinstance(head, StandardisedHead):
        return
    if head.roi is not None and rows is not None:
        head.roi = fit_standardise(rows)
    if head.bank is not None and bank is not None:
        read = (features_of(bank, each, index_rows(bank, each, score)[0]) for each in bank.videos if each in films)
        head.bank = fit_standardise(torch.from_numpy(np.asarray(features)) for features in read)


def _films(keyframes: Sequence[KeyframeBoxes]) -> set[str]:
    return set(pack_keyframes(keyframes).video_ids)


def train_on_rows(
    head: Head | StandardisedHead,
    data: HeadData,
    training: HeadTraining,
    *,
    train: Bank,
    val: Bank,
) -> Fitted:
    """Scope head: the head alone, in place, on labelled rows of the train bank.

    Args:
        head: with neutral statistics; those of the train split are put in.
        data: see `HeadData`.
        training: see `HeadTraining`.
        train: gives the labelled rows.
        val: is scored.

    Raises:
        InputError: rows and annotations do not belong together.
    """
    window, keyframes = data.window, data.keyframes
    rows = training_rows(train, keyframes, rule=training.rule, match_iou=training.match_iou)
    fit_statistics(
        head, rows=rows.features.chunks(), bank=train if window else None, score=data.score, films=_films(keyframes)
    )
    head.to(training.device)
    is_scored = training.optimisation.validation_interval and training.validation_boxes == "detected"
    key = "head_train.validation.box_threshold" if is_scored else ""
    to_score = {
        kind: scoring_rows(val, data.val_keyframes, row_set, rule=training.validation_rule, key=key)
        for kind, row_set in (("detected", "detections"), ("ground_truth", "ground_truth"))
    }
    optimisation = training.optimisation
    scoring = training.scoring(window)
    windows = window.for_training(optimisation.seed) if window else None
    return fit(
        head,
        lambda epoch: row_steps(
            rows,
            epoch,
            window_of=windows(epoch) if windows else None,
            global_batch=optimisation.global_batch,
            bn_batch=optimisation.bn_batch,
            seed=optimisation.seed,
        ),
        steps_per_epoch=steps_per_epoch(rows, optimisation.global_batch),
        loss_of=head_loss(head, training.loss()),
        validate=validator(
            lambda: {kind: score_rows(head, each, scoring) for kind, each in to_score.items()},
            data.tables,
            headline=training.validation_boxes,
            decode=training.labels.decode,
        ),
        optimisation=optimisation,
        device=training.device,
        state_folder=training.state_folder,
        what="train head",
        log=training.log,
    )


def train_with_detector(
    detector: Detector,
    data: HeadData,
    training: HeadTraining,
    *,
    store: FrameStore,
    train: Bank | None,
    clip: ClipSettings,
    augmentation: Augmentation,
) -> Fitted:
    """Scope all: backbone and head, in place, on clips. Arguments as of `train_on_rows`."""
    window, keyframes = data.window, data.keyframes
    fit_statistics(detector.head, rows=None, bank=train, score=data.score, films=_films(keyframes))
    detector.to(training.device)
    optimisation = training.optimisation
    scoring = training.scoring(window)
    windows = window.for_training(optimisation.seed) if window else None
    settings = SampleSettings(clip, augmentation, training.match_iou, has_batch_norm(detector.head), training.workers)
    return fit(
        detector,
        lambda epoch: clip_steps(
            store,
            keyframes,
            epoch,
            settings,
            window_of=windows(epoch) if windows else None,
            global_batch=optimisation.global_batch,
            bn_batch=optimisation.bn_batch,
            seed=optimisation.seed,
        ),
        steps_per_epoch=-(-len(keyframes) // optimisation.global_batch),
        loss_of=detector_loss(detector, training.loss()),
        validate=validator(
            lambda: score_films(detector, store, data.val_keyframes, scoring, clip=clip, batch=training.batch),
            data.tables,
            headline=training.validation_boxes,
            decode=training.labels.decode,
        ),
        optimisation=optimisation,
        device=training.device,
        state_folder=training.state_folder,
        what="train detector",
        log=training.log,
    )
