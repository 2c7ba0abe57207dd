"""Measure what the asynchronous memory costs beside the training step that reads and writes it.

    python -m benchmarks.aia_memory                    # AVA's number of keyframes, R50 at full width
    python -m benchmarks.aia_memory --films 20 --width 8 --side 64    # in seconds

A memory of the size of AVA's train split is filled. The step is forward, loss, backward and SGD of AIA (dense serial)
on a few clips. Reading is the windows of these clips, with the draw of crowded seconds and the weights of rows; writing
is what `Memory.keep` and `Memory.after_step` do with the step's rows. Both grow with the clips as the step does, so the
ratio holds for any batch. CPU time of one thread, which other programs hardly change; the sides alternate, and a ratio
is the median of the turns' ratios, followed by the smallest and the largest.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks.measuring import table
from pipeline.base.numerics import set_numerics
from pipeline.features.windows import WindowSource
from pipeline.models.build import build_backbone
from pipeline.models.context import BankWindow, ObjectBoxes
from pipeline.models.detector import Detector
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.table import build_head
from pipeline.models.settings import RoiSettings, WindowSettings
from pipeline.training.losses import multilabel_loss
from pipeline.training.memory import Memory
from pipeline.training.settings import MemoryWeight

BACKBONE, HEAD, CLASSES, OBJECTS = "alphaction_slowfast_r50_4x16", "aia_dense_serial", 80, 5
CHEAP_REPEATS = 20
"Reads and writes of a turn: one is too short to be timed alone."


@dataclass(frozen=True)
class Size:
    """What is measured."""

    films: int
    seconds: int
    persons: float
    "Mean of the boxes of a keyframe, each of which has one at least."
    clips: int
    side: int
    width: int | None
    "Of the backbone; None for the published one."
    latent: int


@dataclass(frozen=True)
class Cost:
    """CPU seconds of the turns."""

    step: list[float]
    read: list[float]
    write: list[float]

    @property
    def ratios(self) -> list[float]:
        """The share of the step that the memory takes, read and write together."""
        return [(read + write) / step for step, read, write in zip(self.step, self.read, self.write, strict=True)]


def full_memory(size: Size, channels: int) -> tuple[Memory, list[str], np.ndarray]:
    """Make a memory of which every second is filled; return also the film and time of each keyframe."""
    random = np.random.default_rng(0)
    films = np.repeat(np.arange(size.films), size.seconds)
    ids, times = [f"film{film}" for film in films], np.tile(902.0 + np.arange(size.seconds), size.films)
    boxes = 1 + random.poisson(size.persons - 1, len(ids))
    memory = Memory(ids, times, boxes, channels=channels, weight=MemoryWeight(by="loss", half_life=1.0))
    for rows in torch.split(memory.rows[1:], 4096):
        rows.copy_(torch.rand(1, channels).expand_as(rows))  # so that every page is there
    memory.counts[:] = boxes
    memory.tags.uniform_(1, 9)
    memory.now = 4.0
    return memory, ids, times


def cpu_seconds(run: Callable[[], object], repeats: int = 1) -> float:
    """CPU time of one call."""
    start = time.process_time()
    for _ in range(repeats):
        run()
    return (time.process_time() - start) / repeats


def detector_of(size: Size, window: WindowSettings) -> Detector:
    """AIA on its backbone."""
    backbone = build_backbone(BACKBONE, width=size.width)
    channels = backbone.out_channels
    settings = HeadSettings(
        roi_channels=channels, bank_channels=channels, classes=CLASSES, dropout=0.2, mask="none",
        window_seconds=window.seconds, per_second=window.per_second, objects=OBJECTS,
    )  # fmt: skip
    head = build_head(HEAD, settings, {"latent": size.latent, "hidden": size.latent})
    return Detector(backbone, head, roi=RoiSettings(output_size=7, aligned=False)).train()


def measure(size: Size, seconds: int, repeats: int) -> tuple[Cost, Memory]:
    """Measure the memory and the step that uses it, for one length of the window."""
    window = WindowSettings(seconds=seconds, per_second=5, mask="none", score=0.0)
    detector = detector_of(size, window)
    optimiser = torch.optim.SGD(detector.parameters(), lr=1e-4, momentum=0.9)
    memory, ids, times = full_memory(size, detector.roi_channels)
    random = np.random.default_rng(1)
    clips = torch.rand(size.clips, 3, 64, size.side, size.side)
    corners = torch.rand(size.clips, OBJECTS, 2) * size.side / 2
    objects = ObjectBoxes(torch.cat([corners, corners + size.side / 3], dim=2), torch.ones(size.clips, OBJECTS) > 0)
    read_windows = WindowSource(memory, window).for_training(0)(0)

    def chosen() -> tuple[torch.Tensor, torch.Tensor]:
        keyframes = torch.from_numpy(random.integers(0, len(ids), size.clips))
        return keyframes, torch.repeat_interleave(torch.from_numpy(memory.counts[keyframes.numpy()]))

    def read(keyframes: torch.Tensor, clip_index: torch.Tensor) -> BankWindow:
        return read_windows([ids[each] for each in keyframes], times[keyframes.numpy()], clip_index)

    def write(keyframes: torch.Tensor, clip_index: torch.Tensor, rows: torch.Tensor) -> None:
        memory.keep(keyframes, clip_index, rows)
        memory.after_step(4.0)

    def step(keyframes: torch.Tensor, clip_index: torch.Tensor) -> None:
        boxes = corners[clip_index, 0]
        boxes = torch.cat([boxes, boxes + size.side / 3], dim=1)
        logits = detector(clips, boxes, clip_index, read(keyframes, clip_index), objects)
        optimiser.zero_grad()
        multilabel_loss(logits, torch.ones_like(logits)).backward()
        optimiser.step()

    cost = Cost([], [], [])
    for turn in range(repeats + 1):
        keyframes, clip_index = chosen()
        rows = torch.rand(len(clip_index), detector.roi_channels)
        of_turn = (
            cpu_seconds(partial(step, keyframes, clip_index)),
            cpu_seconds(lambda: read(*chosen()), CHEAP_REPEATS),
            cpu_seconds(partial(write, keyframes, clip_index, rows), CHEAP_REPEATS),
        )
        if turn:  # the first does not count
            for times_of, value in zip((cost.step, cost.read, cost.write), of_turn, strict=True):
                times_of.append(value)
    return cost, memory


def main(
    films: Annotated[int, typer.Option(min=1)] = 235,
    seconds: Annotated[int, typer.Option(min=1, help="Keyframes of a film.")] = 784,
    persons: Annotated[float, typer.Option(min=1, help="Mean boxes of a keyframe.")] = 2.3,
    clips: Annotated[int, typer.Option(min=1, help="Clips of a step.")] = 2,
    side: Annotated[int, typer.Option(min=32, help="Pixels of a clip.")] = 256,
    width: Annotated[int, typer.Option(min=0, help="Of the backbone; 0 for the published one.")] = 0,
    latent: Annotated[int, typer.Option(min=1, help="Of the head.")] = 1024,
    windows: Annotated[str, typer.Option(help="Seconds, separated by commas.")] = "61,15,121",
    repeats: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Print the table."""
    set_numerics(compute_dtype="fp32", deterministic=False, threads=1)
    size, rows = Size(films, seconds, persons, clips, side, width or None, latent), []
    for length in map(int, windows.split(",")):
        cost, memory = measure(size, length, repeats)
        read, write, step = (statistics.median(each) for each in (cost.read, cost.write, cost.step))
        ratio = f"{statistics.median(cost.ratios):.3%} ({min(cost.ratios):.3%}-{max(cost.ratios):.3%})"
        rows.append([f"{length} s", f"{1000 * read:.1f} ms", f"{1000 * write:.2f} ms", f"{step:.2f} s", ratio])
        held = memory.rows.numel() * 4 / 2**30
    count, channels = memory.rows.shape
    print(f"{films * seconds} keyframes, {count - 1} rows of {channels}: {held:.2f} GiB; {clips} clips")
    print(table(["window", "read", "write", "step", "read and write, of the step"], rows))


if __name__ == "__main__":
    typer.run(main)
