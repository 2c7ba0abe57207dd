"""Compare the CPU time of a training epoch's views: from the frame store, and from webm files decoded per clip.

    python -m benchmarks.recognition --clips 48 --codec libvpx-vp9

Clips have Something-Something v2's size: 427x240, 12 frames a second, 36 to 54 frames, webm. Both sides take the same
frames and make the same views (scaled to a short side of 256, cropped at several scales, resized to 224, flipped,
normalised); the other side reads the frames with decord's `get_batch`, as MMAction2 does. Rounds alternate; the numbers
are CPU time of this process with one thread.
"""

import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import av
import decord
import numpy as np
import torch
import typer
from numpy.typing import NDArray

from benchmarks.frame_sides import moving_pictures
from pipeline.base.files import digest_file, read_json
from pipeline.base.randomness import rng_of
from pipeline.video.extract import FrameSettings, extract_video
from pipeline.video.grid import EVERY_FRAME
from pipeline.video.manifest import write_manifest
from pipeline.video.packs import write_pack
from pipeline.video.segments import train_segments
from pipeline.video.settings import Views
from pipeline.video.store import FrameStore, batch_count
from pipeline.video.view_input import ViewInput
from pipeline.video.views import draw_view, training_view

WIDTH, HEIGHT, RATE, SEGMENTS = 427, 240, 12, 8
QUALITY = 95
INPUT = ViewInput(short_side=256, crop=224, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
VIEWS = Views(sampling="whole", scales=(1, 0.875, 0.75, 0.66), scales_apart=1, flip="mapped", flip_probability=0.5)
Read = Callable[[str, NDArray[np.int64]], NDArray[np.uint8]]


def make_webm(path: Path, *, frames: int, codec: str) -> Path:
    """A webm of moving textures with grain."""
    with av.open(str(path), "w", format="webm") as container:
        options = {"crf": "32", "b": "0"} if codec == "libvpx-vp9" else {"crf": "10", "b": "600k"}
        stream: Any = container.add_stream(
            codec, rate=RATE, options={**options, "cpu-used": "8", "deadline": "realtime"}
        )
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number, picture in enumerate(moving_pictures(path.stem, frames, width=WIDTH, height=HEIGHT)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def make_store(films: dict[str, Path], folder: Path) -> FrameStore:
    """A packed store with every frame of the films."""
    settings = FrameSettings(EVERY_FRAME, None, QUALITY)
    records, sources, first = {}, [], 0
    for name, path in films.items():
        own = folder / f"item-{name}"
        own.mkdir(parents=True)
        extract_video(path, own, settings, digest_file(path))
        record = read_json(own / "video.json")
        records[name] = {**record, "file": "pack.arrow", "first_batch": first}
        first += batch_count(record["rows"])
        sources.append((name, own / "frames.arrow"))
    write_pack(folder / "pack.arrow", sources)
    write_manifest(folder, records, fps=EVERY_FRAME, short_side=None, quality=QUALITY, pack=1)
    return FrameStore(folder)


def by_decord(films: dict[str, Path]) -> Read:
    """Open and decode the film for each clip."""
    return lambda name, indices: decord.VideoReader(str(films[name]), num_threads=1).get_batch(indices).asnumpy()


def epoch(read: Read, films: dict[str, int], number: int) -> float:
    """Make a view of every clip; return the CPU seconds."""
    start = time.process_time()
    for name, frames in films.items():
        rng = rng_of(0, "view", number, name)
        indices = train_segments(frames, SEGMENTS, rng)
        training_view(read(name, indices), INPUT, draw_view(rng, VIEWS))
    return time.process_time() - start


def main(
    clips: Annotated[int, typer.Option(help="Number of clips.")] = 48,
    rounds: Annotated[int, typer.Option(help="Epochs of each side, in turn.")] = 5,
    codec: Annotated[str, typer.Option(help="libvpx-vp9, or libvpx for VP8.")] = "libvpx-vp9",
) -> None:
    """Print clips per CPU second of both sides, and the ratio of each round."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        root = Path(folder)
        lengths = rng_of("lengths").integers(36, 55, clips).tolist()
        films = {
            f"{number:04d}": make_webm(root / f"{number:04d}.webm", frames=frames, codec=codec)
            for number, frames in enumerate(lengths)
        }
        store = make_store(films, root / "store")
        counts = {name: store.grid_frames(name) for name in films}
        webm = sum(path.stat().st_size for path in films.values()) / clips
        packed = (root / "store/pack.arrow").stat().st_size / clips
        print(f"{clips} clips, {codec}: {webm / 1e3:.0f} kB a webm, {packed / 1e3:.0f} kB in the store")
        sides = {"store": store.read_clip, "decord": by_decord(films)}
        times: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(rounds + 1):  # the first round warms up
            for side, read in sides.items():
                seconds = epoch(read, counts, number)
                if number:
                    times[side].append(seconds)
        for side, each in times.items():
            print(
                f"{side}: {clips / median(each):.1f} clips per CPU second, {median(each) / clips * 1e3:.1f} ms a clip"
            )
        ratios = sorted(b / a for a, b in zip(times["store"], times["decord"], strict=True))
        print(f"ratio {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    typer.run(main)
