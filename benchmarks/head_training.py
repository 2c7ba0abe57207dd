"""Train heads at any scale from banks alone: measure time, the share of the gather, memory, and what they learn.

    python -m benchmarks.head_training FOLDER [--films 299 --epochs 20 --batch 96 --device cuda]

Makes the banks of `benchmarks.synthetic_bank` in FOLDER if they are absent, and trains on them with the stage
`train_head` (scope head, bank=external). Each head has its own process, so that its peak memory can be measured. FOLDER
has no videos, frames or weights. Writes FOLDER/head_training.json and prints the same as Markdown.

Functions of the product are wrapped here with clocks; the product itself has none. On a GPU each clock waits for the
device before and after. `--processes N` trains once more, in N processes, and measures their memory together.
`benchmarks.head_steps` compares single steps with another checkout.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any
from unittest.mock import patch

import torch
import typer

from benchmarks.measuring import apart, memory_mib, peak_mib, table, tree
from benchmarks.synthetic_bank import NAME, PRODUCER, Size, write_all
from pipeline.base.files import read_json, write_json
from pipeline.project.compose import compose_params, params_text
from pipeline.tables.label_map import read_labels

REPOSITORY = Path(__file__).resolve().parent.parent
GROUPS = ("momentary", "long-term")
# Part of the time: where the function stands that is timed. `slots`, `rows read` and `gather` are within training and
# validation. Heads with attention read rows without a gather, once for each layer and once more for its gradient.
PLACES = {
    "windows opened": "pipeline.training.head_training.window_source",
    "rows found": "pipeline.training.head_training.training_rows",
    "statistics": "pipeline.training.head_training.fit_statistics",
    "slots": "pipeline.bank.windows.slots.Windows.slots",
    "rows read": "pipeline.models.window_blocks.Blocks.read",
    "gather, streamed": "pipeline.bank.windows.streamed.StreamedWindows.gather",
    "features of persons": "pipeline.bank.row_places.StoredFeatures.take",
}


class Clock:
    """Seconds of each part, and of each epoch."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)
        self.epochs: list[dict[str, float]] = []

    def now(self) -> float:
        """The time, once the GPU has done what it was told."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, whose time counts as `part`."""

        def call(*arguments: Any, **keywords: Any) -> Any:
            start = self.now()
            try:
                return function(*arguments, **keywords)
            finally:
                self.seconds[part] += self.now() - start

        return call

    def of_epoch(self, steps_of: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """`row_steps`, from whose first step to its end an epoch lasts."""

        def steps(*arguments: Any, **keywords: Any) -> Iterator[Any]:
            start, before, count = self.now(), dict(self.seconds), 0
            for step in steps_of(*arguments, **keywords):
                count += 1
                yield step
            parts = {part: value - before.get(part, 0.0) for part, value in self.seconds.items()}
            self.epochs.append({**parts, "all": self.now() - start, "steps": count})

        return steps


def compose(folder: Path, head: str, more: list[str]) -> None:
    """Write the parameters of a run: the published schedule on the banks in `folder`."""
    bank = f"data/{NAME}/bank"
    classes = len(read_labels(folder / "data" / NAME / "annotations" / "labels.json"))
    overrides = [
        *("dataset=ava22", f"dataset.name={NAME}", f"dataset.classes={classes}", f"head={head}", "scope=head"),
        *("bank=external", f"bank.train={bank}/train.zarr", f"bank.val={bank}/val.zarr", f"bank.producer={PRODUCER}"),
        *("head_train.init=baseline", *more),
    ]
    (folder / "params.yaml").write_text(params_text(compose_params(overrides, REPOSITORY / "conf")))


def train(folder: Path, device: str, windows: str) -> dict[str, Any]:
    """Run the stage in this process; what it took and what it learned."""
    os.chdir(folder)
    os.environ["DVC_ROOT"] = str(folder)
    clock = Clock(device)
    replaced = {where: clock.timed(part, resolve_name(where)) for part, where in PLACES.items()}
    steps = "pipeline.training.row_task.row_steps"
    replaced[steps] = clock.of_epoch(resolve_name(steps))
    with contextlib.ExitStack() as patches:
        for where, function in replaced.items():
            patches.enter_context(patch(where, new=function))
        start = clock.now()
        resolve_name("stages.train_head.train_head")(device=device, windows=windows)
        seconds = clock.now() - start
    metrics = read_json(folder / "results/head/metrics.json")
    found = {"seconds": seconds, "parts": dict(clock.seconds), "epochs": clock.epochs, "peak_mib": peak_mib()}
    if device.startswith("cuda"):
        found["peak_gpu_mib"] = torch.cuda.max_memory_allocated() / 2**20
    return {**found, "keyframes": metrics["keyframes"], "loss": metrics["loss"], "validation": metrics["validation"]}


def memory_of_processes(folder: Path, device: str, windows: str, processes: int) -> dict[str, float]:
    """Largest sums over all processes of one run of the stage: resident and proportional memory, MiB."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "DVC_ROOT": str(folder)}
    words = ["stages.train_head", "--device", device, "--windows", windows, "--processes", str(processes)]
    largest = {"rss": 0.0, "pss": 0.0}
    with subprocess.Popen([sys.executable, "-m", *words], cwd=folder, env=environment) as stage:
        while stage.poll() is None:
            found = []
            for pid in tree(stage.pid):
                with contextlib.suppress(OSError):  # it has just ended
                    found.append(memory_mib(pid))
            for kind in largest:
                largest[kind] = max(largest[kind], sum(each[kind] for each in found))
            time.sleep(0.2)
    if stage.returncode:
        raise SystemExit(f"train_head in {processes} processes ended with status {stage.returncode}")
    return largest


def report(results: dict[str, Any]) -> str:
    """The tables."""
    rows, scores = [], []
    for head, found in results["heads"].items():
        epochs = found["epochs"]
        each = sorted(epoch["all"] for epoch in epochs)[len(epochs) // 2]
        total = sum(epoch["all"] for epoch in epochs)
        share = {
            part: sum(epoch.get(name, 0.0) for epoch in epochs for name in names) / total
            for part, names in (
                ("windows", ("slots", "rows read", "gather, streamed")),
                ("persons", ("features of persons",)),
            )
        }
        before = found["seconds"] - total
        rows.append(
            [head, found["keyframes"], len(epochs), f"{each:.1f} s", f"{1000 * each / epochs[0]['steps']:.1f} ms"]
            + [f"{share['windows']:.1%}", f"{share['persons']:.1%}", f"{before:.1f} s", f"{found['peak_mib']:.0f} MiB"]
            + ([f"{found['peak_gpu_mib']:.0f} MiB"] if "peak_gpu_mib" in found else [])
        )
        validation = found["validation"]
        scores.append([head, *(f"{validation[f'{group}_ground_truth']:.3f}" for group in GROUPS)])
    header = ["head", "keyframes", "epochs", "an epoch", "a step", "windows", "persons", "all else", "peak memory"]
    header += ["peak GPU memory"] if any("peak_gpu_mib" in found for found in results["heads"].values()) else []
    text = [table(header, rows), "", table(["head", *(f"AP, {group}" for group in GROUPS)], scores)]
    for processes, found in results["processes"].items():
        text += ["", f"{processes} processes together: {found['rss']:.0f} MiB RSS, {found['pss']:.0f} MiB PSS"]
    return "\n".join(text)


def main(
    folder: Path,
    films: Annotated[int, typer.Option(min=2, help="Films of both splits.")] = 299,
    val_films: Annotated[int, typer.Option(min=1)] = 64,
    seconds: Annotated[int, typer.Option(min=1)] = 897,
    channels: Annotated[int, typer.Option(min=8)] = 2048,
    classes: Annotated[int, typer.Option(min=4)] = 60,
    epochs: Annotated[int, typer.Option(min=1)] = 20,
    batch: Annotated[int, typer.Option(min=1, help="Keyframes of an optimiser step.")] = 96,
    heads: Annotated[str, typer.Option(help="Separated by commas.")] = "linear,lfb_nl",
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    windows: Annotated[str, typer.Option(help="resident or streamed.")] = "resident",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    processes: Annotated[int, typer.Option(min=1, help="Above 1: also measure the memory of so many.")] = 1,
    override: Annotated[list[str] | None, typer.Option(help="Further parameters, e.g. sizes.latent=64.")] = None,
) -> None:
    """Train the heads and print the tables."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    size = Size(films, val_films, seconds, channels, classes)
    if not (folder / "size.json").is_file() or read_json(folder / "size.json") != asdict(size):
        write_all(folder, size, workers=threads)
        write_json(folder / "size.json", asdict(size))
    more = [f"head_train.schedule.epochs={epochs}", f"head_train.validation.interval={epochs}"]
    more += [f"head_train.global_batch={batch}", f"head_train.bn_batch={batch}", f"head_train.threads={threads}"]
    results: dict[str, Any] = {"size": asdict(size), "device": device, "windows": windows, "heads": {}, "processes": {}}
    for head in heads.split(","):
        compose(folder, head, [*more, *(override or [])])
        results["heads"][head] = apart(train, folder, device, windows)
        write_json(folder / "head_training.json", results)
    if processes > 1:
        parts = [f"head_train.bn_batch={-(-batch // processes)}"]
        compose(folder, heads.split(",")[-1], [*more, *parts, *(override or [])])
        results["processes"][processes] = memory_of_processes(folder, device, windows, processes)
        write_json(folder / "head_training.json", results)
    print(report(results))


if __name__ == "__main__":
    typer.run(main)
