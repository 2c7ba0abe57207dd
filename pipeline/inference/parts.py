"""Films through the baseline into finished bank parts, kept in `.work` by what they were made from.

`infer_bank` assembles them into a bank; a head that reads no bank uses the same parts as they lie.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.bank.rows import Rows
from pipeline.bank.writer import write_part
from pipeline.checkpoint import load_checkpoint, load_into
from pipeline.closure import code_version
from pipeline.files import digest_value
from pipeline.inference.clips import ClipRequest, ClipSettings, run_film
from pipeline.inference.detector import detector_from_sidecar
from pipeline.inference.requests import FilmBoxes
from pipeline.models.detector import Detector
from pipeline.numerics import compute_precision, pick_device, set_numerics
from pipeline.progress import progress
from pipeline.video.store import FrameStore
from pipeline.work import is_finished, item_folder, item_key, make_item

STAGE = "bank_parts"


@dataclass(frozen=True)
class PartSettings:
    """What a part's bytes depend on beside the film and the weights."""

    dtype: str  # fp16 or fp32
    codec: str
    compute_dtype: str
    attributes: dict[str, Any]  # recorded with every part


@dataclass(frozen=True)
class _Job:
    film: FilmBoxes
    key: str


def make_parts(
    films: Sequence[FilmBoxes],
    *,
    checkpoint: Path,
    frames: Path,
    settings: PartSettings,
    workers: int,
    device: str,
    batch: int,
    what: str,
) -> dict[str, Path]:
    """The folder of the finished part of every film; only those that are not there are computed.

    On the CPU every film runs in one thread, in as many processes as `workers`: their number cannot change a bit.

    Args:
        films: see `films_of_split`.
        checkpoint: weights with their sidecar.
        frames: the frame store.
        settings: see `PartSettings`.
        workers: processes (on a GPU: one, that of the caller).
        device: see `pick_device`.
        batch: keyframes per forward pass.
        what: name of the progress bar.

    Raises:
        InputError: the checkpoint, a frame or a feature is not what it should be.
    """
    _, sidecar = load_checkpoint(checkpoint)
    store = FrameStore(frames)
    version = code_version("pipeline.inference.parts", "torch", "torchvision", "zarr", "numcodecs", "simplejpeg")
    jobs = [
        _Job(
            film,
            item_key(
                film=digest_value({name: _plain(value) for name, value in asdict(film).items()}),
                frames=store.digest(film.video_id),
                fps=store.fps,
                weights=sidecar["sha256"],
                settings=asdict(settings),
                code=version,
            ),
        )
        for film in films
    ]
    missing = [job for job in jobs if not is_finished(STAGE, job.key)]
    context = (str(checkpoint), str(frames), settings, device, batch)
    if pick_device(device).type == "cpu" and workers > 1 and len(missing) > 1:
        with ProcessPoolExecutor(
            min(workers, len(missing)), mp_context=get_context("spawn"), initializer=_start, initargs=context
        ) as pool:
            for _ in progress(pool.map(_make_part, missing), what=what, total=len(missing), unit="film"):
                pass
    elif missing:
        threads = torch.get_num_threads()
        _start(*context)
        for job in progress(missing, what=what, unit="film"):
            _make_part(job)
        torch.set_num_threads(threads)
    return {job.film.video_id: item_folder(STAGE, job.key) for job in jobs}


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


@dataclass(frozen=True)
class _Worker:
    """What a process loads once."""

    detector: Detector
    clip: ClipSettings
    store: FrameStore
    settings: PartSettings
    device: torch.device
    batch: int


_worker: _Worker | None = None


def _start(checkpoint: str, frames: str, settings: PartSettings, device_name: str, batch: int) -> None:
    global _worker
    device = pick_device(device_name)
    set_numerics(compute_dtype=settings.compute_dtype, deterministic=False, threads=1)
    tensors, sidecar = load_checkpoint(Path(checkpoint))
    detector = detector_from_sidecar(sidecar)
    load_into(detector, tensors, checkpoint)
    detector.eval().to(device)
    clip = ClipSettings(**sidecar["input"])
    _worker = _Worker(detector, clip, FrameStore(Path(frames)), settings, device, batch)


def _make_part(job: _Job) -> None:
    worker = _worker
    assert worker is not None

    def make(folder: Path) -> None:
        detections, ground_truth = film_rows(worker, job.film)
        write_part(
            folder,
            part=job.film.video_id,
            detections=detections,
            ground_truth=ground_truth,
            seconds_seen=job.film.seconds_seen,
            attributes=worker.settings.attributes,
            dtype=worker.settings.dtype,
            codec=worker.settings.codec,
        )

    make_item(STAGE, job.key, make)


def film_rows(worker: _Worker, film: FilmBoxes) -> tuple[Rows, Rows | None]:
    """Features of a film's detected and annotated boxes.

    Batches of clips are formed of the seconds with detected boxes alone, and then of those that have only
    annotated ones: so no annotation can change a bit of a detected row.
    """

    def forward(places: range, clips: Tensor, boxes_xyxy: Tensor, clip_index: Tensor) -> Tensor:
        with compute_precision(worker.device, worker.settings.compute_dtype):
            return worker.detector.features(clips, boxes_xyxy, clip_index)

    channels = worker.detector.backbone.out_channels
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
            forward, worker.store, film.video_id, requests,
            settings=worker.clip, device=worker.device, batch=worker.batch,
        )  # fmt: skip
        for (mine, theirs), each in zip(places, rows, strict=True):
            detections[mine] = each[: len(mine)]
            ground_truth[theirs] = each[len(mine) :]
    found = Rows(detections, film.detected_timestamp, film.detected_xyxy, film.detected_score)
    if film.annotated_timestamp is None:
        return found, None
    return found, Rows(ground_truth, truth_at, truth_xyxy)
