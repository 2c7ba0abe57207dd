"""Implement the ways to extract frames and to read clips that benchmarks/frames.py compares."""

import math
import shutil
import subprocess
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import decord
import numpy as np
import pyarrow as pa
import simplejpeg
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from pipeline.base.files import digest_file, read_json
from pipeline.base.randomness import rng_of
from pipeline.video.extract import FrameSettings, extract_video
from pipeline.video.grid import shown_frames
from pipeline.video.manifest import write_manifest
from pipeline.video.store import FrameStore

QP_TO_LAMBDA = 118  # FFmpeg's unit of a quality
Indices = NDArray[np.int64]


class Film(NamedTuple):
    """What is extracted, and how."""

    path: Path
    settings: FrameSettings
    size: tuple[int, int]  # height, width as stored


def moving_pictures(seed: str, frames: int, *, width: int, height: int) -> Iterator[NDArray[np.uint8]]:
    """Moving textures with grain: RGB uint8 [height, width, 3]."""
    rng = rng_of(seed)
    coarse = rng.integers(0, 256, (height // 16 + 8, width // 16 + 8, 3), np.uint8)
    scaler = VideoReformatter()
    large = scaler.reformat(av.VideoFrame.from_ndarray(coarse, format="rgb24"), width=width + 128, height=height + 128)
    texture = large.to_ndarray().astype(np.int16)
    grain = rng.integers(-6, 7, (height + 64, width + 64, 1)).astype(np.int16)
    for number in range(frames):
        y, x = (round(60 + 60 * math.sin(number / period)) for period in (47, 31))
        gy, gx = rng.integers(0, 64, 2)
        noise = grain[gy : gy + height, gx : gx + width]
        yield (texture[y : y + height, x : x + width] + noise).clip(0, 255).astype(np.uint8)


def make_film(
    path: Path,
    *,
    seconds: float,
    width: int,
    height: int,
    rate: int = 30,
    pixel_format: str = "yuv420p",
    matrix: int = 2,
) -> Path:
    """A film of moving textures with grain; H.264 as x264 makes it by default."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=rate, options={"x264-params": "log-level=-1"})
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.colorspace = matrix
        stream.codec_context.thread_count = 1
        pictures = moving_pictures("benchmark film", round(seconds * rate), width=width, height=height)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(format=pixel_format, dst_colorspace=None if matrix == 2 else matrix)
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def extract_store(film: Film, folder: Path) -> None:
    """Our way: one film into a store."""
    remake(folder)
    extract_video(film.path, folder, film.settings, digest_file(film.path))


def extract_by_command(film: Film, folder: Path) -> None:
    """MMAction2's way."""
    remake(folder)
    height, width = film.size
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-nostdin",
        "-threads",
        "1",
        "-i",
        str(film.path),
        "-r",
        f"{film.settings.fps:g}",
    ]
    scale = ["-vf", f"scale={width}:{height}", "-q:v", "1", str(folder / "%06d.jpg")]
    subprocess.run([*command, *scale], check=True)


def extract_by_pyav(film: Film, folder: Path) -> None:
    """The same without the command: FFmpeg's libraries decode, scale and encode in one thread."""
    remake(folder)
    height, width = film.size
    encoder: Any = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, "yuvj420p", Fraction(1, 1000)
    encoder.thread_count = 1
    encoder.options = {"flags": "+qscale", "global_quality": str(QP_TO_LAMBDA)}
    scaler = VideoReformatter()
    with av.open(str(film.path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        timed = ((float(frame.time or 0), frame) for frame in container.decode(video=0))
        for number, (_, _, frame) in enumerate(shown_frames(timed, film.settings.fps)):
            small = scaler.reformat(frame, width=width, height=height, format="yuvj420p", threads=1)
            small.pts, small.time_base = number, Fraction(1, 1000)
            small.pict_type = 0
            for packet in encoder.encode(small):
                (folder / f"{number + 1:06}.jpg").write_bytes(bytes(packet))


def remake(folder: Path) -> None:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def stored_film(film: Film, folder: Path) -> FrameStore:
    """A store of this one film, `film`."""
    extract_store(film, folder)
    record = read_json(folder / "video.json")
    (folder / "frames.arrow").rename(folder / "film.arrow")
    write_manifest(folder, {"film": record}, fps=film.settings.fps)
    return FrameStore(folder)


def write_jpegs(store: FrameStore, folder: Path) -> list[bytes]:
    """A file of each frame of the grid, as others keep them, with the store's JPEGs; returns what is in them."""
    remake(folder)
    with pa.memory_map(str(store.folder / "film.arrow")) as file:
        rows = pa.ipc.open_file(file).read_all()
        stored, first_grid = rows["jpeg"].to_pylist(), rows["first_grid"].to_numpy()
    indices = np.arange(store.grid_frames("film"))
    jpegs = [stored[row] for row in np.searchsorted(first_grid, indices, side="right") - 1]
    for index, jpeg in enumerate(jpegs):
        (folder / f"{index:06}.jpg").write_bytes(jpeg)
    return jpegs


def clip_sides(film: Film, store: FrameStore, folder: Path) -> dict[str, Callable[[Indices], Any]]:
    """Ways to read the frames of a clip."""
    jpegs = write_jpegs(store, folder)
    kept = decord.VideoReader(str(film.path), num_threads=1)
    last = len(kept) - 1

    def from_film(reader: Any, indices: Indices) -> NDArray[np.uint8]:
        # The film's own frame at the time of the grid's; the film is at a constant rate.
        places = np.round(indices / film.settings.fps * reader.get_avg_fps()).astype(int).clip(0, last)
        frames: NDArray[np.uint8] = reader.get_batch(places).asnumpy()
        return frames

    def decode(data: Iterator[bytes]) -> NDArray[np.uint8]:
        return np.stack([simplejpeg.decode_jpeg(each, colorspace="RGB") for each in data])

    return {
        "store": lambda indices: store.read_clip("film", indices),
        "JPEGs in memory": lambda indices: decode(jpegs[index] for index in indices),
        "folder of JPEGs": lambda indices: decode((folder / f"{index:06}.jpg").read_bytes() for index in indices),
        "film, opened by decord per clip": lambda indices: from_film(
            decord.VideoReader(str(film.path), num_threads=1), indices
        ),
        "film, kept open by decord": lambda indices: from_film(kept, indices),
    }
