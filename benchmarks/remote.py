"""Read one film's windows from a remote, against pulling the whole bank first: time and bytes.

    python -m benchmarks.remote FOLDER [--films 299 --seconds 897 --channels 2048]

Makes a bank in FOLDER, commits it to a DVC repository there and pushes it to two remotes, a folder and an S3 service
on loopback (moto), which also gets a plain copy. Each measurement has its own process and an empty cache, and includes
opening the repository; the sides alternate. Writes FOLDER/remote.json and prints the same as Markdown. Loopback has no
latency and no other load: a real network adds time to every byte and every file.
"""

import hashlib
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import fsspec
import numpy as np
import typer

from benchmarks.measuring import apart, median_ratio, table
from benchmarks.synthetic_bank import Size, write_bank
from pipeline.bank.reader import Bank, open_bank
from pipeline.bank.remote import open_remote
from pipeline.bank.windows.streamed import StreamedWindows
from pipeline.base.files import files_below, write_json
from tests.s3 import CREDENTIALS, s3_service

PATH = "bank/train.zarr"
PLACES = ("folder, DVC", "S3, DVC", "S3, plain copy")
REMOTES = dict(zip(PLACES, ("near", "far", None), strict=True))


@dataclass(frozen=True)
class Found:
    """One measurement."""

    seconds: float
    bytes: int  # fetched
    files: int
    windows: str  # sha256 of the film's windows


def film_windows(bank: Bank) -> str:
    """A digest of the windows of 60 s around each second of the bank's middle film."""
    film = bank.videos[len(bank.videos) // 2]
    windows = StreamedWindows([bank], min_score=bank.provenance["box_threshold"])
    times = np.unique(bank.rows(film, "detections").timestamp)
    digest = hashlib.sha256()
    for first in range(0, len(times), 16):
        batch = times[first : first + 16]
        slots = windows.slots([film] * len(batch), batch, seconds=60, per_second=5)
        digest.update(windows.gather(slots)[0].numpy().tobytes())
    return digest.hexdigest()


def weigh(folder: Path) -> tuple[int, int]:
    """Bytes and number of the files below `folder`, without locks."""
    files = [folder / name for name in files_below(folder) if "locks" not in name.parts]
    return sum(path.stat().st_size for path in files), len(files)


def read_one(folder: Path, endpoint: str, place: str) -> Found:
    """Open the bank where it lies and read one film's windows."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        cache, start = Path(scratch), time.perf_counter()
        remote = REMOTES[place]
        if remote:
            bank = open_remote(PATH, cache, repo=str(folder / "repository"), rev="v1", options={"remote": remote})
        else:
            bank = open_remote("s3://banks/plain/train.zarr", cache, options={"endpoint_url": endpoint})
        windows = film_windows(bank)
        seconds = time.perf_counter() - start
        size, files = weigh(cache)
        manifest = len((folder / "train.zarr/manifest.json").read_bytes())
        return Found(seconds, size + manifest, files + 1, windows)


def pull_all(folder: Path, endpoint: str, place: str) -> Found:
    """Copy the whole bank and read the same windows from the copy."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        target, start = Path(scratch) / "train.zarr", time.perf_counter()
        remote = REMOTES[place]
        if remote:
            from dvc.api import DVCFileSystem

            system = DVCFileSystem(str(folder / "repository"), rev="v1", remote=remote)
            system.get(PATH, str(target), recursive=True)
        else:
            fsspec.filesystem("s3", endpoint_url=endpoint).get("banks/plain/train.zarr", str(target), recursive=True)
        windows = film_windows(open_bank(target))
        return Found(time.perf_counter() - start, *weigh(target), windows)


SIDES: dict[str, Callable[[Path, str, str], Found]] = {"one film": read_one, "whole bank": pull_all}


def prepare(folder: Path, size: Size, endpoint: str, workers: int) -> None:
    """Make the bank, push it and drop the repository's own copies."""
    from dvc.repo import Repo

    bank, repository = folder / "train.zarr", folder / "repository"
    if not bank.is_dir():
        write_bank(bank, "train", size, workers=workers)
    for rest in (repository, folder / "store"):
        shutil.rmtree(rest, ignore_errors=True)
    shutil.copytree(bank, repository / PATH)
    git = partial(subprocess.run, cwd=repository, check=True, capture_output=True)
    git(["git", "init", "-q"])
    with Repo.init(str(repository)) as repo:
        with repo.config.edit() as config:
            config["remote"] = {
                "near": {"url": str(folder / "store")},
                "far": {"url": "s3://banks/store", "endpointurl": endpoint},
            }
        repo.add([str(repository / PATH)])
        for remote in ("near", "far"):
            repo.push(remote=remote)
    git(["git", "add", "-A"])
    git(["git", "-c", "user.name=benchmark", "-c", "user.email=benchmark@example.org", "commit", "-qm", "bank"])
    git(["git", "tag", "v1"])
    for rest in (repository / ".dvc/cache", repository / PATH):
        shutil.rmtree(rest)
    fsspec.filesystem("s3", endpoint_url=endpoint).put(str(bank), "banks/plain/train.zarr", recursive=True)


def measure(folder: Path, size: Size, *, repeats: int, workers: int) -> dict[str, dict[str, list[Found]]]:
    """Place to side to its measurements.

    Raises:
        ValueError: two sides read different windows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.update(CREDENTIALS)
    found: dict[str, dict[str, list[Found]]] = {place: {side: [] for side in SIDES} for place in PLACES}
    with s3_service(folder) as endpoint:
        prepare(folder, size, endpoint, workers)
        for turn in range(repeats):
            for place in PLACES:
                for side in list(SIDES)[:: 1 if turn % 2 else -1]:
                    found[place][side].append(apart(SIDES[side], folder, endpoint, place))
    digests = {each.windows for sides in found.values() for side in sides.values() for each in side}
    if len(digests) != 1:
        raise ValueError(f"the sides read {len(digests)} different windows, expected the same")
    return found


def show(found: dict[str, dict[str, list[Found]]]) -> str:
    """The results as Markdown: medians, and ratios of the same turn."""
    header = ["where it lies", "one film", "MB", "files", "whole bank", "MB", "files", "time", "bytes"]
    rows: list[list[Any]] = []
    for place, sides in found.items():
        one, whole = (sides[side] for side in SIDES)
        cells = [
            cell
            for side in (one, whole)
            for cell in (
                f"{statistics.median(each.seconds for each in side):.2f} s",
                f"{side[0].bytes / 1e6:.2f}",
                side[0].files,
            )
        ]
        ratio = median_ratio([each.seconds for each in whole], [each.seconds for each in one])
        rows.append([place, *cells, f"{ratio:.1f}x", f"{whole[0].bytes / one[0].bytes:.1f}x"])
    return table(header, rows)


def main(
    folder: Path,
    films: Annotated[int, typer.Option(min=2, help="Films of the bank.")] = 299,
    seconds: Annotated[int, typer.Option(min=1, help="Length of a film.")] = 897,
    channels: Annotated[int, typer.Option(min=8)] = 2048,
    repeats: Annotated[int, typer.Option(min=1)] = 3,
    workers: Annotated[int, typer.Option(min=1, help="Processes that make the bank.")] = 2,
) -> None:
    """Measure."""
    size = Size(films=films + 1, val_films=1, seconds=seconds, channels=channels, classes=min(60, channels // 2))
    found = measure(folder, size, repeats=repeats, workers=workers)
    record = {
        place: {side: [asdict(each) for each in all_] for side, all_ in sides.items()} for place, sides in found.items()
    }
    write_json(folder / "remote.json", {"size": asdict(size), "found": record})
    print(show(found))


if __name__ == "__main__":
    typer.run(main)
