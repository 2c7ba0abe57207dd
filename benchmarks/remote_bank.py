"""Train a head on banks in an object store, against the same banks on this machine.

    python -m benchmarks.remote_bank FOLDER [--films 8 --seconds 897 --channels 2048 --head lfb_max]

Makes the banks of `benchmarks.synthetic_bank` in FOLDER if they are absent, and puts them into an S3 service on
loopback (moto), which is another process. Then the stage `train_head` (scope head, bank=external, streamed windows)
trains on each side, in a process of its own with an empty cache folder: on the folders, on `s3://`, on `s3://` without
fetching ahead, and on `s3://` with a cache for half of the train bank. All sides must end with the same weights. Prints
wall and CPU time of each epoch, and the ratios to those of the folders; CPU time is the trainer's alone. Loopback has
no latency; moto shares the cores.
"""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import fsspec
import typer

from benchmarks.head_training import compose
from benchmarks.measuring import apart, peak_mib, table
from benchmarks.synthetic_bank import NAME, Size, write_all
from pipeline.base.files import digest_file, files_below, write_json
from pipeline.training import row_task
from pipeline.training.row_steps import row_steps
from tests.s3 import CREDENTIALS, s3_service

HERE, ELSEWHERE = "folder", "s3"
WITHOUT_AHEAD, HALF = "s3, nothing ahead", "s3, cache of half"
SIDES = (HERE, ELSEWHERE, WITHOUT_AHEAD, HALF)


@dataclass(frozen=True)
class Found:
    """What a training took."""

    start: tuple[float, float]  # wall and CPU seconds before the first step
    epochs: list[tuple[float, float]]  # wall and CPU seconds of each
    cached_mb: float
    peak_mib: float
    weights: str  # sha256


def both_clocks() -> tuple[float, float]:
    """Wall seconds, and CPU seconds of this process."""
    return time.perf_counter(), time.process_time()


def train(folder: Path, side: str, head: str, epochs: int, half_mb: int) -> Found:
    """Run the stage in this process."""
    from stages.train_head import train_head

    os.chdir(folder)
    cache = folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    os.environ |= {"DVC_ROOT": str(folder), "XDG_CACHE_HOME": str(cache)}
    if side == HALF:
        os.environ["ACTIONBANK_BANK_CACHE"] = str(half_mb)
    bank = f"data/{NAME}/bank" if side == HERE else "s3://banks/plain"
    more = [f"head_train.schedule.epochs={epochs}", "head_train.validation.interval=0"]
    compose(folder, head, [f"bank.train={bank}/train.zarr", f"bank.val={bank}/val.zarr", *more])
    marks: list[tuple[float, float]] = []

    def marked(*arguments: Any, **keywords: Any) -> Any:
        marks.append(both_clocks())
        yield from row_steps(*arguments, **keywords)
        marks.append(both_clocks())

    before = both_clocks()
    with patch.object(row_task, "row_steps", marked):
        if side == WITHOUT_AHEAD:
            with patch("pipeline.training.row_steps.films_ahead", lambda batches, *_: iter(batches)):
                train_head(device="cpu", windows="streamed")
        else:
            train_head(device="cpu", windows="streamed")
    cached = sum((cache / name).stat().st_size for name in files_below(cache)) if cache.exists() else 0
    spans = [(after[0] - first[0], after[1] - first[1]) for first, after in zip(marks[::2], marks[1::2], strict=True)]
    start = (marks[0][0] - before[0], marks[0][1] - before[1])
    return Found(start, spans, cached / 1e6, peak_mib(), digest_file(folder / "models/head.safetensors"))


def show(found: dict[str, list[Found]]) -> str:
    """The results as Markdown: the least of the turns."""
    epochs = len(found[HERE][0].epochs)
    header = ["rows from", "start", *(f"epoch {each + 1}" for each in range(epochs)), "cache", "memory"]
    base = [min(each.epochs[number] for each in found[HERE]) for number in range(epochs)]
    rows = []
    for side, turns in found.items():
        cells = []
        for number in range(epochs):
            wall, cpu = min(each.epochs[number] for each in turns)
            ratios = f"{wall / base[number][0]:.2f} x ({cpu / base[number][1]:.2f} x)"
            cells.append(f"{wall:.2f} s ({cpu:.2f} s CPU), {ratios}")
        wall, cpu = min(each.start for each in turns)
        start = f"{wall:.2f} s ({cpu:.2f} s CPU)"
        rows.append([side, start, *cells, f"{turns[0].cached_mb:.0f} MB", f"{turns[0].peak_mib:.0f} MiB"])
    return table(header, rows)


def main(
    folder: Path,
    films: Annotated[int, typer.Option(min=2, help="Films of both splits.")] = 8,
    seconds: Annotated[int, typer.Option(min=1, help="Length of a film.")] = 897,
    channels: Annotated[int, typer.Option(min=8)] = 2048,
    head: Annotated[str, typer.Option(help="A head that reads windows.")] = "lfb_max",
    epochs: Annotated[int, typer.Option(min=1)] = 2,
    turns: Annotated[int, typer.Option(min=1, help="Trainings of each side.")] = 1,
    side: Annotated[list[str], typer.Option(help="Sides; all if none is named.")] = [],  # noqa: B006
) -> None:
    """Measure."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    size = Size(films=films, val_films=1, seconds=seconds, channels=channels, classes=20)
    banks = folder / "data" / NAME / "bank"
    if not banks.is_dir():
        write_all(folder, size, workers=1)
    half_mb = sum((banks / "train.zarr" / name).stat().st_size for name in files_below(banks / "train.zarr")) >> 21
    os.environ.update(CREDENTIALS)
    found: dict[str, list[Found]] = {each: [] for each in side or SIDES}
    with s3_service(folder) as endpoint:
        os.environ["AWS_ENDPOINT_URL"] = endpoint
        store = fsspec.filesystem("s3")
        for split in ("train", "val"):
            store.put(str(banks / f"{split}.zarr"), f"banks/plain/{split}.zarr", recursive=True)
        for _ in range(turns):
            for each, results in found.items():
                results.append(apart(train, folder, each, head, epochs, half_mb))
                typer.echo(f"{each}: {results[-1]}", err=True)
    if len({each.weights for results in found.values() for each in results}) != 1:
        raise ValueError("the sides ended with different weights, expected the same")
    write_json(folder / "remote_bank.json", {each: [vars(one) for one in results] for each, results in found.items()})
    print(show(found))


if __name__ == "__main__":
    typer.run(main)
