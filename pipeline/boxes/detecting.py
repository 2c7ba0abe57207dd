"""Run a detector over the frames of films: one finished item of `.work` per film, and one CSV of all films.

A second CSV has the objects, where the detector finds some beside persons.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.base.errors import InputError, counted
from pipeline.base.executors import item_executor
from pipeline.base.files import digest_value, write_bytes, write_json, write_text
from pipeline.base.make_items import Needs
from pipeline.base.read_ahead import read_ahead
from pipeline.base.shared_items import Make, share_items
from pipeline.base.work import item_key
from pipeline.boxes.film_frames import Detector
from pipeline.boxes.folders import OBJECTS
from pipeline.features.requests import film_seconds, rows_by_video
from pipeline.tables.csv_rows import Floats
from pipeline.tables.film_ids import names_beside
from pipeline.tables.schemas import KEYFRAMES, TIMELINES, VIDEOS, read_table
from pipeline.video.clip_indices import clip_indices
from pipeline.video.store import FrameStore

STAGE = "detected_boxes"
FILES = ("summary.json", "boxes.csv", "objects/objects.csv")
COLUMNS = "video_id,timestamp,x1,y1,x2,y2,label,score"
DECIMALS = 4
MOTION_NEEDS = Needs(module="stages.detect_boxes")


@dataclass(frozen=True)
class SearchedFilm:
    """A film, and the times at which persons are looked for."""

    video_id: str
    shift_seconds: float
    "time_seconds = timestamp + shift_seconds"
    timestamps: Floats


def films_to_detect(annotations: Path, frames: Path) -> list[SearchedFilm]:
    """Return every film that has frames, sorted by video, with its whole seconds and its keyframes.

    Args:
        annotations: the out of import_annotations; no label is read.
        frames: the out of extract_frames.

    Raises:
        InputError: a table is absent, or no film that the annotations name has frames.
    """
    timelines = read_table(annotations / "timelines.parquet", TIMELINES)
    videos = read_table(frames / "videos.parquet", VIDEOS)
    keyframes = read_table(annotations / "keyframes.parquet", KEYFRAMES)
    durations = dict(zip(videos["video_id"].to_pylist(), videos["duration_seconds"].to_pylist(), strict=True))
    named = rows_by_video(keyframes, ["timestamp"])
    films = []
    for row in timelines.sort_by("video_id").to_pylist():
        video_id, first = row["video_id"], row["first_timestamp"]
        if video_id not in durations:
            continue  # its file is missing or unreadable: extraction has reported that
        shift = row["offset_seconds"] - first
        stamps = named.get(video_id, np.empty((0, 1)))[:, 0]
        stamps = stamps[(stamps + shift >= 0) & (stamps + shift < durations[video_id])]
        films.append(SearchedFilm(video_id, shift, np.union1d(film_seconds(first, shift, durations[video_id]), stamps)))
    if not films and timelines.num_rows:
        beside = names_beside("the frames", durations, sorted(timelines["video_id"].to_pylist()))
        raise InputError(f"no film that the annotations name has frames: {beside}, expected one name of a film in both")
    return films


def detect_films(
    films: Sequence[SearchedFilm],
    store: FrameStore,
    *,
    settings: Mapping[str, object],
    load: Callable[[], Detector],
    workers: int,
    batch: int,
    names: Sequence[str] = (),
    needs: Needs = MOTION_NEEDS,
) -> dict[str, Path]:
    """Return the finished item of every film by video, a folder with `boxes.csv` and `objects.csv`.

    Only missing items are computed.

    The ranks divide the films among themselves.

    Args:
        films: see `films_to_detect`.
        store: their frames.
        settings: what boxes depend on besides the frames and times: the detector, its weights, the code.
        load: returns the detector; called only if an item is missing. Picklable where a Ray cluster makes items.
        workers: number of films processed at a time.
        batch: frames of a film that are read ahead of the detector.
        names: the names of the detector's classes.
        needs: what the detector needs on a Ray cluster.

    Raises:
        InputError: frames of a film cannot be read. extract_frames wrote them, so this is no fault of the film. The
            items of other films are kept.
    """
    keys = {
        film.video_id: item_key(
            frames=store.digest(film.video_id),
            fps=store.fps,
            film=digest_value([film.shift_seconds, film.timestamps.tolist()]),
            settings=settings,
        )
        for film in films
    }
    by_id = {film.video_id: film for film in films}
    maker = partial(_film_writer, store.folder, load, batch=batch, names=names)
    with item_executor(workers, needs, initializer=_compute_in_one_thread) as executor:
        return share_items(STAGE, keys, by_id, maker, executor=executor, what="detect_boxes", unit="film")


def _film_writer(frames: Path, load: Callable[[], Detector], *, batch: int, names: Sequence[str]) -> Make:
    store, detector = FrameStore(frames), load()

    def write(film: SearchedFilm, folder: Path) -> None:
        write_film(folder, film, store, detector, batch=batch, names=names)

    return write


def _compute_in_one_thread() -> None:
    """Let this thread's arithmetic in PyTorch use no others; a detector without tensors does not import it."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


def write_film(
    folder: Path, film: SearchedFilm, store: FrameStore, detector: Detector, *, batch: int, names: Sequence[str] = ()
) -> None:
    """Run a detector over a film, and write its `boxes.csv` and `objects.csv`; arguments as of `detect_films`."""
    _write(folder, film, detector(_StoredFrames(film, store, batch)), names)


@dataclass(frozen=True)
class _StoredFrames:
    """`FilmFrames` of a store."""

    film: SearchedFilm
    store: FrameStore
    batch: int
    "Frames that are read ahead."

    def __len__(self) -> int:
        return len(self.film.timestamps)

    def __getitem__(self, place: int, /) -> np.ndarray:
        film, store = self.film, self.store
        seconds = float(film.timestamps[place]) + film.shift_seconds
        total = store.grid_frames(film.video_id)
        at = clip_indices(seconds, fps=store.fps, frames=1, interval=1, total=total)
        frame: np.ndarray = store.read_clip(film.video_id, at)[0]
        return frame

    def __iter__(self) -> Iterator[np.ndarray]:
        return read_ahead(self.__getitem__, range(len(self)), ahead=self.batch)


def _write(folder: Path, film: SearchedFilm, found: Sequence[Floats], names: Sequence[str]) -> None:
    """Write AVA CSV with scores; a row of two columns is a keyframe that shows nobody. Objects have labels."""
    persons, objects = [], []
    for stamp, boxes in zip(film.timestamps.tolist(), found, strict=True):
        key = f"{film.video_id},{stamp:.10g}"
        kind = boxes[:, 5].astype(int) if boxes.shape[1] > 5 else np.full(len(boxes), -1)
        rows = np.round(np.clip(boxes[:, :5], 0, 1), DECIMALS)
        flat = (rows[:, 2] <= rows[:, 0]) | (rows[:, 3] <= rows[:, 1])
        order = np.lexsort([*rows[:, 3::-1].T, -rows[:, 4]])
        order = order[~flat[order]]
        lines = [
            f"{key},{x1:g},{y1:g},{x2:g},{y2:g},{names[place] if place >= 0 else ''},{score:g}"
            for (x1, y1, x2, y2, score), place in zip(rows[order].tolist(), kind[order].tolist(), strict=True)
        ]
        is_person = kind[order] < 0
        persons += [line for line, here in zip(lines, is_person, strict=True) if here] or [key]
        objects += [line for line, here in zip(lines, is_person, strict=True) if not here]
    write_text(folder / "boxes.csv", "".join(f"{line}\n" for line in persons))
    write_text(folder / "objects.csv", "".join(f"{line}\n" for line in objects))


def write_detected(folder: Path, films: Sequence[SearchedFilm], items: Mapping[str, Path], *, detector: str) -> str:
    """Write `boxes.csv` of all films, `summary.json`, and `objects/objects.csv` if there are any.

    Args:
        folder: an empty folder to write to.
        films: see `films_to_detect`.
        items: see `detect_films`.
        detector: the name of the detector.

    Returns:
        a line that says how many boxes were written.
    """
    texts = [(items[video_id] / "boxes.csv").read_bytes() for video_id in sorted(items)]
    boxes, keyframes = sum(text.count(b",,") for text in texts), sum(len(film.timestamps) for film in films)
    write_bytes(folder / "boxes.csv", b"".join(texts))
    counts = {"films": len(films), "keyframes": keyframes, "boxes": boxes}
    things = b"".join((items[video_id] / "objects.csv").read_bytes() for video_id in sorted(items))
    if things:
        counts["objects"] = things.count(b"\n")
        (folder / OBJECTS).mkdir()
        write_bytes(folder / OBJECTS / "objects.csv", f"{COLUMNS}\n".encode() + things)
    write_json(folder / "summary.json", {"detector": detector, **counts})
    beside = f" and {counted(counts['objects'], 'object')}" if things else ""
    return (
        f"{counted(boxes, 'box', 'boxes')}{beside} by {detector} in {counted(keyframes, 'keyframe')} of "
        f"{counted(len(items), 'film')}"
    )
