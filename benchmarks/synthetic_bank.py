"""Make banks of any size with a planted task, and their annotations: no videos, no frames, no model.

    python -m benchmarks.synthetic_bank FOLDER [--films 299 --seconds 897 --channels 2048]

Writes FOLDER/data/synthetic/bank/{train,val}.zarr and FOLDER/data/synthetic/annotations, which is all that `train_head`
reads. The number of persons per second is as in AVA: none in a quarter of the seconds, 1.8 on average, 106 in a window
of 60 s.

The planted task: a third of the persons are marked in their own feature as having a long-term label. Other persons
carry one of three signals, the same kind for two minutes of a film. The long-term label is the kind of the last signal
5 to 25 s earlier. The person's own feature shows that there is such a label, but not which: a head without a memory
gives all three classes the same scores. Every other class is a mark in the person's own feature.
"""

import functools
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import typer

from pipeline.bank.feature_rows import FeatureRows, VideoRows
from pipeline.bank.writer import assemble_bank, write_part
from pipeline.base.progress import progress
from pipeline.base.workers import map_in_processes
from pipeline.tables.label_map import Label, write_labels
from pipeline.tables.schemas import ANNOTATIONS, BOX_COLUMNS, KEYFRAMES, write_table

NAME = "synthetic"
PRODUCER = "feed" * 16  # sha256 of weights that nobody has
KINDS = 3  # of signals, and so of long-term classes, whose ids come first
EMPTY = 0.25  # share of seconds without persons
PERSONS = 1.37  # mean number of further persons of the others
ASKING = 1 / 3  # share of persons with a long-term label
CARRYING = 0.15  # share of persons with a signal
MARKED = 0.05  # share of persons with any other class
BLOCK = 120  # seconds for which a film has one kind
SINCE, UNTIL = 25, 5  # seconds before the keyframe
FIRST_SECOND = 902
STRENGTH = 6.0  # of a mark, in standard deviations of the noise along its direction
SETTINGS: dict[str, Any] = {"recipe": "synthetic", "pooling": "none", "box_threshold": 0.9, "seconds": "grid"}
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Size:
    """How large banks are to be."""

    films: int = 299  # of both splits
    val_films: int = 64
    seconds: int = 897
    channels: int = 2048
    classes: int = 60
    seed: int = 0

    def of_split(self, split: str) -> range:
        """Numbers of the split's films."""
        train = self.films - self.val_films
        return range(train) if split == "train" else range(train, self.films)


@dataclass(frozen=True)
class FilmTable:
    """The annotations of a film: its boxes, by second, and their classes."""

    video_id: str
    timestamp: Floats  # [n]
    boxes_xyxy: Floats  # [n, 4]
    labels: npt.NDArray[np.bool_]  # [n, classes]
    seen: Floats  # [seconds]


def people_per_second(rng: np.random.Generator, seconds: int) -> Ints:
    """How many persons each second shows."""
    return np.where(rng.random(seconds) < EMPTY, 0, 1 + rng.poisson(PERSONS, seconds))


def last_signal(second: Ints, carries: npt.NDArray[np.bool_], kind_of_second: Ints) -> Ints:
    """The kind that was last carried `SINCE` to `UNTIL` seconds before each row, or -1; rows ascend by second."""
    at = second[carries]
    place = np.searchsorted(at, second - UNTIL, side="right") - 1
    last = at[np.maximum(place, 0)] if len(at) else np.full_like(second, -SINCE)
    known = (place >= 0) & (last >= second - SINCE)
    return np.where(known, kind_of_second[np.maximum(last, 0)], -1)


def marks(size: Size) -> Ints:
    """Channels of each mark: the signals, asking, then every other class. -> [marks, width]."""
    count = KINDS + 1 + size.classes - KINDS
    width = max(1, size.channels // (2 * count))
    if count * width > size.channels:
        raise typer.BadParameter(f"{size.channels} channels do not hold {count} marks")
    return np.random.default_rng([size.seed, 0]).permutation(size.channels)[: count * width].reshape(count, width)


def make_film(number: int, size: Size) -> tuple[FilmTable, FeatureRows, FeatureRows]:
    """A film's annotations, detections and annotated rows: a function of the seed and its number alone."""
    rng = np.random.default_rng([size.seed, 1, number])
    counts = people_per_second(rng, size.seconds)
    second = np.repeat(np.arange(size.seconds), counts)
    n = len(second)
    blocks = rng.integers(0, KINDS, size.seconds // BLOCK + 2)
    kind_of_second = blocks[(np.arange(size.seconds) + rng.integers(0, BLOCK)) // BLOCK]
    carries, asks = rng.random(n) < CARRYING, rng.random(n) < ASKING
    labels = np.zeros((n, size.classes), bool)
    wanted = last_signal(second, carries, kind_of_second)
    labels[np.flatnonzero(asks & (wanted >= 0)), wanted[asks & (wanted >= 0)]] = True
    labels[:, KINDS:] = rng.random((n, size.classes - KINDS)) < MARKED
    own = np.column_stack(
        [*(carries & (kind_of_second[second] == kind) for kind in range(KINDS)), asks, labels[:, KINDS:]]
    )
    features = rng.random((n, size.channels), np.float32)
    channels = marks(size)
    strength = np.float32(STRENGTH * 12**-0.5 / channels.shape[1] ** 0.5)  # uniform noise has a deviation of 12^-0.5
    for mark, channel in enumerate(channels):
        features[np.ix_(np.flatnonzero(own[:, mark]), channel)] += strength
    features = features.astype(np.float16)
    width = 0.9 / np.maximum(counts, 1)[second]
    left = (np.arange(n) - np.searchsorted(second, second)) * width / 0.9
    top = rng.uniform(0.0, 0.2, n)
    boxes = np.column_stack([left, top, left + width, rng.uniform(0.7, 1.0, n)]).round(3)
    found = (boxes + rng.uniform(-0.01, 0.01, (n, 4)) * width[:, None]).clip(0, 1).round(6)
    timestamp = (second + FIRST_SECOND).astype(np.float64)
    seen = (np.arange(size.seconds) + FIRST_SECOND).astype(np.float64)
    table = FilmTable(f"film_{number:05d}", timestamp, boxes, labels, seen)
    score = rng.uniform(0.901, 1.0, n).astype(np.float32)
    return table, FeatureRows(features, timestamp, found, score), FeatureRows(features, timestamp, boxes)


def write_film(number: int, *, size: Size, folder: Path, annotated: bool = True) -> FilmTable:
    """Write a film's part below `folder` and give its annotations."""
    table, detections, ground_truth = make_film(number, size)
    write_part(
        folder / table.video_id,
        part=table.video_id,
        rows=VideoRows(detections, ground_truth if annotated else None),
        seconds_seen=table.seen,
        attributes={"checkpoint_sha256": PRODUCER},
        dtype="fp16",
        codec="none",
    )
    return table


def write_bank(path: Path, split: str, size: Size, *, workers: int, annotated: bool = True) -> list[FilmTable]:
    """Write the bank of a split; `annotated` gives it rows of annotated boxes too."""
    parts = path.with_suffix(".parts")
    job: Callable[[int], FilmTable] = functools.partial(write_film, size=size, folder=parts, annotated=annotated)
    films = size.of_split(split)
    films_done = progress(map_in_processes(job, films, workers=workers), what=split, total=len(films), unit="film")
    tables = list(films_done)
    assemble_bank(
        path,
        parts={table.video_id: parts / table.video_id for table in tables},
        split=split,
        provenance={**SETTINGS, "checkpoint_sha256": PRODUCER, "frames_sha256": split},
    )
    shutil.rmtree(parts)  # the bank holds links of the same files
    return tables


def annotation_rows(table: FilmTable) -> dict[str, npt.NDArray[Any]]:
    """Columns of ANNOTATIONS, but for the video."""
    row, column = np.nonzero(table.labels)
    columns = {"timestamp": table.timestamp[row], "time_seconds": table.timestamp[row] - FIRST_SECOND}
    boxes = dict(zip(BOX_COLUMNS, table.boxes_xyxy[row].T, strict=True))
    return {**columns, **boxes, "action_id": (column + 1).astype(np.int32)}


def write_annotations(folder: Path, tables: dict[str, list[FilmTable]], classes: int) -> None:
    """Write what import_annotations would: the tables and the classes."""
    films = [(split, table) for split, each in tables.items() for table in each]
    rows = [annotation_rows(table) for _, table in films]
    columns: dict[str, Any] = {name: np.concatenate([each[name] for each in rows]) for name in rows[0]}
    columns["video_id"] = np.repeat([table.video_id for _, table in films], [len(each["action_id"]) for each in rows])
    columns["person_id"] = pa.nulls(len(columns["action_id"]), pa.int32())
    write_table(pa.table(columns).select(ANNOTATIONS.names), folder / "annotations.parquet", ANNOTATIONS)
    seen = np.concatenate([table.seen for _, table in films])
    lengths = [len(table.seen) for _, table in films]
    shown = np.concatenate([np.isin(table.seen, table.timestamp[table.labels.any(axis=1)]) for _, table in films])
    keyframes = {
        "video_id": np.repeat([table.video_id for _, table in films], lengths),
        "timestamp": seen,
        "time_seconds": seen - FIRST_SECOND,
        "split": np.repeat([split for split, _ in films], lengths),
        "status": np.where(shown, "annotated", "empty"),
    }
    write_table(pa.table(keyframes), folder / "keyframes.parquet", KEYFRAMES)
    groups = ["long-term" if each < KINDS else "momentary" for each in range(classes)]
    write_labels(
        folder / "labels.json", [Label(each + 1, f"class {each + 1}", groups[each]) for each in range(classes)]
    )


def write_all(folder: Path, size: Size, *, workers: int) -> None:
    """Write both banks and the annotations."""
    data = folder / "data" / NAME
    marks(size)  # refuses what does not fit before anything is written
    tables = {
        split: write_bank(data / "bank" / f"{split}.zarr", split, size, workers=workers) for split in ("train", "val")
    }
    write_annotations(data / "annotations", tables, size.classes)


def main(
    folder: Path,
    films: Annotated[int, typer.Option(min=2, help="Films of both splits.")] = 299,
    val_films: Annotated[int, typer.Option(min=1, help="How many of them are val.")] = 64,
    seconds: Annotated[int, typer.Option(min=1)] = 897,
    channels: Annotated[int, typer.Option(min=8)] = 2048,
    classes: Annotated[int, typer.Option(min=KINDS + 1)] = 60,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Make the banks."""
    if val_films >= films:
        raise typer.BadParameter(f"{val_films} val films of {films} leave none to train on")
    write_all(folder, Size(films, val_films, seconds, channels, classes, seed), workers=workers)


if __name__ == "__main__":
    typer.run(main)
