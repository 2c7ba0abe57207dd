"""Compute the parts of a split from tables, frames and the baseline, and the provenance of a bank of them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.bank.settings import BankSettings
from pipeline.base.errors import InputError
from pipeline.base.files import digest_file
from pipeline.base.hardware import Hardware
from pipeline.base.ranks import is_main
from pipeline.checkpoint.sidecars import Checkpoint, plain
from pipeline.checkpoint.weights import read_checkpoint
from pipeline.features.film_objects import with_objects
from pipeline.features.film_parts import PartSettings, make_parts
from pipeline.features.requests import FilmBoxes, films_of_split
from pipeline.tables.box_thresholds import check_threshold, videos_of
from pipeline.tables.film_ids import names_beside
from pipeline.tables.schemas import ANNOTATIONS, BOXES, KEYFRAMES, TIMELINES, VIDEOS, read_table

POOLING = {
    "max": "mean over time, then the largest cell",
    "mean": "mean over time and cells",
    "attentive": "mean over time, then cells by learned attention",
}


@dataclass(frozen=True)
class Sources:
    """Paths of the outs that parts are made from."""

    frames: Path
    annotations: Path
    boxes: Path
    checkpoint: Path


def split_parts(
    split: str, sources: Sources, settings: BankSettings, hardware: Hardware
) -> tuple[dict[str, Path], dict[str, Any]]:
    """Compute the parts of every film of a split.

    Args:
        split: train, val or test.
        sources: outs of the earlier stages.
        settings: see `BankSettings`.
        hardware: see `make_parts`.

    Returns:
        The folder of each film's part, and the provenance of a bank of these parts.

    Raises:
        InputError: see `split_films`, or the checkpoint is absent or of another kind.
    """
    films = split_films(split, sources, settings)
    shared = made_with(read_checkpoint(sources.checkpoint), settings)
    if any(film.objects is not None for film in films):
        shared["objects"] = settings.objects
    parts = make_parts(
        films,
        checkpoint=sources.checkpoint,
        frames=sources.frames,
        settings=PartSettings(settings.dtype, settings.codec, settings.compute_dtype, shared),
        hardware=hardware,
        what=f"bank {split}",
    )
    provenance = {
        **shared,
        "box_source": "boxes.parquet",
        "frames_sha256": digest_file(sources.frames / "manifest.json"),
        "boxes_sha256": digest_file(sources.boxes / "boxes.parquet"),
    }
    return parts, provenance


def split_films(split: str, sources: Sources, settings: BankSettings) -> list[FilmBoxes]:
    """Select the boxes of every film of a split that a bank has rows of; its checkpoint is not read.

    A printed line counts the films of the split that have no frames.

    Raises:
        InputError: a source is absent or invalid, no film is of the split, or none of them has frames.
    """
    timelines = read_table(sources.annotations / "timelines.parquet", TIMELINES)
    of_split = videos_of(timelines, split)
    if not of_split:
        raise InputError(
            f"{sources.annotations}: no film is of {split}, expected one at least: a bank of it would be empty, with "
            "nothing to learn from or to score; dataset.split_by: time splits each film (docs/datasets.md#splits)"
        )
    videos = read_table(sources.frames / "videos.parquet", VIDEOS)
    _say_absent(of_split, videos["video_id"].to_pylist(), split, sources.frames)
    boxes = read_table(sources.boxes / "boxes.parquet", BOXES)
    rule = settings.rule
    check_threshold(str(sources.boxes), boxes, of_split, split=split, rule=rule, key="bank.box_threshold")
    persons = films_of_split(
        split,
        timelines=timelines,
        videos=videos,
        boxes=boxes,
        annotations=read_table(sources.annotations / "annotations.parquet", ANNOTATIONS),
        keyframes=read_table(sources.annotations / "keyframes.parquet", KEYFRAMES),
        rule=rule,
        seconds=settings.seconds,
    )
    return with_objects(persons, boxes, settings.objects)


def _say_absent(of_split: Sequence[str], stored: Sequence[str], split: str, frames: Path) -> None:
    absent = sorted(set(of_split) - set(stored))
    if len(absent) == len(of_split):
        beside = names_beside("the frame store", stored, absent)
        raise InputError(f"{frames}: no film of {split} has frames, of {len(absent)}: {beside}")
    if absent and is_main():
        told = (
            f"{len(absent)} of {len(of_split)} films of {split} have no frames, and get no rows; the first: {absent[0]}"
        )
        print(f"{frames}: {told}", file=sys.stderr)


def made_with(checkpoint: Checkpoint, settings: BankSettings) -> dict[str, Any]:
    """Return what the rows of a bank are computed with, as its provenance says it."""
    spec, rule = checkpoint.features(), settings.rule
    return {
        "recipe": spec.backbone,
        "checkpoint_sha256": checkpoint.sha256,
        "roi": plain(spec.roi),
        "pooling": POOLING[spec.roi.pool if spec.roi else "max"],
        "box_threshold": rule.threshold,
        "lower_threshold": rule.lower,
        "full_frame_box": rule.full_frame,
        "seconds": settings.seconds,
        "compute_dtype": settings.compute_dtype,
        "clip": plain(spec.clip),
    }
