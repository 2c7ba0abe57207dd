"""Probe many video files without decoding them, in child processes that may hang or crash."""

import json
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pipeline.annotations.frame_times import varying_knots
from pipeline.base.errors import InputError
from pipeline.base.problems import ProblemKind
from pipeline.base.progress import progress
from pipeline.video.children import Beat, ChildLost, no_beat, preload, run_in_child
from pipeline.video.decode import InexactDecode
from pipeline.video.extract import LEAST_DECODED, decode_in, ways_of
from pipeline.video.items import SILENCE_SECONDS
from pipeline.video.pictures import decode_picture, jpeg_comment, list_pictures
from pipeline.video.probe import DecodeError, Media, probe_video

FILMS_PER_CHILD = 16


@dataclass(frozen=True)
class ProbedFilm:
    """A video file as its packets describe it; if `found` is set, it cannot be used."""

    found: str = ""
    "What is wrong with it; empty if it can be read."
    expected: str = ""
    kind: ProblemKind = "unreadable"
    "The kind of the problem in `found`."
    is_lost: bool = False
    "True if the process that read it hung or died."
    container: str = ""
    codec: str = ""
    duration_seconds: float = 0.0
    fps: float = 0.0
    frames: int = 0
    "Number of frames in the file."
    expected_frames: int = 0
    "Number of frames that the file announces."
    width: int = 0
    height: int = 0
    "As displayed; 0 if no keyframe was decoded."
    decoded: int | None = None
    "Number of frames that could be decoded; None if that was not tried."
    knots: Sequence[Sequence[float]] = ()
    "(frame, seconds) of some frames, if the rate varies (`frame_times.py`)."
    off_seconds: float = 0.0
    "Largest difference between n / fps and the time of frame n."
    comment: str = ""
    "In the first JPEG of a folder of pictures; FFmpeg writes its name there."


def look_at(path: Path, *, decode: bool, beat: Beat = no_beat) -> ProbedFilm:
    """Read a file's packets and keyframes; with `decode`, decode all frames."""
    try:
        media = probe_video(path, beat)
        decoded = _decoded(path, media, beat) if decode else None
    except DecodeError as error:
        return ProbedFilm(found=error.found, expected=error.expected, kind=error.kind)
    except OSError as error:
        return ProbedFilm(found=f"a file that cannot be read ({error.strerror or error})", expected="a video file")
    frames = len(media.pts) if media.is_timed else media.expected_frames
    duration = frames * media.frame_seconds
    if media.is_timed:
        duration = media.end_seconds(media.film_seconds(int(media.pts[-1])))
    fps = frames / duration if duration > 0 else 0.0
    knots, off = varying_knots(media.seconds, fps) if media.is_timed else ((), 0.0)
    return ProbedFilm(
        container=media.container,
        codec=media.codec,
        duration_seconds=duration,
        fps=fps,
        frames=frames,
        expected_frames=media.expected_frames,
        width=media.width,
        height=media.height,
        decoded=decoded,
        knots=knots,
        off_seconds=off,
    )


def look_at_pictures(path: Path, rate: float, *, decode: bool, beat: Beat = no_beat) -> ProbedFilm:
    """List a folder of pictures and read the first readable one; with `decode`, read all."""
    try:
        pictures = list_pictures(path)
        size, count, comment = (0, 0), 0, ""
        for name in pictures.names.values():
            beat()
            with suppress(ValueError, FileNotFoundError, IsADirectoryError):
                rgb, _ = decode_picture(data := (path / name).read_bytes())
                comment = comment or jpeg_comment(data)
                size, count = size if count else (rgb.shape[1], rgb.shape[0]), count + 1
            if count and not decode:
                break
    except DecodeError as error:
        return ProbedFilm(found=error.found, expected=error.expected, kind=error.kind)
    except (OSError, InputError) as error:
        return ProbedFilm(found=f"a folder that cannot be read ({error})", expected="a folder of pictures")
    if len(pictures.names) < LEAST_DECODED * pictures.expected:
        return ProbedFilm(found=pictures.describe(), expected=pictures.wanted(LEAST_DECODED), container="pictures")
    if not count:
        return ProbedFilm(
            found=f"{len(pictures.names)} pictures, of which none can be decoded", expected="JPEGs or PNGs"
        )
    return ProbedFilm(
        container="pictures",
        codec=pictures.codec,
        duration_seconds=pictures.expected / rate,
        fps=rate,
        frames=len(pictures.names),
        expected_frames=pictures.expected,
        width=size[0],
        height=size[1],
        decoded=count if decode else None,
        comment=comment,
    )


def _decoded(path: Path, media: Media, beat: Beat) -> int:
    """Return how many frames extraction would get."""
    for way in ways_of(media):
        count = 0
        try:
            for _ in decode_in(path, media, way):
                count += 1
                beat()
        except InexactDecode:
            continue
        break
    return count


def look_at_files(
    paths: Mapping[str, Path],
    out: Path,
    decode: bool,
    beat: Beat = no_beat,
    rates: Mapping[str, float] = MappingProxyType({}),
) -> None:
    """Look at several files and folders of pictures (`rates`), and append a line of JSON to `out` after each."""
    with out.open("a") as file:
        for video_id, path in paths.items():
            beat()
            if video_id in rates:
                film = look_at_pictures(path, rates[video_id], decode=decode, beat=beat)
            else:
                film = look_at(path, decode=decode, beat=beat)
            file.write(json.dumps({"video_id": video_id, **asdict(film)}) + "\n")
            file.flush()


def probe_films(
    paths: Mapping[str, Path],
    *,
    workers: int,
    decode: bool = False,
    silence_seconds: float = SILENCE_SECONDS,
    work: Callable[..., None] = look_at_files,
    rates: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, ProbedFilm]:
    """Probe every file; return the films in the order of `paths`. A file that hangs or crashes its reader is reported.

    Args:
        paths: the files by video id.
        workers: number of child processes at a time.
        decode: decode every frame.
        silence_seconds: a process that makes no progress for this long is killed.
        work: the function that a child runs, `look_at_files`.
        rates: pictures per second of the folders of pictures.
    """
    preload(sys.modules[work.__module__])
    stop = threading.Event()
    films: dict[str, ProbedFilm] = {}
    with ThreadPoolExecutor(workers) as pool:
        items = list(paths.items())
        groups = [dict(items[first : first + FILMS_PER_CHILD]) for first in range(0, len(items), FILMS_PER_CHILD)]
        futures = [pool.submit(_probe_group, group, rates, decode, silence_seconds, work, stop) for group in groups]
        try:
            for future in progress(as_completed(futures), what="films", total=len(futures), unit="group"):
                films |= future.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return {video_id: films[video_id] for video_id in paths}


def _probe_group(
    paths: dict[str, Path],
    rates: Mapping[str, float],
    decode: bool,
    silence_seconds: float,
    work: Callable[..., None],
    stop: threading.Event,
) -> dict[str, ProbedFilm]:
    of_pictures = {"rates": {each: rates[each] for each in paths if each in rates}}
    films: dict[str, ProbedFilm] = {}
    tried: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        while waiting := {video_id: path for video_id, path in paths.items() if video_id not in films}:
            lost, was_killed = "", False
            out = Path(folder, f"{len(films)}-{len(tried)}.jsonl")  # a truncated line must not spoil the next one
            try:
                arguments: dict[str, Any] = {
                    "paths": {each: path.absolute() for each, path in waiting.items()},
                    "out": out,
                }
                arguments |= {"decode": decode, **(of_pictures if of_pictures["rates"] else {})}
                run_in_child(work, arguments, silence_seconds=silence_seconds, stop=stop)
            except ChildLost as error:
                if stop.is_set():
                    raise
                lost, was_killed = str(error), True
            except RuntimeError as error:  # an unexpected error of a decoder
                lost = str(error).strip().splitlines()[-1]
            films |= _read_lines(out)
            rest = [video_id for video_id in waiting if video_id not in films]
            if rest and was_killed and rest[0] not in tried:  # try once more: the system may have killed the child
                tried.add(rest[0])
            elif rest:  # the child was at this file twice
                found = f"a file that stops its reader ({lost or 'it ended without a word'})"
                films[rest[0]] = ProbedFilm(found=found, expected="a video file", is_lost=True)
    return films


def _read_lines(path: Path) -> dict[str, ProbedFilm]:
    films = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            values = json.loads(line)
        except json.JSONDecodeError:  # the child was killed while it wrote this line
            continue
        video_id = values.pop("video_id")
        films[video_id] = ProbedFilm(**values)
    return films
