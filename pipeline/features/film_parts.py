"""Run films through the baseline into finished bank parts, kept in `.work` under a hash of their inputs.

`infer_bank` assembles them into a bank; a head that reads no bank uses the same parts without one.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.bank.feature_rows import FeatureRows, VideoRows
from pipeline.bank.writer import write_part
from pipeline.base.code_version import code_version
from pipeline.base.executors import item_executor
from pipeline.base.files import digest_value
from pipeline.base.hardware import Hardware
from pipeline.base.make_items import Needs
from pipeline.base.numerics import compute_precision, set_numerics
from pipeline.base.ray_device import device_here
from pipeline.base.shared_items import Make, share_items
from pipeline.base.work import item_key
from pipeline.checkpoint.build_baseline import feature_detector
from pipeline.checkpoint.specs import DetectorSpec, HeadSpec
from pipeline.checkpoint.weights import load_checkpoint
from pipeline.features.film_clips import FORWARD_KEYFRAMES, ClipRequest, run_film
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
    workers: int = 1
    "Batches of one film that are computed at a time; they are the same batches, so no bit depends on it."
    keyframes: int = FORWARD_KEYFRAMES
    "Clips of one forward pass; another number rounds differently."


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
    load = partial(_part_writer, spec, tensors, str(checkpoint), frames, settings, hardware)
    threads = torch.get_num_threads()
    at_a_time = 1 if hardware.device.type == "cuda" else hardware.workers
    needs = Needs(module="pipeline.features.film_parts", keeps_model=True, may_use_gpu=hardware.asked != "cpu")
    with item_executor(at_a_time, needs, initializer=partial(torch.set_num_threads, 1)) as executor:
        parts = share_items(STAGE, keys, by_id, load, executor=executor, what=what, unit="film")
    torch.set_num_threads(threads)
    return parts


def _part_writer(
    spec: DetectorSpec | HeadSpec,
    tensors: dict[str, Tensor],
    where: str,
    frames: Path,
    settings: PartSettings,
    hardware: Hardware,
) -> Make:
    set_numerics(compute_dtype=settings.compute_dtype, deterministic=False, threads=1)
    device = device_here(hardware.device)
    detector = feature_detector(spec, tensors, where).eval().to(device)
    model = FilmModel(detector, spec.clip, FrameStore(frames), settings, device, hardware.batch)
    return lambda film, folder: write_film_part(folder, model, film)


@dataclass(frozen=True)
class _Boxes:
    """Boxes of one row set of a film, and the features that are being computed for them."""

    timestamp: NDArray[np.float64]  # [n]
    boxes_xyxy: NDArray[np.float64]  # [n, 4]
    features: NDArray[np.float32]  # [n, C]
    are_persons: bool


def write_film_part(folder: Path, model: FilmModel, film: FilmBoxes) -> None:
    """Compute the rows of a film and write them as a finished part of a bank."""
    write_part(
        folder,
        part=film.video_id,
        rows=film_rows(model, film),
        seconds_seen=film.seconds_seen,
        attributes={**model.settings.attributes, "duration_seconds": film.duration_seconds},
        dtype=model.settings.dtype,
        codec=model.settings.codec,
    )


def film_rows(model: FilmModel, film: FilmBoxes) -> VideoRows:
    """Compute the features of a film's detected and annotated persons and of its objects.

    Clips of seconds with detected persons are batched first, then those of seconds with annotated persons only, then
    those of seconds with objects and no detected person. So no annotation changes the batch of a detected person or of
    an object, and no object changes that of a person; nor do they change any bit of a row.
    """
    truth_at = film.annotated_timestamp if film.annotated_timestamp is not None else np.empty(0)
    truth_xyxy = film.annotated_xyxy if film.annotated_xyxy is not None else np.empty((0, 4))
    things = film.objects if film.objects is not None else np.empty((0, 6))
    detected, annotated, objects = (
        _Boxes(at, boxes, np.empty((len(at), model.detector.roi_channels), np.float32), are_persons)
        for at, boxes, are_persons in (
            (film.detected_timestamp, film.detected_xyxy, True),
            (truth_at, truth_xyxy, True),
            (things[:, 0], things[:, 1:5], False),
        )
    )
    _compute(model, film, np.unique(detected.timestamp), [detected, annotated, objects])
    _compute(model, film, np.setdiff1d(annotated.timestamp, detected.timestamp), [annotated])
    _compute(model, film, np.setdiff1d(objects.timestamp, detected.timestamp), [objects])
    found = FeatureRows(
        detected.features, film.detected_timestamp, film.detected_xyxy, film.detected_score,
        track_id=film.detected_track,
    )  # fmt: skip
    return VideoRows(
        found,
        None if film.annotated_timestamp is None else FeatureRows(annotated.features, truth_at, truth_xyxy),
        None if film.objects is None else FeatureRows(objects.features, things[:, 0], things[:, 1:5], things[:, 5]),
    )


def _compute(model: FilmModel, film: FilmBoxes, timestamps: NDArray[np.float64], sets: Sequence[_Boxes]) -> None:
    """Fill in the features of the boxes at these timestamps; in a clip the boxes of one set follow those of another."""
    places = [[np.flatnonzero(each.timestamp == at) for each in sets] for at in timestamps]
    requests = [
        ClipRequest(
            float(at + film.shift_seconds),
            np.concatenate([each.boxes_xyxy[mine] for each, mine in zip(sets, of_clip, strict=True)]),
        )
        for at, of_clip in zip(timestamps, places, strict=True)
    ]

    def forward(first: int, clip_places: range, clips: Tensor, boxes_xyxy: Tensor, clip_index: Tensor) -> Tensor:
        are_persons = [each.are_persons for _ in clip_places for each in sets]
        counts = [len(mine) for place in clip_places for mine in places[first + place]]
        persons = torch.from_numpy(np.repeat(are_persons, counts))
        mask = None if bool(persons.all()) else persons.to(model.device)
        with compute_precision(model.device, model.settings.compute_dtype):
            return model.detector.features(clips, boxes_xyxy, clip_index, mask)

    def rows_from(first: int, count: int) -> list[NDArray[np.float32]]:
        return run_film(
            partial(forward, first), model.store, film.video_id, requests[first : first + count],
            settings=model.clip, device=model.device, batch=model.batch,
            keyframes=model.keyframes,
        )  # fmt: skip

    if model.workers == 1:
        rows = rows_from(0, len(requests))
    else:
        starts = range(0, len(requests), model.keyframes)
        with ThreadPoolExecutor(model.workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            rows = [each for part in pool.map(partial(rows_from, count=model.keyframes), starts) for each in part]
    for of_clip, features in zip(places, rows, strict=True):
        ends = np.cumsum([len(mine) for mine in of_clip])[:-1]
        for each, mine, part in zip(sets, of_clip, np.split(features, ends), strict=True):
            each.features[mine] = part
