"""Measure the gap between the features of train films, to which the bank's model was fitted, and of other films.

See docs/gap.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.analysis.shift import RowSample, mean_shift, norms, tell_apart, tell_halves_apart
from pipeline.bank.reader import Bank, check_pair, check_producer
from pipeline.bank.row_places import rows_at
from pipeline.base.errors import InputError
from pipeline.base.randomness import rng_of
from pipeline.checkpoint.build_baseline import build_baseline
from pipeline.checkpoint.sidecars import Checkpoint
from pipeline.checkpoint.specs import DetectorSpec
from pipeline.checkpoint.weights import load_checkpoint, load_into
from pipeline.evaluation.validate import validation_metrics
from pipeline.scoring.detections import detections_table
from pipeline.scoring.keyframe_rows import SCORED_ROW_SETS, score_rows, scoring_rows
from pipeline.scoring.settings import score_settings
from pipeline.tables.folds import in_folds, named
from pipeline.tables.keyframes import KeyframeSet
from pipeline.tables.select_boxes import BoxRule
from pipeline.tables.split_tables import Tables, split_keyframes


@dataclass(frozen=True)
class RowClassifier:
    """The model that made the rows, reduced to what is needed: its classifier."""

    head: nn.Module
    checkpoint: Checkpoint


def load_producer(checkpoint: Path) -> RowClassifier:
    """Load the classifier of a baseline.

    Raises:
        InputError: a file is absent or damaged, or the classifier needs more than a person's pooled feature.
    """
    weights, described = load_checkpoint(checkpoint)
    spec = described.spec
    if not isinstance(spec, DetectorSpec) or spec.head.name != "linear":
        raise InputError(
            f"{checkpoint}: is a {described.named}, expected a baseline with head linear, which scores the features of "
            "a bank as they are; --checkpoint none measures without AP"
        )
    detector = build_baseline(spec)
    load_into(detector, weights, str(checkpoint))
    return RowClassifier(detector.head.eval(), described)


def _check_scored(bank: Bank, producer: RowClassifier, *, allow_mixed: bool) -> None:
    check_producer(bank, producer.checkpoint.sha256, allow_mixed=allow_mixed)
    if not bank.count("ground_truth"):
        raise InputError(
            f"{bank.where}: has no rows of annotated boxes (ground_truth), of which the AP is taken; "
            "--checkpoint none measures without AP"
        )


def measure_gap(
    train: Bank,
    val: Bank,
    *,
    producer: RowClassifier | None,
    tables: Tables | None,
    folds: int = 1,
    use: Sequence[int] = (0,),
    cap: int = 20_000,
    allow_mixed: bool = False,
) -> dict[str, Any]:
    """Return the figures of `actionbank bank gap` by their names in the JSON.

    Args:
        train: the bank of the train films.
        val: the bank of the films that they are compared with.
        producer: the model whose APs are measured; None measures no AP.
        tables: annotations of both splits; needed with `producer`.
        folds: see `in_folds`.
        use: the folds whose train films are used.
        cap: largest number of rows to read from each bank, and from each of its row sets.
        allow_mixed: see `check_pair`.

    Raises:
        InputError: the banks do not belong together or to the checkpoint, have no annotated boxes (with `producer`),
            or no rows.
    """
    check_pair(train, val, allow_mixed=allow_mixed)
    if producer is not None:
        for bank in (train, val):
            _check_scored(bank, producer, allow_mixed=allow_mixed)
    films = {"train": [each for each in train.videos if in_folds(each, folds=folds, use=use)], "val": list(val.videos)}
    if not films["train"]:
        raise InputError(f"{train.where}: none of its {len(train.videos)} films is in {named(folds=folds, use=use)}")
    banks = {"train": train, "val": val}
    samples = {side: sample_rows(bank, films[side], cap) for side, bank in banks.items()}
    report: dict[str, Any] = {
        side: {
            "bank": bank.where,
            "digest": bank.digest,
            "films": len(films[side]),
            "fitted_films": _fitted_films(films[side], producer) if side == "train" else 0,
            "rows": len(samples[side].features),
            "rows_in_films": sum(bank.count("detections", film) for film in films[side]),
            "norm": norms(samples[side].features),
        }
        for side, bank in banks.items()
    }
    report["choice"] = named(folds=folds, use=use)
    report["mean_shift"] = mean_shift(samples["train"].features, samples["val"].features)
    report["train_against_val"] = tell_apart(samples["train"], samples["val"])
    report["between_train_films"] = tell_halves_apart(samples["train"])
    if producer is not None:
        assert tables is not None
        for side, bank in banks.items():
            report[side] |= average_precisions(bank, films[side], tables, producer, cap)
    return report


def sample_rows(bank: Bank, films: Sequence[str], cap: int) -> RowSample:
    """Return at most `cap` rows of `detections` in random order, the same rows each time.

    Each row gets a random number from its film and its place; the rows with the smallest numbers are taken.

    Raises:
        InputError: the films have no rows.
    """
    drawn = [rng_of("bank gap", film).random(bank.count("detections", film)) for film in films]
    keys = np.concatenate(drawn)
    if not len(keys):
        raise InputError(f"{bank.where}: its {len(films)} films have no rows of detections")
    order = np.argsort(keys, kind="stable")[:cap]
    owner = np.repeat(np.arange(len(films)), [len(each) for each in drawn])
    firsts = np.cumsum([0, *(len(each) for each in drawn)])
    features = np.empty((len(order), bank.channels), np.float32)
    for place in np.unique(owner[order]).tolist():
        mine = np.flatnonzero(owner[order] == place)
        stored = bank.column(films[place], "detections", "features")
        assert stored is not None  # every bank stores it
        features[mine] = stored[order[mine] - firsts[place]]
    present, film = np.unique(owner[order], return_inverse=True)
    return RowSample(features, film, [films[place] for place in present.tolist()])


def average_precisions(
    bank: Bank, films: Sequence[str], tables: Tables, producer: RowClassifier, cap: int
) -> dict[str, Any]:
    """Return the AP of the producer's classifier on a bank's rows, at keyframes with at most `cap` rows of each kind.

    Returns:
        `keyframes` of `keyframes_in_films`; `ap`: for each kind of boxes, `map` and the AP of every group, by the
        official protocol at IoU 0.5 over the classes of the label map.

    Raises:
        InputError: no keyframe of the bank's split is of `films`.
    """
    spec = producer.checkpoint.detector()
    every = split_keyframes(tables, bank.split, classes=spec.classes, with_empty=True)
    chosen = set(films)  # a subset on purpose: no warning about the other films
    every = every.select(np.flatnonzero([video_id in chosen for video_id in every.video_ids]))
    if not len(every):
        raise InputError(f"annotations: no keyframe of split {bank.split} is of the films of {bank.where}")
    keyframes = every.select(_sample_keyframes(bank, every, cap))
    settings = score_settings(spec.labels, torch.device("cpu"), "fp32")
    detections = {}
    for kind, row_set in SCORED_ROW_SETS.items():
        scored = score_rows(
            producer.head,
            scoring_rows(bank, keyframes, row_set, rule=BoxRule(-np.inf)),
            settings,
        )
        detections[kind] = detections_table(scored, action_threshold=0, decode=spec.labels.decode)
    annotations, listed = (_at_keyframes(table, keyframes) for table in tables.of_split(bank.split))
    found = validation_metrics(
        detections, annotations=annotations, keyframes=listed, labels=tables.labels, headline="ground_truth"
    )
    del found["map"]
    by_kind = {
        kind: {name.removesuffix(f"_{kind}"): value for name, value in found.items() if name.endswith(f"_{kind}")}
        for kind in SCORED_ROW_SETS
    }
    return {"keyframes": len(keyframes), "keyframes_in_films": len(every), "ap": by_kind}


def _sample_keyframes(bank: Bank, keyframes: KeyframeSet, cap: int) -> NDArray[np.int64]:
    """Draw keyframes with at most `cap` rows of each row set in all, by film and timestamp; return their indices."""
    counts = [
        np.bincount(rows_at(bank, keyframes, row_set).keyframe, minlength=len(keyframes))
        for row_set in SCORED_ROW_SETS.values()
    ]
    if max(each.sum() for each in counts) <= cap:
        return np.arange(len(keyframes))
    drawn = [
        rng_of("bank gap", film, stamp).random()
        for film, stamp in zip(keyframes.video_ids, keyframes.timestamp.tolist(), strict=True)
    ]
    order = np.argsort(drawn, kind="stable")
    fits = np.max([np.cumsum(each[order]) for each in counts], axis=0) <= cap
    return np.sort(order[fits])


def _at_keyframes(table: pa.Table, keyframes: KeyframeSet) -> pa.Table:
    """Return the rows of a table that belong to these keyframes."""
    wanted = set(zip(keyframes.video_ids, keyframes.timestamp.tolist(), strict=True))
    of = zip(table["video_id"].to_pylist(), table["timestamp"].to_pylist(), strict=True)
    return table.filter(pa.array([each in wanted for each in of], pa.bool_()))


def _fitted_films(films: Sequence[str], producer: RowClassifier | None) -> int | None:
    """Return how many of the train films the producer was trained on; None if its sidecar does not say."""
    training = producer.checkpoint.record.get("parameters", {}) if producer else {}
    if "videos" not in training:
        return None
    if not training["schedule"]["epochs"]:
        return 0
    return sum(in_folds(film, **training["videos"]) for film in films)
