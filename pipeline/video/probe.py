"""Find out what a video file holds, by reading its packets and decoding only its codec's keyframes.

This takes 1 to 5 % of the time of a decode, and gives every frame's presentation time in advance. A decode is checked
against these times.
"""

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.base.errors import InputError
from pipeline.base.problems import ProblemKind
from pipeline.video.samples import why_no_planes

# decord confuses frames of MPEG-TS or hangs on them, and has no usable times in MPEG-PS and AVI (measured).
NOT_FOR_DECORD = ("mpegts", "mpeg", "avi")
# decord cannot read AV1, and rounds the inverse transform of MPEG-4 Part 2 differently (by at most 2 of 255).
CODECS_NOT_FOR_DECORD = ("av1", "mpeg4")
# Formats that decord converts to the same RGB bytes as PyAV (measured); it rounds others differently.
EXACT_FORMATS = {f"yuv{letter}{kind}p" for letter in ("", "j") for kind in ("420", "422", "444")}
# Errors when opening a file that do not mean that the file is bad.
NOT_OF_THE_FILE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EPERM, errno.ESTALE, errno.ENOENT)
# No codec reorders frames by more than 16, so the first displayed frame of a film is among this many packets.
REORDERED = 64
NO_PTS = np.iinfo(np.int64).min
DEFAULT_FRAME_SECONDS = 0.04

# The part of a display matrix that is used: swap the axes, then flip x, then flip y.
Orientation = tuple[bool, bool, bool]
UPRIGHT: Orientation = (False, False, False)


class DecodeError(InputError):
    """A file that is not a video, or of which too little can be decoded."""

    def __init__(self, file: Path, *, found: str, expected: str, kind: ProblemKind = "unreadable") -> None:
        super().__init__(f"{file}: found {found}, expected {expected}")
        self.found = found
        self.expected = expected
        self.kind = kind


@dataclass(frozen=True)
class Media:
    """A video stream as its packets describe it."""

    container: str
    codec: str
    time_base: Fraction
    "Seconds per unit of `pts`."
    pts: NDArray[np.int64]
    "Presentation times of the frames to be displayed, ascending."
    durations: NDArray[np.int64]
    "Durations of the same frames; 0 where the file gives none."
    is_timed: bool
    "Whether every frame to be displayed has a time."
    start: int
    "The presentation time of the first displayed frame, which is the film's time 0."
    frame_seconds: float
    "Duration of a typical frame."
    expected_frames: int
    "Number of frames that would be displayed if the file is undamaged."
    height: int
    width: int
    "As displayed; 0 if no keyframe was decoded."
    not_decord: str
    "Why decord cannot be trusted with this file; empty if it can."
    not_planes: str
    "Why the decoded planes cannot be stored without going through RGB; empty if they can."

    def film_seconds(self, pts: int) -> float:
        """Convert to seconds from the film's start, rounded only once: 60 frames at 25 per second end at 2.4."""
        return (pts - self.start) * self.time_base.numerator / self.time_base.denominator

    @property
    def seconds(self) -> list[float]:
        """`film_seconds` of every frame to be displayed."""
        return [self.film_seconds(pts) for pts in self.pts.tolist()]

    def end_seconds(self, time_seconds: float) -> float:
        """Return when the frame that is displayed from `time_seconds` on ends."""
        row = int(np.searchsorted(self.pts, self.start + round(time_seconds / self.time_base)))
        if row < len(self.pts) and self.durations[row] and self.film_seconds(int(self.pts[row])) == time_seconds:
            return self.film_seconds(int(self.pts[row] + self.durations[row]))
        return time_seconds + self.frame_seconds


@contextlib.contextmanager
def open_video(path: Path) -> Iterator[tuple[Any, Any]]:
    """Yield PyAV's (container, video stream) of a file; one decoding thread.

    Of several video streams FFmpeg's choice is taken; a cover image does not count as video.

    Raises:
        DecodeError: the file is empty, not a media file, or holds no video.
    """
    if path.stat().st_size == 0:
        raise DecodeError(path, found="0 bytes", expected="a video file", kind="film-empty")
    try:
        container = av.open(str(path), metadata_errors="replace")
    except MemoryError:  # PyAV's MemoryError is an FFmpegError too
        raise
    except av.FFmpegError as error:
        if error.errno in NOT_OF_THE_FILE:
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from None
        raise DecodeError(path, found=f"no media file ({error.strerror})", expected="a video file") from None
    with container:
        stream = container.streams.best("video")
        if stream is None or _is_cover(stream):
            kinds = ", ".join(sorted({each.type for each in container.streams})) or "none"
            found = f"no video stream (streams: {kinds})"
            raise DecodeError(path, found=found, expected="a video stream", kind="film-without-video")
        if stream.codec_context is None:
            raise DecodeError(path, found="a video stream of an unknown codec", expected="a codec of FFmpeg")
        stream.codec_context.thread_count = 1
        yield container, stream


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def read_packets(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the stream's packets, then an empty one that flushes the decoder; a damaged rest counts as the end."""
    packets = container.demux(stream)
    while True:
        try:
            yield next(packets)
        except StopIteration:
            return
        except IndexError:  # PyAV found a stream that begins in mid-file; it may be another one, so read on
            packets = container.demux(stream)
        except MemoryError:
            raise
        except av.FFmpegError:
            last = av.Packet()
            last.stream = stream
            yield last
            return


def decode_packet(packet: Any) -> list[Any]:
    """Decode the frames that a packet completes; empty if it is damaged."""
    try:
        return list(packet.decode())
    except MemoryError:
        raise
    except av.FFmpegError:
        return []


def orientation(path: Path, frame: Any) -> Orientation:
    """Return how a decoded frame must be rotated and flipped for display.

    The display matrix maps a pixel (x, y) to (a x + c y, b x + d y).

    Raises:
        DecodeError: the matrix is not a rotation by a multiple of 90 degrees.
    """
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
            if b == c == 0 and a and d:
                return False, a < 0, d < 0
            if a == d == 0 and b and c:
                return True, c < 0, b < 0
            raise DecodeError(
                path, found=f"display matrix {a} {b} {c} {d}", expected="a turn by a multiple of 90 degrees"
            )
    return UPRIGHT


class FrameLook(NamedTuple):
    """Properties that must not change within a file that decord reads."""

    width: int
    height: int
    pixel_format: str
    turn: Orientation


def probe_video(path: Path, beat: Callable[[], None] = lambda: None) -> Media:
    """Read a file's packets, and decode its codec's keyframes.

    Args:
        path: the video file.
        beat: called regularly, so that a watcher sees progress.

    Raises:
        DecodeError: the file is empty, not a media file, or holds no video frame.
    """
    with open_video(path) as (container, stream):
        stream.codec_context.skip_frame = "NONKEY"
        packets: list[tuple[int, int, bool, bool]] = []
        looks: set[FrameLook] = set()
        not_planes: set[str] = set()
        keys = 0
        for packet in read_packets(container, stream):
            if packet.size:
                pts = NO_PTS if packet.pts is None else packet.pts
                packets.append((pts, packet.duration or 0, packet.is_keyframe, packet.is_discard))
                keys += packet.is_keyframe
            if (packet.is_keyframe or not packet.size) and not _all_keyframes(keys, len(packets)):
                for frame in decode_packet(packet):
                    looks.add(FrameLook(frame.width, frame.height, frame.format.name, orientation(path, frame)))
                    not_planes.add(why_no_planes(frame))
            if len(packets) % 256 == 0:
                beat()
        media = _describe(path, container, stream, np.array(packets, np.int64).reshape(-1, 4), looks)
        changes = "size or format changes" if len(looks) > 1 else ""
        return replace(media, not_planes=changes or max(not_planes, default="no keyframe can be decoded"))


def _describe(path: Path, container: Any, stream: Any, packets: NDArray[np.int64], looks: set[FrameLook]) -> Media:
    pts, durations, is_key, is_discard = packets.T
    first_key = int(is_key.argmax()) if len(packets) else 0
    # Frames before the first keyframe, in file order or display order, lack the frames they were predicted from.
    led = np.arange(len(packets)) >= first_key
    if len(packets) and not is_discard[first_key]:
        led &= (pts >= pts[first_key]) | (pts == NO_PTS)
    shown = led & (is_discard == 0)
    if not shown.any():
        raise DecodeError(path, found=f"no frame in {len(packets)} packets of video", expected="at least one frame")
    timed = np.flatnonzero(shown & (pts != NO_PTS))
    is_timed = len(timed) == int(shown.sum())
    order = timed[np.argsort(pts[timed], kind="stable")]
    # The earliest of the first packets, not of all: in a joined transport stream the times may start again.
    start = int(pts[timed[:REORDERED]].min()) if len(timed) else 0
    stated = durations[shown & (durations > 0)]
    rate = stream.average_rate or stream.guessed_rate
    frame_seconds = float(1 / rate) if rate else DEFAULT_FRAME_SECONDS
    if len(stated):
        frame_seconds = float(np.median(stated)) * float(stream.time_base)
    codec = stream.codec_context.codec.canonical_name
    left_out = len(packets) - int(led.sum())
    look = min(looks, default=FrameLook(0, 0, "", UPRIGHT))
    faults = {
        f"container {container.format.name}": container.format.name in NOT_FOR_DECORD,
        f"codec {codec}": codec in CODECS_NOT_FOR_DECORD,
        "several video streams": sum(not _is_cover(each) for each in container.streams.video) > 1,
        "edit list": bool(is_discard.any()),
        "frames before the first keyframe": left_out > 0,
        "frames without a time": not is_timed,
        "negative first time": start < 0,
        "most frames are keyframes": _all_keyframes(int(is_key.sum()), len(packets)),
        "no keyframe can be decoded": not looks,
        "size or format changes": len(looks) > 1,
        f"pixel format {look.pixel_format}": look.pixel_format not in EXACT_FORMATS,
        "odd height of a halved chroma": look.height % 2 == 1 and look.pixel_format.endswith("420p"),
        "mirrored": sum(look.turn) % 2 == 1,
    }
    last_seconds = float(pts[order[-1]] * stream.time_base) + frame_seconds if len(order) else 0.0
    return Media(
        container=container.format.name,
        codec=codec,
        time_base=stream.time_base,
        pts=pts[order],
        durations=durations[order],
        is_timed=is_timed,
        start=start,
        frame_seconds=frame_seconds,
        expected_frames=_expected_frames(container, stream, int(shown.sum()), left_out, last_seconds, frame_seconds),
        height=look.width if look.turn[0] else look.height,
        width=look.height if look.turn[0] else look.width,
        not_decord=next((fault for fault, holds in faults.items() if holds), ""),
        not_planes="",
    )


def _all_keyframes(keys: int, packets: int) -> bool:
    # To decode so many keyframes would take as long as to decode the film.
    return keys > REORDERED + packets // 4


def _expected_frames(
    container: Any, stream: Any, shown: int, left_out: int, last_seconds: float, frame_seconds: float
) -> int:
    """Return the number of frames that the file announces, to detect a truncated file."""
    if "mp4" in container.format.name:  # its index lists every sample, even of a truncated file
        return max(shown, sum(not entry.is_discard for entry in stream.index_entries) - left_out)
    if "matroska" in container.format.name:
        announced = _tagged_seconds(stream)
        if not announced and len(container.streams) == 1:
            announced = (container.duration or 0) / av.time_base
        missing = (announced - last_seconds) / frame_seconds
        return shown + (round(missing) if missing >= 2 else 0)  # less is rounding of the announced length
    return max(shown, int(stream.frames) - left_out)


def _tagged_seconds(stream: Any) -> float:
    """Read the length in seconds of a Matroska stream from its DURATION tag (HH:MM:SS.fraction); 0 without one."""
    match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else 0.0
