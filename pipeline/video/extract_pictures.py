"""Extract a folder of pictures: select the frames of the grid, and store JPEGs unchanged unless they are scaled."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from pipeline.base.files import digest_file, write_json
from pipeline.video.children import Beat, no_beat
from pipeline.video.extract import AREA, LAST_INDEX, LEAST_DECODED, FrameSettings, encode_rgb, shrink
from pipeline.video.grid import frame_count, shown_frames
from pipeline.video.numbering import Pictures
from pipeline.video.pictures import decode_picture, list_pictures
from pipeline.video.probe import DecodeError
from pipeline.video.store import Row, write_frames

DECODERS = {"mjpeg": ("simplejpeg", "simplejpeg"), "png": ("pyav", "av")}
"Decoder and its distribution, by codec."
NAMED = 3


class _Picture(NamedTuple):
    rgb: NDArray[np.uint8]
    jpeg: bytes  # the bytes of a JPEG that shows exactly this; empty if there is none


@dataclass
class _Tally:
    size: tuple[int, int] = (0, 0)  # height, width of the first picture; all others are scaled to it
    stored: tuple[int, int] = (0, 0)
    decoded: int = 0
    unchanged: int = 0
    resized: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def extract_pictures(
    path: Path, folder: Path, settings: FrameSettings, source_sha256: str, frame_rate: float, beat: Beat = no_beat
) -> None:
    """Write `frames.arrow` and `video.json` of a folder of pictures into `folder`, or `problem.json` if it is bad.

    A JPEG that is not scaled keeps its bytes, whatever `settings.quality` is.

    Args:
        path: the folder of pictures.
        folder: an empty folder.
        settings: see `FrameSettings`.
        source_sha256: digest of the pictures, for the provenance.
        frame_rate: pictures per second.
        beat: called at every picture, and when the last one is decoded.
    """
    try:
        pictures = list_pictures(path)
        if len(pictures.names) < LEAST_DECODED * pictures.expected:
            raise DecodeError(path, found=pictures.describe(), expected=pictures.wanted(LEAST_DECODED))
        write_json(folder / "video.json", _write(path, folder, pictures, settings, source_sha256, frame_rate, beat))
    except DecodeError as error:
        write_json(folder / "problem.json", {"found": error.found, "expected": error.expected})


def _write(
    path: Path,
    folder: Path,
    pictures: Pictures,
    settings: FrameSettings,
    source_sha256: str,
    frame_rate: float,
    beat: Beat,
) -> dict[str, Any]:
    decoder, distribution = DECODERS[pictures.codec]
    provenance = {
        "source_sha256": source_sha256,
        "container": "pictures",
        "codec": pictures.codec,
        **asdict(settings),
        "decoder": decoder,
        "decoder_version": version(distribution),
        "decoder_reason": "a folder of pictures",
        "frame_rate": frame_rate,
        "first_number": pictures.first,
    }
    tally = _Tally()
    scaler = VideoReformatter()

    def rows() -> Iterator[Row]:
        for index, time, picture in shown_frames(_frames(path, pictures, frame_rate, tally, beat), settings.fps):
            if index > LAST_INDEX:
                raise DecodeError(path, found=f"a picture at {time:g} s", expected=f"at most {LAST_INDEX} grid frames")
            small = shrink(scaler, picture.rgb, settings.short_side)
            tally.stored = small.shape[:2]
            if picture.jpeg and small is picture.rgb:
                tally.unchanged += 1
                yield Row(picture.jpeg, time, index)
            else:
                yield Row(encode_rgb(small, settings.quality), time, index)

    def describe() -> dict[str, Any]:
        return {**provenance, **_result(path, pictures, settings, frame_rate, tally)}

    rows_written = write_frames(folder / "frames.arrow", rows(), describe)
    return {**describe(), "rows": rows_written, "sha256": digest_file(folder / "frames.arrow")}


def _frames(
    path: Path, pictures: Pictures, frame_rate: float, tally: _Tally, beat: Beat
) -> Iterator[tuple[float, _Picture]]:
    """Yield the time and picture of all that can be decoded, scaled to the size of the first."""
    scaler = VideoReformatter()
    for number, name in pictures.names.items():
        beat()
        try:
            data = (path / name).read_bytes()
            rgb, is_plain = decode_picture(data)
        except (FileNotFoundError, IsADirectoryError):
            tally.lost.append(f"{name} is a link to nothing, or no file")
            continue
        except ValueError as error:
            tally.lost.append(f"{name}: {' '.join(str(error).split())}")
            continue
        tally.decoded += 1
        size = (rgb.shape[0], rgb.shape[1])
        if tally.size == (0, 0):
            tally.size = size
        if size != tally.size:
            tally.resized.append(f"{name} is {size[1]}x{size[0]}")
            source = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            height, width = tally.size
            scaled = scaler.reformat(source, width=width, height=height, format="rgb24", interpolation=AREA, threads=1)
            rgb, is_plain = scaled.to_ndarray().astype(np.uint8, copy=False), False
        yield (number - pictures.first) / frame_rate, _Picture(rgb, data if is_plain else b"")
    beat(last=True)


def _result(
    path: Path, pictures: Pictures, settings: FrameSettings, frame_rate: float, tally: _Tally
) -> dict[str, Any]:
    if tally.decoded < max(1, LEAST_DECODED * pictures.expected):
        found = f"{tally.decoded} of {pictures.expected} pictures decodable ({_some(tally.lost)})"
        raise DecodeError(path, found=found, expected=f"at least {LEAST_DECODED:.0%}")
    duration_seconds = pictures.expected / frame_rate
    return {
        "source_height": tally.size[0],
        "source_width": tally.size[1],
        "source_fps": frame_rate,
        "duration_seconds": duration_seconds,
        "stored_height": tally.stored[0],
        "stored_width": tally.stored[1],
        "frames_decoded": tally.decoded,
        "frames_expected": pictures.expected,
        "frames_failed": pictures.expected - tally.decoded,
        "frames_resized": len(tally.resized),
        "frames_unchanged": tally.unchanged,
        "frames_told": _some([*tally.lost, *_holes(pictures), *tally.resized]),
        "grid_frames": frame_count(duration_seconds, settings.fps, decoded=tally.decoded),
    }


def _holes(pictures: Pictures) -> list[str]:
    numbers = range(pictures.first, pictures.first + pictures.expected)
    return [f"there is no picture {number}" for number in numbers if number not in pictures.names]


def _some(faults: list[str]) -> str:
    more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
    return "; ".join(faults[:NAMED]) + more
