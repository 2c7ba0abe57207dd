"""The rows of `benchmarks.gpu` on bank inference: films of a frame store into parts, against the forward pass alone.

A side goes through all films as `infer_bank` does on a GPU, with its weights loaded: `write_film_part` for one film
after the other. The forward pass alone computes the features of as many batches of the same shapes that lie on the
device already, and copies them to the CPU. Reading alone makes the clips with as many threads as the stage.
"""

import statistics
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import torch
from torch import Tensor

from benchmarks.measuring import in_turns, median_ratio
from benchmarks.networks import CASES, Settings, build
from benchmarks.pictures import walking_figures
from benchmarks.sections import Row, Setup
from pipeline.base.files import digest_file
from pipeline.base.numerics import compute_precision, set_numerics
from pipeline.base.read_ahead import read_ahead
from pipeline.features.film_clips import FORWARD_KEYFRAMES, ClipRequest, batched, read_request
from pipeline.features.film_parts import FilmModel, PartSettings, write_film_part
from pipeline.features.requests import FilmBoxes
from pipeline.video.clip_input import ClipInput
from pipeline.video.clips import normalises_itself
from pipeline.video.manifest import write_manifest
from pipeline.video.store import FrameStore, write_frames
from pipeline.video.store import Row as Frame

COLUMNS = ("clips", "a clip", "forward alone", "ratio (at most 1.10)", "reading alone / all", "forward alone / all")
INTERVALS = {4: 16, 32: 2, 16: 2}
"S of a clip TxS, by T."
GRAIN, QUALITY, FPS = 24, 90, 30
BOXES_XYXY = np.array([[0.1, 0.1, 0.4, 0.9], [0.5, 0.2, 0.9, 1.0]])


@dataclass(frozen=True)
class Films:
    """Sizes of the films."""

    count: int
    seconds: int
    height: int
    width: int


def films_of(setup: Setup) -> Films:
    return Films(1, 2, 48, 64) if setup.tiny else Films(2, 60, 256, 340)


def make_store(folder: Path, films: Films) -> FrameStore:
    """A store of films that all show the same."""
    folder.mkdir(parents=True)
    count = films.seconds * FPS
    pictures = walking_figures(count, films.height, films.width, rate=FPS, grain=GRAIN)
    # Encoded here: what extracts frames imports decoders that a machine without films need not have.
    jpegs = (simplejpeg.encode_jpeg(each, QUALITY, colorspace="RGB", colorsubsampling="420") for each in pictures)
    rows = [Frame(jpeg, number / FPS, number) for number, jpeg in enumerate(jpegs)]
    record: dict[str, Any] = {"grid_frames": count, "stored_height": films.height, "stored_width": films.width}
    records = {}
    for number in range(films.count):
        path = folder / f"film_{number}.arrow"
        written = write_frames(path, rows, lambda: record)
        records[path.stem] = {**record, "rows": written, "sha256": digest_file(path)}
    write_manifest(folder, records, fps=FPS)
    return FrameStore(folder)


@lru_cache(maxsize=1)
def store_of(setup: Setup) -> FrameStore:
    return make_store(setup.folder / "frames", films_of(setup))


def boxes_of(video_id: str, seconds: int) -> FilmBoxes:
    """Two persons at every second of a film."""
    seen = np.arange(seconds, dtype=np.float64)
    at = np.repeat(seen, len(BOXES_XYXY))
    return FilmBoxes(
        video_id, 0.0, float(seconds), seen, at, np.tile(BOXES_XYXY, (seconds, 1)), np.ones(len(at)), None, None
    )


class Sides:
    """What is timed; each goes through all films."""

    def __init__(self, name: str, precision: str, setup: Setup) -> None:
        films, case, device = films_of(setup), CASES[name], torch.device(setup.device)
        detector = build(case, Settings(setup.device, width=8 if setup.tiny else None)).eval()
        clip = ClipInput(
            frames=case.frames, interval=INTERVALS[case.frames], short_side=films.height,
            mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375),
        )  # fmt: skip
        part = PartSettings("fp16", "none", precision, {})
        self.model = FilmModel(detector, clip, store_of(setup), part, device, batch=8)
        self.films = [boxes_of(f"film_{number}", films.seconds) for number in range(films.count)]
        self.requests = [ClipRequest(float(at), BOXES_XYXY) for at in self.films[0].seconds_seen]
        self.folder = setup.folder / "parts" / f"{name}_{precision}"
        self.batch = [each.to(device) for each in self.read_batch()]

    @property
    def clips(self) -> int:
        return len(self.films) * len(self.requests)

    def read_batch(self) -> tuple[Tensor, Tensor]:
        """The clips of a forward pass and the boxes of one clip."""
        model, requests = self.model, self.requests[:FORWARD_KEYFRAMES]
        read = [read_request(model.store, "film_0", each, model.clip) for each in requests]
        return torch.stack([clip for clip, _ in read]), read[0][1]

    def bank(self, turn: int) -> None:
        for film in self.films:
            write_film_part(self.folder / str(turn) / film.video_id, self.model, film)

    @torch.no_grad()
    def forward(self, turn: int) -> None:
        model, (clips, boxes) = self.model, self.batch
        for _ in self.films:
            for group in batched(self.requests, FORWARD_KEYFRAMES):
                index = torch.arange(len(group), device=model.device).repeat_interleave(len(boxes))
                with compute_precision(model.device, model.settings.compute_dtype):
                    rows = model.detector.features(clips[: len(group)], boxes.repeat(len(group), 1), index)
                rows.float().cpu()

    def read(self, turn: int) -> None:
        model = self.model
        for film in self.films:
            read = partial(
                read_request, model.store, film.video_id, settings=model.clip,
                as_pixels=normalises_itself(model.device),
            )  # fmt: skip
            for _ in read_ahead(read, self.requests, ahead=model.batch):
                pass


def measure_bank(name: str, precision: str, setup: Setup) -> list[str]:
    set_numerics(compute_dtype=precision, deterministic=False, threads=1)  # as `make_parts`
    sides = Sides(name, precision, setup)
    times = in_turns({"bank": sides.bank, "forward": sides.forward, "read": sides.read}, 1 if setup.tiny else 2)
    each_ms = {side: 1000 * statistics.median(seconds) / sides.clips for side, seconds in times.items()}
    return [
        str(sides.clips),
        f"{each_ms['bank']:.2f} ms",
        f"{each_ms['forward']:.2f} ms",
        f"{median_ratio(times['bank'], times['forward']):.2f}",
        f"{median_ratio(times['read'], times['bank']):.0%}",
        f"{median_ratio(times['forward'], times['bank']):.0%}",
    ]


def bank_rows(setup: Setup) -> dict[str, Row]:
    names = ("slowonly_tiny",) if setup.tiny else ("slowonly_r50_4x16", "slowfast_r50_8x8")
    return {
        f"{name}, {precision}": partial(measure_bank, name, precision, setup)
        for precision in ("bf16", "fp32")
        for name in names
    }
