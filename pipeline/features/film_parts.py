"""Run films through the baseline into finished bank parts, kept in `.work` under a hash of their inputs.

`infer_bank` assembles them into a bank; a head that reads no bank uses the same parts without one.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.bank.feature_rows import FeatureRows
from pipeline.bank.writer import write_part
from pipeline.base.code_version import code_version
from pipeline.base.files import digest_value
from pipeline.base.hardware import Hardware
from pipeline.base.numerics import compute_precision, set_numerics
from pipeline.base.shared_items import Make, share_items
from pipeline.base.work import item_key
from pipeline.checkpoint.build_baseline import feature_detector
from pipeline.checkpoint.weights import load_checkpoint
from pipeline.features.film_clips import ClipRequest, run_film
from pipeline.features.requests import FilmBoxes
from pipeline.models.detector import Detector
from pipeline.video.clip_input import ClipInput
from pipeline.video.store import FrameStore

STAGE = "bank_parts"


@dataclass(frozen=True)
class PartSettings:
    """Settings that a part's bytes depend on, besides the film and the weights."""

    dtype: str  # fp16 or fp32
    codec: str
    compute_dtype: str
    attributes: dict[str, Any]  # recorded with every part


@dataclass(frozen=True)
class FilmModel:
    """Everything that turns a film into rows."""

    detector: Detector
    clip: ClipInput
    store: FrameStore
    settings: PartSettings
    device: torch.device
    batch: int


def make_parts(
    films: Sequence[FilmBoxes],
    *,
    checkpoint: Path,
    frames: Path,
    settings: PartSettings,
    hardware: Hardware,
    what: str,
) -> dict[str, Path]:
    """Compute the missing parts of these films, and return the folder of every film's part.

    On the CPU each film runs in one thread, and as many films at a time as there are workers, so the number of workers
    cannot change any bit. Ranks share the films; every rank returns all folders, once all are finished.

    Args:
        films: see `films_of_split`.
        checkpoint: weights with their sidecar.
        frames: the frame store.
        settings: see `PartSettings`.
        hardware: its workers are the films at a time (one on a GPU).
        what: name of the progress bar.

    Raises:
        InputError: the checkpoint, a frame or a feature is missing or invalid.
    """
    tensors, described = load_checkpoint(checkpoint)
    spec = described.features()
    store = FrameStore(frames)
    version = code_version("pipeline.features.film_parts")
    keys = {
        film.video_id: item_key(
            film=digest_value(asdict(film)),
            frames=store.digest(film.video_id),
            fps=store.fps,
            weights=described.sha256,
            settings=asdict(settings),
            code=version,
        )
        for film in films
    }
    by_id = {film.video_id: film for film in films}

    def load() -> Make:
        set_numerics(compute_dtype=settings.compute_dtype, deterministic=False, threads=1)
        detector = feature_detector(spec, tensors, str(checkpoint)).eval().to(hardware.device)
        model = FilmModel(detector, spec.clip, store, settings, hardware.device, hardware.batch)
        return lambda video_id, folder: _write_part(folder, model, by_id[video_id])

    threads = torch.get_num_threads()
    at_a_time = 1 if hardware.device.type == "cuda" else hardware.workers
    with ThreadPoolExecutor(at_a_time, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        parts = share_items(STAGE, keys, load, executor=pool, what=what, unit="film")
    torch.set_num_threads(threads)
    return parts


def _write_part(folder: Path, model: FilmModel, film: FilmBoxes) -> None:
    detections, ground_truth = film_rows(model, film)
    write_part(
        folder,
        part=film.video_id,
        detections=detections,
        ground_truth=ground_truth,
        seconds_seen=film.seconds_seen,
        attributes={**model.settings.attributes, "duration_seconds": film.duration_seconds},
        dtype=model.settings.dtype,
        codec=model.settings.codec,
    )


def film_rows(model: FilmModel, film: FilmBoxes) -> tuple[FeatureRows, FeatureRows | None]:
    """Compute the features of a film's detected and annotated boxes.

    Clips of seconds with detected boxes are batched first, and then clips of seconds with annotated boxes only. So no
    annotation changes the batch of a detected row, nor any bit of it.
    """

    def forward(places: range, clips: Tensor, boxes_xyxy: Tensor, clip_index: Tensor) -> Tensor:
        with compute_precision(model.device, model.settings.compute_dtype):
            return model.detector.features(clips, boxes_xyxy, clip_index)

    channels = model.detector.roi_channels
    truth_at = film.annotated_timestamp if film.annotated_timestamp is not None else np.empty(0)
    truth_xyxy = film.annotated_xyxy if film.annotated_xyxy is not None else np.empty((0, 4))
    detected_at = np.unique(film.detected_timestamp)
    detections = np.empty((len(film.detected_timestamp), channels), np.float32)
    ground_truth = np.empty((len(truth_at), channels), np.float32)
    for timestamps in (detected_at, np.setdiff1d(truth_at, detected_at)):
        places = [(np.flatnonzero(film.detected_timestamp == at), np.flatnonzero(truth_at == at)) for at in timestamps]
        requests = [
            ClipRequest(float(at + film.shift_seconds), np.concatenate([film.detected_xyxy[mine], truth_xyxy[theirs]]))
            for at, (mine, theirs) in zip(timestamps, places, strict=True)
        ]
        rows = run_film(
            forward, model.store, film.video_id, requests,
            settings=model.clip, device=model.device, batch=model.batch,
        )  # fmt: skip
        for (mine, theirs), each in zip(places, rows, strict=True):
            detections[mine] = each[: len(mine)]
            ground_truth[theirs] = each[len(mine) :]
    found = FeatureRows(
        detections, film.detected_timestamp, film.detected_xyxy, film.detected_score, track_id=film.detected_track
    )
    if film.annotated_timestamp is None:
        return found, None
    return found, FeatureRows(ground_truth, truth_at, truth_xyxy)
