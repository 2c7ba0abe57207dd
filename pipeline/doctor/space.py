"""Estimate the disk space of frames and banks from some frames and the boxes, and compare it with the free space."""

import contextlib
import itertools
import json
import shutil
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.annotations.assemble import AvaImport
from pipeline.base.problems import Problem
from pipeline.doctor.finding import Finding, findings_of
from pipeline.doctor.probe_films import ProbedFilm
from pipeline.params import Params
from pipeline.tables.schemas import BOX_COLUMNS
from pipeline.video.children import Beat, ChildLost, no_beat, preload, run_in_child
from pipeline.video.decode import Picture
from pipeline.video.extract import FrameSettings, JpegMaker, frame_settings
from pipeline.video.probe import UPRIGHT, DecodeError, open_video
from pipeline.video.size import stored_size

FACTOR = 1.5
"Largest error factor of an estimate, up or down; for banks only if boxes and annotations are known."
SAMPLED_FILMS = 8
SAMPLED_AT = (0.1, 0.5, 0.9)  # fractions of a film's length
MOST_DECODED = 300  # most frames to decode from a keyframe to the wanted frame
SILENCE_SECONDS = 20.0
BYTES_PER_PIXEL = 0.25  # used if no frame could be read; measured on films 240 to 256 pixels high at quality 90
FRAME_BYTES = 20  # besides the JPEG: time, index and checksum
ROW_BYTES = 28  # besides the feature: timestamp, box and score
FILM_BYTES = 150_000  # a part of a bank besides its rows: many small files and folders, each in its own disk block
PERSONS = 2.0  # persons per frame, if neither boxes nor annotations say
CHANNELS = {"slowonly_tiny": 8, "slowfast_tiny": 10, "slowfast": 36, "other": 32}  # per channel of the stem
# Whose tokens are the features; a frozen one is taken for one of the usual base size.
TRANSFORMERS = {"videomae_b": 768, "videomae_l": 1024, "videomae_tiny": 96, "transformers": 768}
# Width of the first stage, and channels of the maps over it.
HIERAS = {
    "hiera_b": (96, 12), "hiera_bplus": (112, 12), "hiera_l": (144, 12), "hiera_h": (256, 12), "hiera_tiny": (32, 6)
}  # fmt: skip


@dataclass(frozen=True)
class Space:
    """Bytes that a data set will take below `data/`, and free bytes."""

    frames: int
    bank: int
    stored: int
    "Bytes of these that are already stored."
    free: int

    @property
    def missing(self) -> int:
        """Return the bytes that are still to be written."""
        return max(0, self.frames + self.bank - self.stored)

    def __str__(self) -> str:
        there = f" ({size_text(self.stored)} of it are there)" if self.stored else ""
        return (
            f"frames about {size_text(self.frames)}, banks about {size_text(self.bank)}{there}; "
            f"{size_text(self.free)} are free"
        )


@dataclass(frozen=True)
class BankRowCounts:
    """Counts that determine the number of rows of a bank."""

    per_second: float
    "Boxes per second of a film, of persons and objects."
    annotated: int
    "Number of distinct annotated persons, over all keyframes."
    keyframes: int


def count_rows(imported: AvaImport, boxes: pa.Table | None, box_threshold: float, objects: int = 0) -> BankRowCounts:
    """Count what becomes rows of a bank; without boxes, assume as many per second as annotated persons per keyframe.

    Args:
        imported: the annotations.
        boxes: BOXES, or None.
        box_threshold: `bank.box_threshold`.
        objects: `bank.objects`.
    """
    keyframe = ["video_id", "timestamp"]
    annotated = imported.annotations.group_by([*keyframe, *BOX_COLUMNS]).aggregate([]).num_rows
    annotated_keyframes = imported.annotations.group_by(keyframe).aggregate([]).num_rows
    per_second = annotated / annotated_keyframes if annotated_keyframes else PERSONS
    if boxes is not None and boxes.num_rows:
        seconds = boxes.group_by(keyframe).aggregate([]).num_rows
        sure = pc.and_(pc.is_null(boxes["label"]), pc.greater_equal(boxes["score"], box_threshold))
        things = boxes.filter(pc.is_valid(boxes["label"])).group_by(keyframe).aggregate([([], "count_all")])
        stored = pc.sum(pc.min_element_wise(things["count_all"], objects)).as_py() or 0
        per_second = (boxes.filter(sure).num_rows + stored) / seconds
    return BankRowCounts(per_second, annotated, imported.keyframes.num_rows)


def estimate_space(
    params: Params, videos: Mapping[str, Path], films: Mapping[str, ProbedFilm], rows: BankRowCounts | None = None
) -> Space:
    """Estimate the space of a data set's frames and banks, within `FACTOR`.

    A few frames of a few films are scaled and compressed as `extract_frames` does. A file that is an item of `.work`,
    an out and in DVC's cache counts once, because it is stored once if all are on one file system.

    Args:
        params: the parameters.
        videos: the video files.
        films: the probed films; unreadable ones count as 0.
        rows: counts for the banks; None if neither annotations nor boxes can be read.
    """
    good = {video_id: film for video_id, film in films.items() if not film.found and film.width}
    settings = frame_settings(params.frames)
    sampled = {video_id: videos[video_id] for video_id in _spread(list(good)) if video_id in videos}
    density = _bytes_per_pixel(sampled, settings)
    mean = sum(density.values()) / len(density) if density else BYTES_PER_PIXEL
    frames = sum(
        _frames(film, settings.fps) * (_pixels(film, settings.short_side) * density.get(video_id, mean) + FRAME_BYTES)
        for video_id, film in good.items()
    )
    if params.dataset.pack != "none":
        frames *= 2  # single videos stay in .work besides the packs
    folder = Path("data", params.dataset.name)
    stored = sum(_tree_bytes(folder / each) for each in ("frames", "bank"))
    bank = _bank_bytes(params, good, rows) if params.bank.make else 0.0
    return Space(round(frames), round(bank), stored, shutil.disk_usage(Path.cwd()).free)


def check_space(space: Space) -> list[Finding]:
    """Report an error if the data set cannot fit on the disk, a warning if it might not."""
    found = f"{size_text(space.missing)} to be written, {size_text(space.free)} free"
    problems = [Problem(str(Path.cwd()), "the file system", found, "room for frames and banks, and for models")]
    remedy = (
        "Free some space, move the project to a larger disk, or lower frames.short_side, frames.quality or frames.fps. "
        "A cache on another file system (dvc cache dir) does not help: outs are copies then, and take as much again."
    )
    if space.missing > FACTOR * space.free:
        return findings_of("space-missing", "error", "disk on which frames and banks do not fit", problems, remedy)
    if FACTOR * space.missing > space.free:
        return findings_of("space-tight", "warning", "disk on which frames and banks may not fit", problems, remedy)
    return []


def _spread(names: list[str]) -> list[str]:
    """Return some of the names, evenly spread."""
    step = max(1, len(names) // SAMPLED_FILMS)
    return names[step // 2 :: step][:SAMPLED_FILMS]


def _frames(film: ProbedFilm, fps: float) -> float:
    """Return the number of distinct frames that the grid shows."""
    return film.duration_seconds * min(fps, film.fps or fps)


def _pixels(film: ProbedFilm, side: int | None) -> int:
    height, width = stored_size(film.height, film.width, side)
    return height * width


def _bytes_per_pixel(videos: Mapping[str, Path], settings: FrameSettings) -> dict[str, float]:
    """Return bytes per pixel of the JPEGs of some frames by film, up to the first film that cannot be read.

    A child process measures them, as decoders of foreign files may hang or crash.
    """
    if not videos:
        return {}
    preload(sys.modules[__name__])
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "bytes.jsonl")
        arguments: dict[str, Any] = {"videos": {name: path.absolute() for name, path in videos.items()}, "out": out}
        with contextlib.suppress(ChildLost, RuntimeError):  # other checks report what is wrong with a film
            run_in_child(
                measure_frames,
                {**arguments, "settings": asdict(settings)},
                silence_seconds=SILENCE_SECONDS,
                stop=threading.Event(),
            )
        lines = out.read_text().splitlines() if out.exists() else []
    return {name: value for line in lines if line.endswith("]") for name, value in [json.loads(line)]}


def measure_frames(videos: Mapping[str, Path], out: Path, settings: Mapping[str, Any], beat: Beat = no_beat) -> None:
    """Append `[video_id, bytes per pixel]` to `out` for each film, measured at `SAMPLED_AT`."""
    maker = JpegMaker(FrameSettings(**settings))
    with out.open("a") as file:
        for video_id, path in videos.items():
            sizes = []
            for share in SAMPLED_AT:
                beat()
                try:
                    sizes += _measure(path, share, maker)
                except (DecodeError, OSError, ValueError, av.FFmpegError):
                    continue
            if sizes:
                file.write(json.dumps([video_id, sum(sizes) / len(sizes)]) + "\n")
                file.flush()


def _measure(path: Path, share: float, maker: JpegMaker) -> list[float]:
    """Return the bytes per pixel of the frame at a fraction of the film; of an earlier frame if its keyframe is far."""
    with open_video(path) as (container, stream):
        target = (container.start_time or 0) + int((container.duration or 0) * share)
        container.seek(target)
        frame = None
        for frame in itertools.islice(container.decode(stream), MOST_DECODED):
            if frame.time is None or frame.time * av.time_base >= target:
                break
        if frame is None:
            return []
        jpeg, (height, width) = maker.from_either(Picture(frame, frame.height, frame.width, UPRIGHT))
    return [len(jpeg) / (height * width)]


def _bank_bytes(params: Params, films: Mapping[str, ProbedFilm], rows: BankRowCounts | None) -> float:
    """Return the bytes of rows of every second of the films, and of annotated persons."""
    rows = rows or BankRowCounts(PERSONS, 0, 0)
    seconds = sum(film.duration_seconds for film in films.values())
    if params.bank.seconds == "annotated":
        seconds = min(seconds, rows.keyframes)
    backbone = params.backbone
    channels = bank_channels(backbone.name, backbone.width, context=params.roi.context == "global")
    row = channels * (2 if params.bank.dtype == "fp16" else 4) + ROW_BYTES
    return (seconds * rows.per_second + rows.annotated) * row + len(films) * FILM_BYTES


def bank_channels(backbone: str, width: int | None, *, context: bool) -> int:
    """Return the width of a person's feature without building the network; arguments as in the parameters."""
    if backbone in TRANSFORMERS:
        return (width or TRANSFORMERS[backbone]) * (2 if context else 1)
    if backbone in HIERAS:
        usual, times = HIERAS[backbone]
        return (width or usual) * times * (2 if context else 1)
    kind = "slowfast" if "slowfast_" in backbone.removeprefix("pyslowfast_") else "other"
    stem = width or (16 if backbone.endswith("_tiny") else 64)
    return CHANNELS.get(backbone, CHANNELS[kind]) * stem * (2 if context else 1)


def _tree_bytes(folder: Path) -> int:
    """Return the bytes that a folder takes on the disk, as `du` counts them."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def size_text(size: float) -> str:
    """Format a size as `653 MB`, `12 GB`, `3.4 TB`: powers of 1000, as for disks."""
    for unit, exponent in (("TB", 12), ("GB", 9), ("MB", 6)):
        if size >= 10**exponent:
            return f"{size / 10**exponent:.3g} {unit}"
    return f"{size / 1000:.0f} kB"
