"""A small data set of clips: a bar moves left, right or down; frames and labels lie as stages write them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import simplejpeg

from pipeline.base.files import digest_file
from pipeline.base.randomness import rng_of
from pipeline.checkpoint.specs import RecognizerSpec
from pipeline.models.recognition_settings import RecognitionHead
from pipeline.recognition.settings import RecognizerTraining
from pipeline.tables.clip_labels import label_classes, write_clip_labels
from pipeline.tables.schemas import CLIPS, VIDEOS, write_table
from pipeline.video.manifest import write_manifest
from pipeline.video.store import Row, write_frames
from pipeline.video.view_input import ViewInput

NAMES = ["moving left", "moving right", "moving down"]
INPUT = ViewInput(short_side=40, crop=32, mean=(120.0, 120.0, 120.0), std=(60.0, 60.0, 60.0))
VALUES: dict[str, Any] = {
    "init": "none",
    "views": {
        "sampling": "whole", "scales": [1, 0.875], "scales_apart": 1, "flip": "mapped", "flip_probability": 0.5,
    },
    "lr": 0.05, "base_batch": 8, "auto_scale_lr": False, "optimiser": "sgd", "momentum": 0.9, "nesterov": False,
    "weight_decay": 1e-4, "decay": "weights", "bias_lr_factor": 2.0, "norm": "batch", "clip_norm": 5.0,
    "global_batch": 8, "bn_batch": 4,
    "schedule": {
        "epochs": 2, "epoch_steps": "pass", "warmup_epochs": 0, "warmup_factor": 0.1, "warmup_by": "iteration",
        "decay": "step", "milestones": [], "gamma": 0.1,
    },
    "validation": {"interval": 1}, "checkpoint": {"select": "best"}, "early_stop": {"patience": 0, "min_delta": 0.0},
    "compute_dtype": "fp32", "memory_format": "contiguous", "compile": False, "deterministic": False, "threads": 1,
    "seed": 5,
}  # fmt: skip


def settings_of(**changes: Any) -> RecognizerTraining:
    """Settings of a short training; a dict changes some values of a block."""
    values = {
        key: {**value, **changes[key]} if key in changes and isinstance(value, dict) else changes.get(key, value)
        for key, value in VALUES.items()
    }
    return RecognizerTraining.model_validate(values)


def spec_of(name: str = "trn_multiscale", segments: int = 3, **more: Any) -> RecognizerSpec:
    """A recognizer of the smallest size."""
    sizes: dict[str, Any] = {} if name == "tsn" else {"channels": 8, "hidden": 8}
    head = RecognitionHead(name=name, dropout=0.2, **sizes, **more)  # type: ignore[arg-type]
    return RecognizerSpec(
        backbone="resnet_tiny", width=8, input=INPUT, head=head, segments=segments, classes=len(NAMES)
    )


def make_data(data: Path, *, train: int = 9, val: int = 4, unlabelled: int = 0) -> Path:
    """Write `frames` and `labels` below `data`, with clips of 7 to 11 frames; returns the folder."""
    videos, rows, facts = {}, [], []
    for number in range(train + val):
        video_id, label, frames = f"clip{number:02}", number % len(NAMES), 7 + number % 5
        stored = [
            Row(simplejpeg.encode_jpeg(picture, 90), at / 12, at)
            for at, picture in enumerate(_drawn(label, frames, number))
        ]
        origin = {"source_sha256": video_id, "grid_frames": frames, "stored_height": 40, "stored_width": 48}
        path = data / "frames" / f"{video_id}.arrow"
        count = write_frames(path, stored, lambda origin=origin: origin)  # type: ignore[misc]
        videos[video_id] = {**origin, "rows": count, "sha256": digest_file(path)}
        known = None if number < unlabelled else label
        rows.append((video_id, "train" if number < train else "val", known, None, 0, None))
        facts.append((video_id, f"{video_id}.mp4", video_id, 12.0, frames / 12, frames, frames, 48, 40))
    write_table(_table(VIDEOS, facts), data / "frames" / "videos.parquet", VIDEOS)
    write_manifest(data / "frames", videos, fps=12.0, short_side=None, quality=90)
    (data / "labels").mkdir()
    write_table(_table(CLIPS, rows), data / "labels" / "clips.parquet", CLIPS)
    write_clip_labels(data / "labels" / "labels.json", label_classes(NAMES))
    return data


def _table(schema: pa.Schema, rows: list[tuple[Any, ...]]) -> pa.Table:
    return pa.table(dict(zip(schema.names, map(list, zip(*rows, strict=True)), strict=True)), schema=schema)


def _drawn(label: int, frames: int, number: int) -> np.ndarray:
    pictures = rng_of("clip", number).integers(0, 60, (frames, 40, 48, 3), np.uint8)
    for at in range(frames):
        place = int(at / (frames - 1) * 32)
        if label == 2:
            pictures[at, place : place + 8] += 180
        else:
            left = 40 - place if label == 0 else place
            pictures[at, :, left : left + 8] += 180
    return pictures
