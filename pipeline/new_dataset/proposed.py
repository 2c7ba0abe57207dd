"""Propose settings of a new data set: thresholds of its boxes, and a crop if its films differ in shape."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from pipeline.annotations.assemble import AvaImport
from pipeline.base.errors import InputError
from pipeline.boxes.importing import import_boxes
from pipeline.boxes.recall import (
    THRESHOLD_KEYS,
    USUAL_THRESHOLD,
    covering_scores,
    propose_threshold,
    recall,
    threshold_words,
)
from pipeline.doctor.probe_films import ProbedFilm

MOTION_THRESHOLD = 0.5
CROP = {"baseline.augmentation.crop": "${baseline.augmentation.short_side.0}"}


@dataclass(frozen=True)
class Thresholds:
    """The score threshold that fits a data set's boxes."""

    value: float = USUAL_THRESHOLD
    why: str = ""
    "What the boxes cover; empty if nothing is known about them."

    def told(self) -> str:
        """Return the threshold and its reason in a line; empty if nothing is known about the boxes."""
        return f"{self.why}: thresholds are {self.value:g} ({', '.join(THRESHOLD_KEYS)})" if self.why else ""


def propose_thresholds(folder: Path, imported: AvaImport | None, annotations: Path) -> Thresholds:
    """Choose the threshold by the recall of the boxes on train, or on val if no person of train is covered.

    Args:
        folder: the folder of the boxes.
        imported: the annotations; None if they cannot be read.
        annotations: the annotation folder.
    """
    if imported is None or not imported.annotations.num_rows:
        return Thresholds()
    try:
        boxes = import_boxes(
            folder, imported.timelines, min_score=0.0, keyframes=imported.keyframes, annotations=annotations
        ).boxes
    except InputError:
        return Thresholds()  # the doctor reports the error
    for split in ("train", "val"):
        scores = covering_scores(imported.annotations, imported.keyframes, boxes, split)
        if recall(scores):
            value = propose_threshold(scores)
            return Thresholds(value, f"boxes of {split} cover {threshold_words(scores, value)}")
    return Thresholds()


def shapes(films: Iterable[ProbedFilm]) -> set[Fraction]:
    """Return the ratios of width to height of the readable films."""
    return {Fraction(film.width, film.height) for film in films if not film.found and film.width and film.height}


def proposed_lines(
    films: Mapping[str, ProbedFilm], thresholds: Thresholds, *, motion: bool, least_score: float
) -> list[str]:
    """Return the proposed lines of `conf/dataset/NAME.yaml`.

    Args:
        films: all films.
        thresholds: the threshold for the boxes that the user provides.
        motion: whether the detector `motion` makes the boxes, as the user provides none.
        least_score: the default of `boxes.min_score`, below which boxes are left out.
    """
    value = MOTION_THRESHOLD if motion else thresholds.value
    keys: dict[str, Any] = {} if value == USUAL_THRESHOLD else dict.fromkeys(THRESHOLD_KEYS, value)
    lines = []
    if motion:
        lines.append("# Scores of motion begin at 0.5, and all its boxes are meant; with fasterrcnn 0.9 is usual.")
    elif keys:
        lines.append(f"# {thresholds.why}.")
        if value < least_score:
            keys["boxes.min_score"] = value
    if len(shapes(films.values())) > 1:
        lines.append("# Films differ in shape, and clips of one batch have one size: each is cut to a random square.")
        keys |= CROP
    tree = nested(keys)
    return [*lines, *(f"{name}: {_flow(block)}" for name, block in tree.items())]


def _flow(block: Any) -> str:
    return str(yaml.safe_dump(block, default_flow_style=True, sort_keys=False, width=10**6)).strip()


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted keys as a tree: `{"a.b": 1}` becomes `{"a": {"b": 1}}`."""
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *blocks, name = key.split(".")
        inner = tree
        for block in blocks:
            inner = inner.setdefault(block, {})
        inner[name] = value
    return tree
