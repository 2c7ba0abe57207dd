"""CPU time and memory of a training step and of scoring of heads that read windows, beside another checkout.

    python -m benchmarks.head_steps FOLDER --beside CHECKOUT [--heads lfb_nl,lfb_nl_split,aia_serial --persons 4,20]

Makes the banks of `benchmarks.synthetic_bank` in FOLDER if they are absent; windows are read from them as `train_head`
reads them, and persons' features are drawn. Keyframes are drawn from all films to train; to score they follow each
other in a film, as `evaluate` asks for them. Both sides run in turns, each time in a process of their own and in one
thread; a time is the smallest of the turns, memory the most that the process held beside files and what it had before.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

REPOSITORY = Path(__file__).resolve().parent.parent
MODES = ("train", "score")


@dataclass(frozen=True)
class Case:
    """What is measured."""

    head: str
    persons: int
    "Of each clip."
    mode: str
    batch: int
    latent: int
    repeats: int


def anonymous_mib() -> float:
    """Memory of this process that is no file; Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(each for each in lines if each.startswith("RssAnon")).split()[1]) / 1024


@contextlib.contextmanager
def watched(peak: list[float]) -> Any:
    """Append the largest `anonymous_mib` of the block to `peak`."""
    done, found = threading.Event(), [anonymous_mib()]

    def watch() -> None:
        while not done.wait(0.01):
            found[0] = max(found[0], anonymous_mib())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        peak.append(max(found[0], anonymous_mib()))


def measure(folder: Path, case: Case) -> dict[str, float]:
    """Time a side in this process, whose `pipeline` is that of its checkout."""
    from pipeline.bank.reader import open_bank
    from pipeline.bank.windows.resident import ResidentWindows, resident_file
    from pipeline.features.windows import WindowSource
    from pipeline.models import context
    from pipeline.models.heads.head import HeadSettings
    from pipeline.models.heads.table import build_head
    from pipeline.models.settings import WindowSettings
    from pipeline.models.standardise import Standardise, StandardisedHead

    torch.set_num_threads(1)
    os.chdir(folder)
    bank = open_bank(folder / "data/synthetic/bank/train.zarr")
    score = bank.provenance["box_threshold"]
    windows = ResidentWindows([bank], min_score=score, file=resident_file([bank], min_score=score))
    window = WindowSettings(seconds=60, per_second=5, mask="valid", score=score)
    source, rng = WindowSource(windows, window), np.random.default_rng(0)
    if case.mode == "train":
        read = source.for_training(0)(0)
        videos = [bank.videos[each] for each in rng.integers(0, len(bank.videos), case.batch)]
        times = (902 + rng.integers(0, 800, case.batch)).astype(np.float64)
    else:
        read = source.for_evaluation()
        videos, times = [bank.videos[0]] * case.batch, np.arange(1000, 1000 + case.batch).astype(np.float64)
    of_clip = context.ObjectRows(torch.rand(case.batch, 5, bank.channels), torch.ones(case.batch, 5, dtype=torch.bool))
    objects = of_clip if case.head.startswith("aia") else None
    torch.manual_seed(0)
    settings = HeadSettings(
        roi_channels=bank.channels, bank_channels=bank.channels, classes=60, window_seconds=60, per_second=5,
        objects=5 if objects else 0,
    )  # fmt: skip
    statistics = [Standardise(torch.full((bank.channels,), 0.5), torch.full((bank.channels,), 0.3)) for _ in range(2)]
    head = StandardisedHead(
        build_head(case.head, settings, {"latent": case.latent}), roi=statistics[0], bank=statistics[1]
    )
    clip_index = torch.arange(case.batch).repeat_interleave(case.persons)
    roi = torch.rand(len(clip_index), bank.channels)

    def run() -> None:
        head.train(case.mode == "train")
        windows = read(videos, times, clip_index)
        if case.mode == "score" and hasattr(context, "KeptRows"):  # the other checkout may have none
            windows = replace(windows, kept=context.KeptRows())
        with torch.set_grad_enabled(case.mode == "train"):
            logits = head(roi, context.Context(clip_index, windows, objects=objects))
        if case.mode == "train":
            head.zero_grad()
            logits.square().mean().backward()

    before, peak = anonymous_mib(), list[float]()
    with watched(peak):
        run()
    seconds = []
    for _ in range(case.repeats):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return {"seconds": min(seconds), "mib": peak[0] - before}


def side(checkout: Path, folder: Path, case: Case) -> dict[str, float]:
    """Measure a checkout in a fresh process."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "DVC_ROOT": str(folder), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-P", str(Path(__file__).resolve()), str(folder), "--case", json.dumps(vars(case))]
    done = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(folder: Path, case: Case, beside: Path, turns: int) -> list[str]:
    """Return a row of the table."""
    found: dict[Path, list[dict[str, float]]] = {beside: [], REPOSITORY: []}
    for _ in range(turns):
        for checkout, each in found.items():
            each.append(side(checkout, folder, case))
    theirs, ours = ({key: min(each[key] for each in sides) for key in ("seconds", "mib")} for sides in found.values())
    return [
        case.head, case.mode, str(case.persons), f"{theirs['seconds']:.2f} s", f"{ours['seconds']:.2f} s",
        f"{theirs['seconds'] / ours['seconds']:.1f} x", f"{theirs['mib']:.0f} MiB", f"{ours['mib']:.0f} MiB",
        f"{ours['mib'] / theirs['mib']:.2f}" if theirs["mib"] else "-",
    ]  # fmt: skip


def main(
    folder: Path,
    beside: Annotated[Path, typer.Option(help="Checkout of the other side.")] = REPOSITORY,
    heads: Annotated[str, typer.Option(help="Separated by commas.")] = "lfb_nl,lfb_nl_split,aia_serial",
    persons: Annotated[str, typer.Option(help="Persons of a clip, separated by commas.")] = "4,20",
    modes: Annotated[str, typer.Option(help="train and score, separated by commas.")] = ",".join(MODES),
    batch: Annotated[int, typer.Option(min=1, help="Keyframes.")] = 96,
    latent: Annotated[int, typer.Option(min=1)] = 512,
    films: Annotated[int, typer.Option(min=2)] = 40,
    channels: Annotated[int, typer.Option(min=128)] = 2048,
    turns: Annotated[int, typer.Option(min=1)] = 2,
    repeats: Annotated[int, typer.Option(min=1, help="Of a process, after one that is not timed.")] = 2,
    case: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Measure all cases and print a table."""
    folder = folder.resolve()
    if case:
        print(json.dumps(measure(folder, Case(**json.loads(case)))))
        return
    from benchmarks.measuring import table
    from benchmarks.synthetic_bank import Size, write_all

    if not (folder / "data/synthetic/bank/train.zarr").exists():
        write_all(folder, Size(films, 2, 897, channels), workers=2)
    rows = []
    for head in heads.split(","):
        for mode in modes.split(","):
            for count in persons.split(","):
                chosen = Case(head, int(count), mode, batch, latent, repeats)
                rows.append(compare(folder, chosen, beside.resolve(), turns))
                print(table(["head", "", "persons", "theirs", "ours", "", "theirs", "ours", ""], rows), flush=True)


if __name__ == "__main__":
    typer.run(main)
