"""Cameras and streams: where live frames come from, one at a time, and how they end."""

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit, urlunsplit

import av

from pipeline.base.errors import InputError
from pipeline.video.decode import Picture
from pipeline.video.probe import DEFAULT_FRAME_SECONDS, Orientation, decode_packet, orientation

SCHEMES = ("rtsp", "rtsps", "http", "https")
EXPECTED = "camera:NUMBER, rtsp://... or http://..."
SILENCE_SECONDS = 10.0
"A source that gives nothing for this long is lost."
CLOCK_STEP_SECONDS = 10.0
"A longer step between two frames is another clock, not a pause."
PLAYLISTS = ("hls", "dash")
"Formats of FFmpeg whose length in bytes is not that of the film."
DEVICES = {
    "linux": ("v4l2", "/dev/video{}", {}),
    # FFmpeg asks for 29.97 frames a second as it stands, which many of Apple's cameras refuse.
    "darwin": ("avfoundation", "{}", {"framerate": "30"}),
}
"FFmpeg's device, the name of a camera by its number, and options, by platform."
NO_PACKET_SECONDS = 0.005
"How long a device is left alone that has no packet yet, and says so instead of waiting."


class CameraLost(InputError):
    """A source that was open gives no more frames, although it did not say that it ends."""

    def __init__(self, message: str, cause: str = "") -> None:
        super().__init__(message)
        self.cause = cause


class Taken(NamedTuple):
    """A frame of a camera."""

    seconds: float
    "Since the first frame, by the camera's clock."
    duration_seconds: float
    "For how long it is shown."
    picture: Picture


class Camera(Protocol):
    """What live prediction reads from."""

    name: str
    "Stands in messages, without passwords."

    def frames(self) -> Iterator[Taken]:
        """Yield frames as they come; the iterator ends where the source does.

        Raises:
            CameraLost: the source vanished.
        """

    def close(self) -> None:
        """Give the source back."""


def is_camera(source: str) -> bool:
    """Return whether a source is a camera or a stream, not a file."""
    return source.startswith("camera:") or urlsplit_or_none(source) is not None


def are_live(sources: Sequence[str], options: Mapping[str, object]) -> bool:
    """Return whether the source is a camera; it must be the only one, and options that need a film not given.

    Args:
        sources: what is predicted.
        options: name and value of such options; a false value where one is not given.

    Raises:
        InputError: there is a camera, and one of this does not hold.
    """
    name = next((shown_name(each) for each in sources if is_camera(each)), None)
    if name is None:
        return False
    if len(sources) > 1:
        raise InputError(f"{name}: a camera is predicted alone, found {len(sources)} sources")
    for option, value in options.items():
        if value:
            raise InputError(f"{option}: does not go with {name}, which is no film")
    return True


def urlsplit_or_none(source: str) -> Any:
    """Split the URL of a stream; None for everything else."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", source)
    return urlsplit(source) if match and match[1].lower() in SCHEMES else None


def shown_name(source: str) -> str:
    """Return the name of a source without its user, password and query, which may hold a key."""
    parts = urlsplit_or_none(source)
    if parts is None:
        return source
    return str(urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")))


def open_camera(source: str, *, silence_seconds: float = SILENCE_SECONDS) -> "StreamCamera":
    """Open a camera (`camera:0`) or a stream (`rtsp://`, `http://`).

    Args:
        source: what to open.
        silence_seconds: a source that gives nothing for this long is lost.

    Raises:
        InputError: it is no camera or stream, or cannot be opened, or holds no video.
    """
    name = shown_name(source)
    place, kind, options = address_of(source)
    try:
        container = av.open(place, format=kind, options=options, timeout=silence_seconds, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        if isinstance(error, MemoryError):
            raise
        raise InputError(f"{name}: cannot be opened: {_cause(error, silence_seconds)}") from None
    stream = container.streams.best("video")
    if stream is None or stream.codec_context is None:
        container.close()
        raise InputError(f"{name}: holds no video")
    stream.codec_context.thread_count = 1
    camera = StreamCamera(container, stream, name, silence_seconds)
    try:
        camera.begin()
    except InputError:
        container.close()
        raise
    return camera


def address_of(source: str) -> tuple[str, str | None, dict[str, str]]:
    """Return what FFmpeg opens for a source, its format (None: found out), and its options.

    Raises:
        InputError: it is no camera or stream.
    """
    if source.startswith("camera:"):
        number = source.removeprefix("camera:")
        if not re.fullmatch("[0-9]{1,3}", number):
            raise InputError(f"{source}: expected {EXPECTED}")
        if sys.platform not in DEVICES:
            raise InputError(f"{source}: cameras cannot be opened on {sys.platform}; expected rtsp:// or http://")
        kind, name, options = DEVICES[sys.platform]
        return name.format(number), kind, dict(options)
    if urlsplit_or_none(source) is None:
        more = "; `actionbank predict` takes files" if Path(source).exists() else ""
        raise InputError(f"{shown_name(source)}: expected {EXPECTED}{more}")
    if source.lower().startswith("rtsp"):
        # Lost packets of UDP would be damaged frames; but there are cameras that speak UDP alone.
        return source, None, {"rtsp_flags": "prefer_tcp"}
    return source, None, {}


class StreamCamera:
    """A camera that FFmpeg reads.

    A recording that is served as a stream gives each frame at its time, not as fast as it can be fetched.
    """

    def __init__(
        self,
        container: Any,
        stream: Any,
        name: str,
        silence_seconds: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = name
        self._container, self._stream, self._silence = container, stream, silence_seconds
        self._is_recording = _is_recording(container)
        self._sleep, self._last = sleep, 0.0
        self._all_packets = self._packets()
        self._first: list[Any] = []

    def begin(self) -> None:
        """Read the first packet, so that a source without any is known before a result is begun.

        Raises:
            InputError: there is none.
        """
        try:
            self._first = [next(self._all_packets)]
        except CameraLost as error:
            if error.cause != _silent(self._silence) and _is_mp4(self._container):
                raise InputError(
                    f"{self.name}: cannot be read as a stream: the index of this MP4 is at its end, and the server "
                    "answers no ranges; `ffmpeg -i FILE -c copy -movflags +faststart NEW.mp4` moves the index to the "
                    "front, or give the file itself to `actionbank predict`"
                ) from None
            raise InputError(f"{self.name}: cannot be opened: {error.cause}") from None

    def frames(self) -> Iterator[Taken]:
        """See `Camera.frames`."""
        clock = StreamClock(self._stream)
        look: tuple[int, int, Orientation] | None = None
        began = time.monotonic()
        for packet in chain(self._first, self._all_packets):
            for frame in decode_packet(packet):
                if frame.is_corrupt:
                    continue
                taken = clock.time_of(frame)
                if taken is None:
                    continue
                self._last, duration = taken
                if self._is_recording and (early := self._last - (time.monotonic() - began)) > 0:
                    self._sleep(early)
                look = look or (frame.height, frame.width, self._turn(frame))
                yield Taken(self._last, duration, Picture(frame, *look))

    def close(self) -> None:
        """See `Camera.close`."""
        self._container.close()

    def _packets(self) -> Iterator[Any]:
        """Yield the video's packets; the others are read as well, since sound may go on where the picture has ended."""
        packets, waited, began = self._container.demux(), 0.0, False
        while True:
            asked = time.monotonic()
            try:
                packet = next(packets)
            except av.BlockingIOError:  # avfoundation
                time.sleep(NO_PACKET_SECONDS)
                packets = self._container.demux()
                packet = None
            except (StopIteration, av.EOFError):
                if self._is_recording:
                    return
                raise self._lost("the server ended the stream") from None
            except av.FFmpegError as error:
                if isinstance(error, MemoryError):
                    raise
                raise self._lost(_cause(error, self._silence)) from None
            # Time in which the reader was elsewhere does not count.
            waited += time.monotonic() - asked
            is_picture = packet is not None and packet.stream is self._stream
            if waited > self._silence and (began or not is_picture):
                # FFmpeg's own limit starts anew with each packet of any kind, and RTSP passes over its first end.
                raise self._lost(_silent(self._silence))
            if is_picture:
                waited, began = 0.0, True
                yield packet

    def _lost(self, cause: str) -> CameraLost:
        return CameraLost(f"{self.name}: was lost after {self._last:.1f} s: {cause}", cause)

    def _turn(self, frame: Any) -> Orientation:
        return orientation(Path(self.name), frame)


def _is_recording(container: Any) -> bool:
    """Return whether the end of a source is known: its duration, or its length in bytes if it is no playlist.

    A server without ranges lets FFmpeg seek nothing, and then MPEG-TS has no duration.
    """
    if container.duration and container.duration > 0:
        return True
    return container.size > 0 and container.format.name not in PLAYLISTS


class StreamClock:
    """Turns the times of a stream's frames into seconds since the first one, strictly ascending."""

    def __init__(self, stream: Any) -> None:
        rate = stream.average_rate or stream.guessed_rate
        self._usual = float(1 / rate) if rate else DEFAULT_FRAME_SECONDS
        self._start: int | None = None
        self._offset = 0.0
        self._last: float | None = None

    def time_of(self, frame: Any) -> tuple[float, float] | None:
        """Return (seconds, duration) of a frame; None for one whose time does not ascend, which is left out.

        A frame without a time follows the one before. A step back, or a long one forward, is a clock that was set
        anew, as cameras do: time goes on.
        """
        base = frame.time_base
        duration = frame.duration * base.numerator / base.denominator if frame.duration else self._usual
        due = 0.0 if self._last is None else self._last + self._usual
        if frame.pts is None:
            seconds = due
        else:
            self._start = frame.pts if self._start is None else self._start
            # Rounded only once, as the times of a file are.
            seconds = (frame.pts - self._start) * base.numerator / base.denominator + self._offset
            if self._last is not None and abs(seconds - self._last) > CLOCK_STEP_SECONDS:
                self._offset += due - seconds
                seconds = due
        if self._last is not None and seconds <= self._last:
            return None
        self._last = seconds
        return seconds, duration


def _is_mp4(container: Any) -> bool:
    """Return whether a source is an MP4, which opens with its index wherever that is, and has its pictures before."""
    return "mp4" in container.format.name.split(",")


def _silent(seconds: float) -> str:
    return f"no picture came for {seconds:g} s"


def _cause(error: Exception, silence_seconds: float) -> str:
    if isinstance(error, av.ExitError):
        return _silent(silence_seconds)
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split())
