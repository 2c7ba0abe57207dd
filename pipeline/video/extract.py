"""Extract one video: decode it once, select the frames of the grid, scale them down, and store them as JPEGs."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import numpy as np
import simplejpeg
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from pipeline.base.files import digest_file, write_json
from pipeline.video.children import Beat, no_beat
from pipeline.video.decode import InexactDecode, decode_video
from pipeline.video.grid import EVERY_FRAME, frame_count, shown_frames
from pipeline.video.probe import DecodeError, Media, probe_video
from pipeline.video.settings import ClipFrames, Frames
from pipeline.video.size import scaled_size
from pipeline.video.store import Row, write_frames

# A file is bad if a smaller share of it can be decoded; otherwise it is kept, and its missing frames are reported.
LEAST_DECODED = 0.95
# Exact area average (checked against one in float64); without the last three flags chroma is first halved.
AREA = Interpolation.AREA | Interpolation.FULL_CHR_H_INP | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
LAST_INDEX = int(np.iinfo(np.int32).max)


@dataclass(frozen=True)
class FrameSettings:
    """Settings that stored frames depend on, besides the video."""

    fps: float  # of the grid; or EVERY_FRAME
    short_side: int | None  # pixels; None keeps the source's size
    quality: int  # of the JPEGs, 1 to 100


def frame_settings(frames: Frames | ClipFrames) -> FrameSettings:
    """Select the parameters that stored frames depend on."""
    fps = EVERY_FRAME if frames.fps == "source" else frames.fps
    return FrameSettings(fps, None if frames.short_side == "none" else frames.short_side, frames.quality)


@dataclass
class _Tally:
    decoded: int = 0
    last_seconds: float = 0.0
    source: tuple[int, int] = (0, 0)  # height, width
    stored: tuple[int, int] = (0, 0)


def extract_video(
    path: Path,
    folder: Path,
    settings: FrameSettings,
    source_sha256: str,
    avoid_decord: str = "",
    beat: Beat = no_beat,
) -> None:
    """Write `frames.arrow` and `video.json` of a video into `folder`, or `problem.json` if it is unreadable.

    The bytes depend on all arguments except the path, so the same video under two names is the same item.

    Args:
        path: the video file.
        folder: an empty folder.
        settings: see `FrameSettings`.
        source_sha256: sha256 of the file, for the provenance.
        avoid_decord: why decord must not be used; empty allows it where it is exact.
        beat: called at every frame, and when the last one is decoded.
    """
    try:
        media = probe_video(path, beat)
        origin = {
            "source_sha256": source_sha256,
            "container": media.container,
            "codec": media.codec,
            **asdict(settings),
        }
        reason = media.not_decord or avoid_decord
        if not reason:
            try:
                record = _write(path, folder, media, settings, {**origin, **_decoder("decord", "")}, beat)
            except InexactDecode as error:
                reason = str(error)
        if reason:
            record = _write(path, folder, media, settings, {**origin, **_decoder("pyav", reason)}, beat)
        write_json(folder / "video.json", record)
    except DecodeError as error:
        write_json(folder / "problem.json", {"found": error.found, "expected": error.expected})


def _decoder(name: str, reason: str) -> dict[str, str]:
    distribution = {"decord": "decord", "pyav": "av"}[name]
    return {"decoder": name, "decoder_version": version(distribution), "decoder_reason": reason}


def _write(
    path: Path,
    folder: Path,
    media: Media,
    settings: FrameSettings,
    provenance: dict[str, Any],
    beat: Beat,
) -> dict[str, Any]:
    """Decode with `provenance["decoder"]`, write the frames, and return the video's record."""
    tally = _Tally()
    scaler = VideoReformatter()

    def frames() -> Iterator[tuple[float, NDArray[np.uint8]]]:
        for time, frame in decode_video(path, media, decoder=provenance["decoder"]):
            tally.decoded += 1
            tally.last_seconds = time
            tally.source = frame.shape[:2]
            beat()
            yield time, frame
        beat(last=True)

    def rows() -> Iterator[Row]:
        for index, time, frame in shown_frames(frames(), settings.fps):
            if index > LAST_INDEX:
                raise DecodeError(path, found=f"a frame at {time:g} s", expected=f"at most {LAST_INDEX} grid frames")
            small = shrink(scaler, frame, settings.short_side)
            tally.stored = small.shape[:2]
            yield Row(jpeg_of(small, settings), time, index)

    def describe() -> dict[str, Any]:
        return {**provenance, **_result(path, media, settings, tally)}

    rows_written = write_frames(folder / "frames.arrow", rows(), describe)
    return {**describe(), "rows": rows_written, "sha256": digest_file(folder / "frames.arrow")}


def _result(path: Path, media: Media, settings: FrameSettings, tally: _Tally) -> dict[str, Any]:
    if tally.decoded < max(1, LEAST_DECODED * media.expected_frames):
        raise DecodeError(
            path,
            found=f"{tally.decoded} of {media.expected_frames} frames decodable",
            expected=f"at least {LEAST_DECODED:.0%}",
        )
    duration_seconds = media.end_seconds(tally.last_seconds)
    return {
        "source_height": tally.source[0],
        "source_width": tally.source[1],
        "source_fps": tally.decoded / duration_seconds,
        "duration_seconds": duration_seconds,
        "stored_height": tally.stored[0],
        "stored_width": tally.stored[1],
        "frames_decoded": tally.decoded,
        "frames_expected": media.expected_frames,
        "frames_failed": max(0, media.expected_frames - tally.decoded),
        "grid_frames": frame_count(duration_seconds, settings.fps, decoded=tally.decoded),
    }


def jpeg_of(frame: NDArray[np.uint8], settings: FrameSettings) -> bytes:
    """Encode an RGB frame [height, width, 3] as it is stored."""
    jpeg: bytes = simplejpeg.encode_jpeg(frame, settings.quality, colorspace="RGB", colorsubsampling="420")
    return jpeg


def shrink(scaler: VideoReformatter, frame: NDArray[np.uint8], short_side: int | None) -> NDArray[np.uint8]:
    """Scale an RGB frame [height, width, 3] down to a short side, by area average; smaller frames are unchanged."""
    height, width = frame.shape[:2]
    if short_side is None or min(height, width) <= short_side:
        return frame
    height, width = scaled_size(height, width, short_side)
    # This copies the frame into a buffer with the padding that FFmpeg's vector code reads.
    source = av.VideoFrame.from_ndarray(frame, format="rgb24")
    scaled = scaler.reformat(source, width=width, height=height, format="rgb24", interpolation=AREA, threads=1)
    return scaled.to_ndarray().astype(np.uint8, copy=False)
