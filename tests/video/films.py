"""Write small films with PyAV in many formats; each frame shows its number."""

import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

BITS = 8
SQUARE = 8
# Without mbtree=0 the same pictures give other bytes now and then: its vector code reads what lies beyond a frame.
X264 = {"x264-params": "keyint=20:bframes=3:mbtree=0:log-level=-1"}
OPEN_GOP = {"x264-params": "keyint=20:bframes=3:mbtree=0:open-gop=1:log-level=-1"}
X265 = {"x265-params": "keyint=20:log-level=none"}


def pictures(count: int, width: int = 96, height: int = 64, first: int = 0) -> Iterator[NDArray[np.uint8]]:
    """A moving texture; black and white squares along the top edge spell the frame's number in binary."""
    rng = np.random.default_rng(5)
    texture = np.kron(rng.integers(40, 216, (height // 8 + 4, width // 8 + 4, 3)), np.ones((8, 8, 1), np.int64))
    for number in range(first, first + count):
        y, x = number % 13, (2 * number) % 17
        picture = texture[y : y + height, x : x + width].astype(np.uint8)
        for bit in range(BITS):
            picture[:SQUARE, bit * SQUARE : (bit + 1) * SQUARE] = 255 if number >> bit & 1 else 0
        yield picture


def number_of(picture: NDArray[np.uint8]) -> int:
    """The number that a decoded picture carries."""
    means = [picture[2 : SQUARE - 2, bit * SQUARE + 2 : (bit + 1) * SQUARE - 2].mean() for bit in range(BITS)]
    assert all(mean < 80 or mean > 175 for mean in means), means
    return sum(1 << bit for bit, mean in enumerate(means) if mean > 127)


def write_film(
    path: Path,
    *,
    frames: int = 60,
    width: int = 96,
    height: int = 64,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    rate: int | Fraction = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    options: dict[str, str] | None = None,
    colour_matrix: int | None = None,
    muxer_options: dict[str, str] | None = None,
    audio: bool = False,
) -> Path:
    """Encode numbered pictures, at a constant rate or at the given times."""
    with av.open(str(path), "w", options=muxer_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.thread_count = 1
        stream.options = X264 if options is None and codec == "libx264" else options or {}
        if time_base is not None:
            stream.codec_context.time_base = time_base
        if colour_matrix is not None:
            stream.codec_context.colorspace = colour_matrix
        sound: Any = container.add_stream("aac", rate=44100) if audio else None
        if sound is not None:
            for packet in [*(p for each in tones(0.5) for p in sound.encode(each)), *sound.encode()]:
                container.mux(packet)
        for number, picture in enumerate(pictures(frames, width, height)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(format=pixel_format, dst_colorspace=colour_matrix)
            frame.pts = number if pts is None else pts[number]
            if time_base is not None:
                frame.time_base = time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def tones(seconds: float) -> Iterator[av.AudioFrame]:
    """Silence, for films with sound and files without a film."""
    for number in range(int(seconds * 44100 / 1024)):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 44100, number * 1024
        yield frame


def write_sound(path: Path) -> Path:
    """A file without a video stream."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=44100)
        for frame in tones(0.5):
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def cut_film(source: Path, path: Path, seconds: float) -> Path:
    """Cut the beginning off without decoding, as `ffmpeg -ss -c copy` does: MP4 gets an edit list."""
    with av.open(str(source)) as container, av.open(str(path), "w") as target:
        stream = container.streams.video[0]
        copied = target.add_stream_from_template(stream)
        offset = int(seconds / stream.time_base)
        container.seek(offset, stream=stream)
        for packet in container.demux(stream):
            if packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - offset, packet.dts - offset, copied
                target.mux(packet)
    return path


def join_sizes(path: Path, codec: str, sizes: Sequence[tuple[int, int]], frames: int = 20) -> Path:
    """One stream whose frames change size (width, height) after every `frames` frames."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *sizes[0], "yuv420p"
        stream.options = X264 if codec == "libx264" else {}
        for part, (width, height) in enumerate(sizes):
            encoder: Any = av.CodecContext.create(codec, "w")
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
            encoder.time_base, encoder.framerate, encoder.options = Fraction(1, 25), Fraction(25), stream.options
            packets = []
            for number, picture in enumerate(pictures(frames, width, height, first=part * frames)):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                packets += encoder.encode(frame)
            for packet in packets + encoder.encode(None):
                packet.pts, packet.dts = packet.pts + part * frames, packet.dts + part * frames
                packet.time_base, packet.stream = Fraction(1, 25), stream
                container.mux(packet)
    return path


def with_display_matrix(source: Path, path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """A copy of an MP4 whose track header has the display matrix (a, b, c, d)."""
    data = bytearray(source.read_bytes())
    place = data.find(b"tkhd") + 4 + 40  # version 0: 4 bytes of flags and 36 of other fields come first
    a, b, c, d = (each << 16 for each in matrix)
    assert struct.unpack(">9i", data[place : place + 36]) == (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def with_end_cut(source: Path, path: Path, seconds: float) -> Path:
    """A copy of an MP4 whose edit list ends after `seconds`."""
    data = bytearray(source.read_bytes())
    header = data.find(b"mvhd") + 4
    (timescale,) = struct.unpack(">I", data[header + 12 : header + 16])
    place = data.find(b"elst") + 4 + 8
    data[place : place + 4] = struct.pack(">I", int(seconds * timescale))
    path.write_bytes(data)
    return path


def reference(path: Path) -> list[tuple[float, NDArray[np.uint8]]]:
    """Every frame and its time, decoded in the plainest way."""
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
