"""Measure the feature bank side by side with MMAction2's way and with plain copies of the same bytes.

    python -m benchmarks.bank FOLDER [--films 299 --seconds 897 --channels 2048]

Makes a bank in FOLDER (2 GB at the size of AVA, 6 GB with the reference's file and the flat file; kept for the next
run), measures, writes FOLDER/bank.json and prints the same as Markdown, each target with the measured value. Every
figure is a median of turns in which the sides alternate; each measurement of memory has its own process.
"""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor

from benchmarks.bank_memory import LOADERS, SCORE, Paths, load, stream_all, together
from benchmarks.bank_reference import load_reference, reference_batch, their_batch, their_lfb, write_reference
from benchmarks.bank_writing import write_large_bank, write_speed
from benchmarks.measuring import apart, in_turns, median_ratio, seconds_of, table
from benchmarks.synthetic_bank import Size, write_bank
from pipeline.bank.reader import open_bank
from pipeline.bank.windows.resident import ResidentWindows, resident_file
from pipeline.bank.windows.streamed import StreamedWindows
from pipeline.base.files import read_json, write_json
from pipeline.base.work import list_items, remove_item
from pipeline.features.windows import reader

SHAPE: dict[str, Any] = {"seconds": 60, "per_second": 5}
PERSONS = 4  # of a clip, where the reference is asked for each
MOST_SIDES = 7  # of `measure_windows_cpu`


@dataclass
class Found:
    """Results as they are measured."""

    values: dict[str, Any] = field(default_factory=dict)
    targets: list[dict[str, Any]] = field(default_factory=list)

    def target(self, what: str, value: float, limit: float, *, most: bool, unit: str = "x") -> None:
        """Note a figure beside what it should be at most, or at least."""
        met = value <= limit if most else value >= limit
        self.targets.append(
            {"what": what, "value": value, "unit": unit, "limit": limit, "most": most, "met": bool(met)}
        )

    def lines(self) -> list[list[str]]:
        """Rows of the table of targets."""
        lines = []
        for each in self.targets:
            wanted = f"at {'most' if each['most'] else 'least'} {each['limit']:g} {each['unit']}"
            verdict = "met" if each["met"] else "missed"
            lines.append([each["what"], f"{each['value']:.3g} {each['unit']}", wanted, verdict])
        return lines


def make_files(folder: Path, size: Size, *, workers: int) -> Paths:
    """The bank of `size`, the reference's file and the flat file, where they are not there yet."""
    os.environ["DVC_ROOT"] = str(folder.absolute())  # the flat file is an item of its `.work`, for all processes
    bank, reference = folder / "bank.zarr", folder / "reference.pkl"
    made = folder / "made.json"
    if not made.is_file() or read_json(made) != asdict(size):
        write_bank(bank, "train", size, workers=workers, annotated=False)
        write_reference(bank, reference)
        for _, key, _, _ in list_items():
            remove_item("windows", key)
        write_json(made, asdict(size))
    seconds = seconds_of(lambda: resident_file([open_bank(bank)], min_score=SCORE))
    flat = resident_file([open_bank(bank)], min_score=SCORE)
    print(f"flat file: {flat.stat().st_size / 2**20:.0f} MiB, made or found in {seconds:.2f} s")
    return Paths(bank, reference, flat)


def measure_open(paths: Paths, found: Found, repeats: int) -> None:
    """Open and validate by the manifest."""
    times = in_turns({"open": lambda _: open_bank(paths.bank)}, repeats)["open"]
    found.values["open_ms"] = [1000 * each for each in times]
    found.target("open and validate", 1000 * statistics.median(times), 20, most=True, unit="ms")


def measure_load(paths: Paths, found: Found, repeats: int, workers: int) -> None:
    """Load times and memory, with the files in the page cache and read from the disk again."""
    loads: dict[str, Any] = {}
    for state in ("warm", "cold"):
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in LOADERS}
        for turn in range(repeats):
            for name in list(LOADERS)[:: 1 if turn % 2 else -1]:
                runs[name].append(apart(load, name, paths, state == "cold"))
        loads[state] = runs
    found.values["load"] = loads
    for state, runs in loads.items():
        seconds = {name: [run["seconds"] for run in each] for name, each in runs.items()}
        for kind in ("mapped", "read"):
            ours = seconds[f"resident, {kind}"]
            found.target(
                f"load, {kind}, {state}: reference / ours", median_ratio(seconds["reference"], ours), 7, most=False
            )
            found.target(
                f"load, {kind}, {state}: ours / plain read", median_ratio(ours, seconds["plain read"]), 1.3, most=True
            )
    payload = paths.flat.stat().st_size / 2**20
    memory = {name: together(name, paths, workers) for name in ("resident, mapped", "resident, read")}
    found.values["together"] = {"workers": workers, "payload_mib": payload, **memory}
    found.target(f"PSS of {workers} processes / payload", memory["resident, mapped"]["pss"] / payload, 1.1, most=True)


def batches_of(paths: Paths, count: int, batch: int) -> list[list[tuple[str, int]]]:
    """Random keyframes, the same in every run."""
    bank = open_bank(paths.bank)
    rng = np.random.default_rng(0)
    seen = {video: bank.timestamps_seen(video) for video in bank.videos}
    videos = [[bank.videos[i] for i in rng.integers(0, len(bank.videos), batch)] for _ in range(count)]
    return [[(video, int(rng.choice(seen[video]))) for video in each] for each in videos]


def measure_windows(paths: Paths, found: Found, repeats: int, batch: int) -> None:
    """A batch of windows in every way; turn i is about the same keyframes on every side."""
    bank = open_bank(paths.bank)
    batches = batches_of(paths, repeats + 1, batch)
    split = [([video for video, _ in each], [float(second) for _, second in each]) for each in batches]
    resident = ResidentWindows([bank], min_score=SCORE, file=paths.flat)
    resident.features[:, 0].sum()  # read every page
    streamed = StreamedWindows([bank], min_score=SCORE)
    uncached = StreamedWindows([bank], min_score=SCORE, cache_bytes=1)
    reference = load_reference(paths.reference)
    shape = (batch, SHAPE["seconds"] * SHAPE["per_second"], bank.channels)
    rows = shape[0] * shape[1]
    buffer = torch.zeros(shape, dtype=torch.float16)
    flat = buffer.view(rows, -1)
    starts = np.random.default_rng(1).integers(0, max(1, len(resident.features) - rows), repeats + 1)

    def packed(turn: int) -> None:
        slots = resident.slots(*split[turn], **SHAPE).view(-1)
        valid = slots[slots != 0]
        torch.index_select(resident.features, 0, valid, out=flat[: len(valid)])

    def windows(kind: Any) -> Callable[[int], tuple[Tensor, Tensor]]:
        return lambda turn: kind.gather(kind.slots(*split[turn], **SHAPE), buffer)

    def copy(turn: int) -> None:
        source = resident.features[starts[turn] : starts[turn] + rows]
        flat[: len(source)].copy_(source)

    expected = windows(resident)(0)[0].clone()
    for other in (streamed, uncached):
        if not torch.equal(windows(other)(0)[0], expected):
            raise AssertionError("streamed windows are not those of the resident bank")
    for turn in range(repeats + 1):
        windows(streamed)(turn)  # the page cache, and the cache of videos as far as it goes
    times = in_turns(
        {
            "reference": lambda turn: reference_batch(reference, batches[turn], channels=bank.channels, **SHAPE),
            "resident, padded": windows(resident),
            "resident, packed": packed,
            "streamed": windows(streamed),
            "streamed, no cache": windows(uncached),
            "plain copy": copy,
        },
        repeats,
    )
    found.values["windows_ms"] = {name: [1000 * each for each in some] for name, some in times.items()}
    found.values["valid_rows"] = int((resident.slots(*split[0], **SHAPE) != 0).sum())
    found.target(
        "resident, padded / plain copy", median_ratio(times["resident, padded"], times["plain copy"]), 1.3, most=True
    )
    for name, least in (("resident, padded", 20), ("resident, packed", 35), ("streamed", 1), ("streamed, no cache", 1)):
        found.target(f"windows: reference / {name}", median_ratio(times["reference"], times[name]), least, most=False)


def measure_windows_cpu(paths: Paths, found: Found, repeats: int, batch: int, theirs: Path | None) -> None:
    """CPU time of a batch of windows in one thread: ours, and references asked for a clip or, as upstream, a person.

    Ours are copied as they are stored; or they become float32, as those of the references are, in memory that is used
    again, as our stages use it, or in new memory.
    """
    bank = open_bank(paths.bank)
    batches = batches_of(paths, (repeats + 1) * MOST_SIDES, batch)
    shape = {**SHAPE, "channels": bank.channels}
    resident = ResidentWindows([bank], min_score=SCORE, file=paths.flat)
    reference = load_reference(paths.reference)
    resident.features[:, 0].sum()  # read every page, after what may push some out of memory
    ways: dict[str, Callable[[list[tuple[str, int]]], Tensor]] = {
        "reference": lambda keyframes: reference_batch(reference, keyframes, **shape)
    }
    if theirs is not None:
        lfb = their_lfb(theirs, reference, **shape)
        ways["MMAction2's class"] = lambda keyframes: their_batch(lfb, keyframes)
    read, floats = reader(resident), torch.zeros(batch, SHAPE["seconds"] * SHAPE["per_second"], bank.channels)
    buffer = floats.half()

    def slots(turn: int) -> Tensor:
        keyframes = batches[turn]
        return resident.slots([video for video, _ in keyframes], [float(at) for _, at in keyframes], **SHAPE)

    sides: dict[str, Callable[[int], Any]] = {
        "ours, as stored": lambda turn: resident.gather(slots(turn), buffer),
        "ours, float32": lambda turn: floats.copy_(resident.gather(slots(turn), buffer)[0]),
        "ours, float32 in new memory": lambda turn: read(slots(turn), torch.arange(batch)).whole(torch.float32),
    }
    for name, way in ways.items():
        sides[f"{name}, a clip"] = lambda turn, way=way: way(batches[turn])  # type: ignore[misc]
        sides[f"{name}, {PERSONS} persons of a clip"] = lambda turn, way=way: way(  # type: ignore[misc]
            [each for each in batches[turn] for _ in range(PERSONS)]
        )
    found.values["windows_cpu"] = cpu_times(sides, repeats + 1)


def cpu_times(sides: dict[str, Callable[[int], Any]], turns: int) -> dict[str, list[float]]:
    """CPU seconds of each side and turn, in one thread; the first turn is left out.

    Each call has a number of its own, and so other keyframes: none finds in the cache what another has read.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(turns):
        for place, (name, side) in enumerate(sides.items()):
            start = time.process_time()
            side(turn * len(sides) + place)
            spent[name].append(time.process_time() - start)
    torch.set_num_threads(threads)
    return {name: each[1:] for name, each in spent.items()}


def cpu_table(found: Found) -> str:
    """The table of `measure_windows_cpu`."""
    spent = found.values["windows_cpu"]
    rows = [
        [name, f"{1000 * statistics.median(each):.3g} ms"]
        + [f"{median_ratio(each, spent[f'ours, {kind}']):.3g}" for kind in ("as stored", "float32")]
        for name, each in spent.items()
    ]
    return table(["a batch of windows, CPU time in one thread", "", "to ours as stored", "to ours in float32"], rows)


def measure_streaming(folder: Path, found: Found, size: Size, few: int, many: int) -> None:
    """Peak memory of streamed windows of a small and of a very large bank."""
    peaks: dict[int, float] = {}
    for films in (few, many):
        path = folder / f"{films}_{size.seconds}_{size.channels}.zarr"
        if not path.is_dir():
            write_large_bank(path, size, films=films)
        peaks[films] = apart(stream_all, path, 16.0)["peak_mib"]
        bank = open_bank(path)
        found.values.setdefault("streaming", {})[films] = {
            "bank_mib": bank.count("detections") * bank.channels * 2 / 2**20,
            "peak_mib": peaks[films],
            "open_ms": 1000 * seconds_of(partial(open_bank, path)),
        }
    found.target(f"streamed, peak memory of {many} films / of {few}", peaks[many] / peaks[few], 1.1, most=True)


def report(found: Found) -> str:
    """The tables."""
    lines = []
    for state, runs in found.values["load"].items():
        for name, each in runs.items():
            seconds = statistics.median(run["seconds"] for run in each)
            lines.append([f"{name}, {state}", f"{seconds:.3g} s", f"{max(run['peak_mib'] for run in each):.0f} MiB"])
    memory = found.values["together"]
    shared = [
        [name, f"{memory[name]['rss']:.0f} MiB", f"{memory[name]['pss']:.0f} MiB", f"{memory['payload_mib']:.0f} MiB"]
        for name in ("resident, mapped", "resident, read")
    ]
    copy = found.values["windows_ms"]["plain copy"]
    windows = [
        [name, f"{statistics.median(some):.3g} ms", f"{median_ratio(some, copy):.2f}"]
        for name, some in found.values["windows_ms"].items()
    ]
    streaming = [
        [films, *(f"{each[name]:.4g}" for name in ("bank_mib", "peak_mib", "open_ms"))]
        for films, each in found.values["streaming"].items()
    ]
    writing = found.values["writing"]
    written = [
        [name, f"{statistics.median(some):.3g} s", f"{writing['bytes'] / statistics.median(some) / 1e6:.0f} MB/s"]
        for name, some in writing["seconds"].items()
    ]
    return "\n\n".join(
        [
            table(["load", "time", "added peak memory"], lines),
            table([f"{memory['workers']} processes", "RSS", "PSS", "payload"], shared),
            table(["a batch of windows", "time", "to a plain copy"], windows),
            cpu_table(found),
            table(["films, streamed", "bank, MiB", "peak, MiB", "open, ms"], streaming),
            table(["write", "time", "speed"], written),
            table(["target", "found", "wanted", ""], found.lines()),
        ]
    )


def main(
    folder: Path,
    films: Annotated[int, typer.Option(min=1)] = 299,
    seconds: Annotated[int, typer.Option(min=1)] = 897,
    channels: Annotated[int, typer.Option(min=8)] = 2048,
    batch: Annotated[int, typer.Option(min=1, help="Windows of a batch.")] = 16,
    repeats: Annotated[int, typer.Option(min=1, help="Turns of the short measurements.")] = 30,
    loads: Annotated[int, typer.Option(min=1, help="Turns of loading and of writing.")] = 3,
    workers: Annotated[int, typer.Option(min=1, help="Processes that hold the bank together.")] = 4,
    few: Annotated[int, typer.Option(min=1, help="Films of the small streamed bank.")] = 40,
    many: Annotated[int, typer.Option(min=1, help="Films of the large streamed bank.")] = 4000,
    written: Annotated[int, typer.Option(min=1, help="Films that are written for the speed of writing.")] = 16,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    theirs: Annotated[Path | None, typer.Option(help="MMAction2's lfb.py, to run beside the reference.")] = None,
    only_windows: Annotated[bool, typer.Option("--only-windows", help="Only CPU time of windows.")] = False,
) -> None:
    """Measure, and print Markdown tables."""
    torch.set_num_threads(threads)
    folder.mkdir(parents=True, exist_ok=True)
    size = Size(films, 0, seconds, channels, classes=4)  # the fewest; nothing is learned here
    paths, found = make_files(folder, size, workers=threads), Found()
    if only_windows:
        measure_windows_cpu(paths, found, repeats, batch, theirs)
        print(cpu_table(found))
        return
    measure_open(paths, found, repeats)
    measure_load(paths, found, loads, workers)
    measure_windows(paths, found, repeats, batch)
    measure_windows_cpu(paths, found, repeats, batch, theirs)
    measure_streaming(folder, found, Size(seconds=min(100, seconds), channels=channels, classes=4), few, many)
    found.values["writing"] = write_speed(folder / "written", size, films=written, repeats=loads)
    found.target("speed of writing, of a raw file", found.values["writing"]["share_of_raw"], 0.8, most=False)
    write_json(folder / "bank.json", {"size": asdict(size), "values": found.values, "targets": found.targets})
    print(report(found))


if __name__ == "__main__":
    typer.run(main)
