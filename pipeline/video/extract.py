"""Extract one video: decode it once, select the frames of the grid, scale them down, and store them as JPEGs."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

import av
import numpy as np
import simplejpeg
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from pipeline.base.files import digest_file, write_json
from pipeline.video.children import Beat, no_beat
from pipeline.video.chosen_frames import ChosenFrames, UnforeseenFramesError, Wanted, choose_frames
from pipeline.video.decode import InexactDecode, Picture, decode_pictures, decode_video
from pipeline.video.grid import EVERY_FRAME, frame_count, shown_frames
from pipeline.video.planes import PlaneScaler
from pipeline.video.probe import DecodeError, Media, probe_video
from pipeline.video.samples import look_of, why_no_planes
from pipeline.video.settings import ClipFrames, Frames
from pipeline.video.size import stored_size
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


class Way(NamedTuple):
    """A way to decode a film and to make JPEGs of its frames."""

    pixels: Literal["planes", "rgb"]
    "What is scaled and encoded."
    decoder: Literal["decord", "pyav"]


def ways_of(media: Media, hung: str = "") -> list[Way]:
    """Return the ways to extract a film, the best first; the next one is for a film that proves inexact in one.

    Args:
        media: what `probe_video` found.
        hung: what happened to a decoder in the first way; it is left out, unless there is no other.
    """
    ways = [Way("rgb", "pyav")]
    if not media.not_decord:
        ways.insert(0, Way("rgb", "decord"))
    if not media.not_planes:
        ways.insert(0, Way("planes", "pyav"))
    return ways[1:] or ways if hung else ways


@dataclass
class _Tally:
    decoded: int = 0
    left_out: list[int] = field(default_factory=list)  # first grid index of each
    last_seconds: float = 0.0
    source: tuple[int, int] = (0, 0)  # height, width
    stored: tuple[int, int] = (0, 0)


def extract_video(
    path: Path,
    folder: Path,
    settings: FrameSettings,
    source_sha256: str,
    hung: str = "",
    beat: Beat = no_beat,
    wanted: Wanted | None = None,
) -> None:
    """Write `frames.arrow` and `video.json` of a video into `folder`, or `problem.json` if it is unreadable.

    The bytes depend on all arguments except the path, so the same video under two names is the same item.

    Args:
        path: the video file.
        folder: an empty folder.
        settings: see `FrameSettings`.
        source_sha256: sha256 of the file, for the provenance.
        hung: why the usual way must not be used; empty allows it.
        beat: called at every frame, and when the last one is decoded.
        wanted: says which frames are stored; the others are left out, unless the packets of the file do not tell its
            frames. The stored ones have the bytes that they have without it. None stores all.
    """
    try:
        media = probe_video(path, beat)
        chosen = None if wanted is None else choose_frames(media, settings.fps, wanted)
        origin = {
            "source_sha256": source_sha256,
            "container": media.container,
            "codec": media.codec,
            **asdict(settings),
        }
        for kept in (chosen, None) if chosen else (None,):
            with contextlib.suppress(UnforeseenFramesError):
                write_json(folder / "video.json", _write_best(path, folder, media, settings, origin, hung, beat, kept))
                break
    except DecodeError as error:
        write_json(folder / "problem.json", {"found": error.found, "expected": error.expected})


def _write_best(
    path: Path,
    folder: Path,
    media: Media,
    settings: FrameSettings,
    origin: dict[str, Any],
    hung: str,
    beat: Beat,
    chosen: ChosenFrames | None,
) -> dict[str, Any]:
    """Write the frames in the first way that proves exact, and return the video's record."""
    reasons = {"planes": media.not_planes or hung, "decord": media.not_decord or (hung if media.not_planes else "")}
    ways = ways_of(media, hung)
    if chosen is not None:  # PyAV converts to RGB only what is stored, and gives decord's bytes where decord is exact
        ways = [way for way in ways if way.decoder == "pyav"]
        reasons["decord"] = reasons["decord"] or "frames are left out"
    *others, last = ways
    for way in others:
        try:
            return _write(path, folder, media, settings, way, {**origin, **_provenance(way, reasons)}, beat, chosen)
        except InexactDecode as error:
            reasons["planes" if way.pixels == "planes" else way.decoder] = str(error)
    return _write(path, folder, media, settings, last, {**origin, **_provenance(last, reasons)}, beat, chosen)


def _provenance(way: Way, reasons: Mapping[str, str]) -> dict[str, str]:
    """Say how frames are made, and why in this way; a reason is empty for what is preferred."""
    is_planes, is_decord = way.pixels == "planes", way.decoder == "decord"
    not_decord = reasons["decord"] or ("decord gives no planes" if is_planes else "")
    return {
        "decoder": way.decoder,
        "decoder_version": version("decord" if is_decord else "av"),
        "decoder_reason": "" if is_decord else not_decord,
        "pixels": way.pixels,
        "pixels_reason": "" if is_planes else reasons["planes"],
    }


def _write(
    path: Path,
    folder: Path,
    media: Media,
    settings: FrameSettings,
    way: Way,
    provenance: dict[str, Any],
    beat: Beat,
    chosen: ChosenFrames | None = None,
) -> dict[str, Any]:
    """Decode in a way, write the frames, and return the video's record."""
    tally = _Tally()
    maker = JpegMaker(settings)

    def frames() -> Iterator[tuple[float, Any]]:
        for time, frame in decode_in(path, media, way) if chosen is None else _chosen_in(path, media, way, chosen):
            tally.decoded += 1
            tally.last_seconds = time
            beat()
            yield time, frame
        beat(last=True)

    def rows() -> Iterator[Row]:
        for index, time, frame in shown_frames(frames(), settings.fps):
            if index > LAST_INDEX:
                raise DecodeError(path, found=f"a frame at {time:g} s", expected=f"at most {LAST_INDEX} grid frames")
            if frame is None:
                tally.left_out.append(index)
                yield Row(b"", time, index)
                continue
            tally.source = frame.shape[:2]
            jpeg, tally.stored = maker.from_planes(frame) if way.pixels == "planes" else maker.from_rgb(frame)
            yield Row(jpeg, time, index)

    def describe() -> dict[str, Any]:
        result = _result(path, media, settings, tally)
        if chosen is not None:
            result["frames_left_out"] = sum(index < result["grid_frames"] for index in tally.left_out)
        return {**provenance, **result}

    rows_written = write_frames(folder / "frames.arrow", rows(), describe)
    return {**describe(), "rows": rows_written, "sha256": digest_file(folder / "frames.arrow")}


def decode_in(path: Path, media: Media, way: Way) -> Iterator[tuple[float, Any]]:
    """Yield (seconds, RGB), or (seconds, `Picture`) where planes are stored.

    Raises:
        InexactDecode: the film must be read in another way.
    """
    if way.pixels == "rgb":
        yield from decode_video(path, media, decoder=way.decoder)
        return
    first: tuple[Any, ...] | None = None
    for time, picture in decode_pictures(path, media):
        look = look_of(picture.frame)
        if first is None and (reason := why_no_planes(picture.frame)):
            raise InexactDecode(reason)
        first = first or look
        if look != first:
            raise InexactDecode("size, format or colours change")
        yield time, picture


def _chosen_in(path: Path, media: Media, way: Way, chosen: ChosenFrames) -> Iterator[tuple[float, Any]]:
    """Yield as `decode_in`, but None for a frame that is not stored."""
    if way.pixels == "planes":
        yield from chosen.select(decode_in(path, media, way))
        return
    reformatter = VideoReformatter()
    for time, picture in chosen.select(decode_pictures(path, media)):
        yield time, None if picture is None else picture.rgb(reformatter)


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


class JpegMaker:
    """Makes the JPEGs that are stored; holds what FFmpeg prepares for the sizes of a film."""

    def __init__(self, settings: FrameSettings) -> None:
        self._settings = settings
        self._planes, self._scaler, self._converter = PlaneScaler(), VideoReformatter(), VideoReformatter()

    def from_planes(self, picture: Picture) -> tuple[bytes, tuple[int, int]]:
        """Return a frame's JPEG and its (height, width), made without RGB; for frames that `why_no_planes` allows."""
        return self._planes.jpeg(picture, self._settings.short_side, self._settings.quality)

    def from_rgb(self, rgb: NDArray[np.uint8]) -> tuple[bytes, tuple[int, int]]:
        """Return the JPEG of an RGB frame [height, width, 3] and its (height, width)."""
        small = shrink(self._scaler, rgb, self._settings.short_side)
        return encode_rgb(small, self._settings.quality), small.shape[:2]

    def from_either(self, picture: Picture) -> tuple[bytes, tuple[int, int]]:
        """Return the same, from planes where they can be stored; other frames of its film may be made differently."""
        is_resized = (picture.frame.height, picture.frame.width) != (picture.height, picture.width)
        if is_resized or why_no_planes(picture.frame):
            return self.from_rgb(picture.rgb(self._converter))
        return self.from_planes(picture)


def encode_rgb(rgb: NDArray[np.uint8], quality: int) -> bytes:
    """Encode an RGB frame [height, width, 3] at its size."""
    jpeg: bytes = simplejpeg.encode_jpeg(rgb, quality, colorspace="RGB", colorsubsampling="420")
    return jpeg


def shrink(scaler: VideoReformatter, frame: NDArray[np.uint8], short_side: int | None) -> NDArray[np.uint8]:
    """Scale an RGB frame [height, width, 3] down to a short side, by area average; smaller frames are unchanged."""
    height, width = frame.shape[:2]
    if (height, width) == stored_size(height, width, short_side):
        return frame
    height, width = stored_size(height, width, short_side)
    # This copies the frame into a buffer with the padding that FFmpeg's vector code reads.
    source = av.VideoFrame.from_ndarray(frame, format="rgb24")
    scaled = scaler.reformat(source, width=width, height=height, format="rgb24", interpolation=AREA, threads=1)
    return scaled.to_ndarray().astype(np.uint8, copy=False)
