"""Decode a video file into frames; all code that needs frames of a file calls this module.

decord is used where it is exact, else PyAV. Both read in one sequential pass, because random access silently returns
wrong frames on open-GOP H.264 and HEVC. `pipeline.video.probe` decides which decoder can be trusted with a file.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import decord
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from pipeline.video.probe import Media, Orientation, decode_packet, open_video, orientation, read_packets

# Transport streams may be joined from pieces with different clocks: a longer step than this is not a pause.
CLOCK_STEP_SECONDS = 10.0
RESTARTING_CLOCKS = ("mpegts", "mpeg")


class InexactDecode(Exception):
    """A film cannot be read in this way: its frames, or their times, differ from what the file announced."""


@dataclass(frozen=True)
class Picture:
    """A decoded frame, and how it is displayed."""

    frame: Any
    "PyAV's frame, as coded."
    height: int
    width: int
    "Of the film's first frame, as coded; RGB is scaled to it."
    turn: Orientation

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) as displayed."""
        return (self.width, self.height) if self.turn[0] else (self.height, self.width)

    def rgb(self, reformatter: VideoReformatter) -> NDArray[np.uint8]:
        """Convert to RGB [height, width, 3] as displayed.

        The flag decides about chroma of formats without an exact converter, such as those of 10 bits; FFmpeg's command
        and decord take others there, so that readers differ on these (docs/frames.md).
        """
        scaled = reformatter.reformat(
            self.frame, width=self.width, height=self.height, format="rgb24",
            interpolation=Interpolation.BICUBIC, threads=1,
        )  # fmt: skip
        return np.ascontiguousarray(turned(scaled.to_ndarray(), self.turn), np.uint8)


def turned(picture: NDArray[Any], turn: Orientation) -> NDArray[Any]:
    """Return a view of a picture or plane [height, width, ...] as displayed."""
    transpose, flip_x, flip_y = turn
    if transpose:
        picture = picture.swapaxes(0, 1)
    if flip_x:
        picture = picture[:, ::-1]
    if flip_y:
        picture = picture[::-1]
    return picture


def decode_video(path: Path, media: Media, *, decoder: str) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Yield every frame of a video in display order.

    Time 0 is the first displayed frame. Frames that an edit list cuts away are not displayed; nor are frames that
    cannot be decoded because the file starts between two keyframes of its codec. Frames are rotated as the file says,
    and all have the size of the first one. Non-square pixels are not rescaled, as that does not change normalised
    boxes. Damaged frames are left out; frames predicted from them are kept as they are decoded.

    Args:
        path: the video file.
        media: what `probe_video` found in it.
        decoder: "decord" or "pyav".

    Yields:
        (seconds from the start, strictly ascending; RGB [height, width, 3])

    Raises:
        InexactDecode: decord only: its result differs from what the packets announce. Start again with PyAV.
    """
    return _decode_decord(path, media) if decoder == "decord" else _decode_pyav(path, media)


def _decode_decord(path: Path, media: Media) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    decord.logging.set_level(decord.logging.QUIET)
    try:
        # With a fault tolerance of (almost) 0 decord raises an error instead of repeating a frame for a lost one.
        reader = decord.VideoReader(str(path), num_threads=1, fault_tol=1e-9)
        stamps = reader.get_frame_timestamp(range(len(reader)))[:, 0].astype(np.float64)
        times = np.array(media.seconds)
        if not len(stamps) == len(times) == media.expected_frames:
            raise InexactDecode(f"decord counts {len(stamps)} frames, the file {media.expected_frames}")
        # decord keeps times as float32
        if (np.abs(stamps - stamps[0] - times) > 1e-3 + 1e-6 * np.abs(stamps)).any() or (np.diff(times) <= 0).any():
            raise InexactDecode("decord's times are not those of the file")
        for time in times.tolist():
            frame = reader.next().asnumpy()
            if frame.shape != (media.height, media.width, 3):
                raise InexactDecode(f"decord's frames are {frame.shape}")
            yield time, frame
    except (decord.DECORDError, decord.DECORDLimitReachedError, RuntimeError, AssertionError, StopIteration) as error:
        raise InexactDecode(f"decord: {type(error).__name__}") from None


def _decode_pyav(path: Path, media: Media) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    reformatter = VideoReformatter()
    for time, picture in decode_pictures(path, media):
        yield time, picture.rgb(reformatter)


def decode_pictures(path: Path, media: Media) -> Iterator[tuple[float, Picture]]:
    """Yield every frame as PyAV decodes it, before it is converted; order and times are those of `decode_video`."""
    with open_video(path) as (container, stream):
        packets = read_packets(container, stream)
        frames = (frame for packet in packets for frame in decode_packet(packet) if not frame.is_corrupt)
        look: tuple[int, int, Orientation] | None = None  # of the first frame
        for time, frame in _film_times(frames, media):
            look = look or (frame.height, frame.width, orientation(path, frame))
            yield time, Picture(frame, *look)


def _film_times(frames: Iterable[Any], media: Media) -> Iterator[tuple[float, Any]]:
    """Yield each frame with its seconds from the start; frames whose time does not ascend are left out."""
    # AVI has no presentation times; the decoding times of frames in display order are evenly spaced.
    is_avi = media.container == "avi"
    start = None if is_avi else media.start
    offset = 0.0
    last: float | None = None
    for frame in frames:
        stamp = frame.dts if is_avi else frame.pts
        start = stamp if start is None else start
        due = 0.0 if last is None else last + media.frame_seconds
        if stamp is None or start is None:
            time = due
        else:
            time = media.film_seconds(media.start + stamp - start) + offset
            if last is not None and media.container in RESTARTING_CLOCKS and abs(time - last) > CLOCK_STEP_SECONDS:
                offset += due - time
                time = due
        if time >= 0 and (last is None or time > last):
            last = time
            yield time, frame
