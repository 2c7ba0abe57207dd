"""Make stored JPEGs from the planes that a decoder gives, without going through RGB.

A decoder gives brightness and two planes of colour, and a JPEG holds the same in full range with BT.601's matrix. Here
each plane is scaled by itself, and range and matrix are converted once, at the stored size. A JPEG has a sample of colour
in the middle of the pixels that share it. Readers of films have it there too, where samples have 8 bits, and at the left
one of them where they have more.
"""

from functools import lru_cache
from typing import Any, Literal

import av
import numpy as np
import simplejpeg
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from pipeline.video.decode import Picture, turned
from pipeline.video.samples import BT601, FORMATS, FULL_RANGE, MATRICES
from pipeline.video.size import stored_size

Plane = NDArray[np.unsignedinteger[Any]]
# Exact area average of one plane (checked against one in float64).
AREA = Interpolation.AREA | Interpolation.ACCURATE_RND


class PlaneScaler:
    """Scales planes; holds what FFmpeg prepares for the sizes of a film."""

    def __init__(self) -> None:
        self._luma, self._chroma = VideoReformatter(), VideoReformatter()

    def jpeg(self, picture: Picture, short_side: int | None, quality: int) -> tuple[bytes, tuple[int, int]]:
        """Scale, convert and encode a frame for which `why_no_planes` is empty.

        Args:
            picture: the frame.
            short_side: of the stored frame, in pixels; smaller frames are not scaled. None keeps the size.
            quality: of the JPEG, 1 to 100.

        Returns:
            (JPEG with chroma halved in both directions, (height, width) as displayed)
        """
        frame = picture.frame
        samples = FORMATS[frame.format.name]
        height, width = stored_size(frame.height, frame.width, short_side)
        # A colour sample of an odd side covers one pixel at the end, so that colours are halved after scaling there.
        halves = (height if height % 2 else height // 2, width if width % 2 else width // 2)
        coded, *colours = (_samples_of(plane, samples.bits) for plane in frame.planes)
        if samples.halved_columns and samples.bits > 8:
            colours = [_from_the_left(plane) for plane in colours]
        luma = turned(_scaled(self._luma, coded, (height, width)), picture.turn)
        chroma = [turned(_scaled(self._chroma, plane, halves), picture.turn) for plane in colours]
        planes = [luma, *(_halved(plane, luma.shape) for plane in chroma)]
        full_range = samples.full_range or int(frame.color_range) == FULL_RANGE
        converted = _converted(planes, samples.bits, full_range, MATRICES[int(frame.colorspace)])
        jpeg: bytes = simplejpeg.encode_jpeg_yuv_planes(*converted, quality)
        return jpeg, (luma.shape[0], luma.shape[1])


def _samples_of(plane: Any, bits: int) -> Plane:
    """Return a view of a plane's samples, [height, width]; rows keep their padding."""
    rows = np.frombuffer(plane, np.uint8 if bits == 8 else np.uint16).reshape(plane.height, -1)
    return rows[:, : plane.width]


def _from_the_left(plane: Plane) -> Plane:
    """Move samples of colour from the left one of two pixels to the middle between them."""
    moved = plane * 3 + 2
    moved[:, :-1] += plane[:, 1:]
    moved[:, -1] += plane[:, -1]
    return moved >> 2


def _scaled(scaler: VideoReformatter, plane: Plane, size: tuple[int, int]) -> Plane:
    """Scale a plane by area average to (height, width)."""
    if plane.shape == size:
        return plane
    height, width = size
    kind = "gray" if plane.dtype == np.uint8 else "gray16le"
    frame = av.VideoFrame.from_numpy_buffer(plane, kind)
    scaled = scaler.reformat(frame, width=width, height=height, format=kind, interpolation=AREA, threads=1)
    return np.asarray(scaled.to_ndarray(), plane.dtype)


def _halved(plane: Plane, size: tuple[int, ...]) -> Plane:
    """Add neighbours along sides that are odd in `size`; the last sample is its own neighbour. Sums are uint16."""
    for axis, length in enumerate(size):
        if length % 2:
            pairs = plane if axis == 0 else plane.T
            sums = pairs[::2].astype(np.uint16)
            sums[:-1] += pairs[1::2]
            sums[-1] *= 2
            plane = sums if axis == 0 else sums.T
    return plane


def _converted(
    planes: list[Plane], bits: int, full_range: bool, matrix: tuple[float, float]
) -> list[NDArray[np.uint8]]:
    """Convert planes, whose chroma may be sums of neighbours, to 8 bits, full range and BT.601's matrix."""
    luma, *chroma = planes
    sums = 2 ** sum(side % 2 for side in luma.shape)  # neighbours that `_halved` added up
    if matrix == BT601:
        if bits == 8 and full_range and sums == 1:
            return [np.ascontiguousarray(plane, np.uint8) for plane in planes]
        return [
            _looked_up(luma, _levels("luma", bits, 1, full_range)),
            *(_looked_up(plane, _levels("chroma", bits, sums, full_range)) for plane in chroma),
        ]
    scale, black = _scale("luma", bits, 1, full_range)
    of_chroma, grey = _scale("chroma", bits, sums, full_range)
    blue, red = (plane * np.float32(of_chroma) - np.float32(of_chroma * grey) for plane in chroma)
    to_luma, to_blue, to_red = _to_bt601(*matrix)
    more = to_luma[0] * blue + to_luma[1] * red + np.float32(0.5 - scale * black)
    bright = luma * np.float32(scale)
    bright += more.repeat(2, 0).repeat(2, 1)[: luma.shape[0], : luma.shape[1]]
    return [
        _bytes_of(bright),
        _bytes_of(to_blue[0] * blue + to_blue[1] * red + np.float32(128.5)),
        _bytes_of(to_red[0] * blue + to_red[1] * red + np.float32(128.5)),
    ]


def _bytes_of(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round down and limit; the caller has added the half that rounds to the nearest."""
    return np.clip(values, 0, 255.0, out=values).astype(np.uint8)


def _scale(kind: Literal["luma", "chroma"], bits: int, sums: int, full_range: bool) -> tuple[float, float]:
    """Return (levels of a full 8-bit range per step of a sample, the sample that stands for black or grey)."""
    step = 2 ** (bits - 8)
    if full_range:
        return 255 / (2**bits - 1) / sums, sums * (0.0 if kind == "luma" else 2.0 ** (bits - 1))
    return 255 / ((219 if kind == "luma" else 224) * step) / sums, sums * step * (16.0 if kind == "luma" else 128.0)


@lru_cache(maxsize=64)
def _levels(kind: Literal["luma", "chroma"], bits: int, sums: int, full_range: bool) -> NDArray[np.uint8]:
    """Return the 8-bit level, in full range, of every sample or sum of samples."""
    scale, zero = _scale(kind, bits, sums, full_range)
    middle = 0 if kind == "luma" else 128
    exact = (np.arange(sums * 2**bits) - zero) * scale + middle
    return np.floor(exact + 0.5).clip(0, 255).astype(np.uint8)


def _looked_up(plane: Plane, levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if plane.dtype == np.uint8:  # three times faster than an index array
        return np.frombuffer(plane.tobytes().translate(levels.tobytes()), np.uint8).reshape(plane.shape)
    return np.ascontiguousarray(levels.take(plane, mode="clip"))


@lru_cache(maxsize=8)
def _to_bt601(red: float, blue: float) -> NDArray[np.float32]:
    """Return what (Cb, Cr) of another matrix add to BT.601's Y, Cb and Cr, [3, 2]; Y goes unchanged into Y alone.

    Args:
        red: share of red in brightness of the other matrix.
        blue: share of blue.
    """
    green = 1 - red - blue
    cb, cr = 2 * (1 - blue), 2 * (1 - red)  # of B - Y and of R - Y
    # Rows: R - Y, G - Y, B - Y.
    rgb = np.array([[0, cr], [-cb * blue / green, -cr * red / green], [cb, 0]])
    new_red, new_blue = BT601
    luma = np.array([new_red, 1 - new_red - new_blue, new_blue]) @ rgb
    rows = [luma, (rgb[2] - luma) / (2 * (1 - new_blue)), (rgb[0] - luma) / (2 * (1 - new_red))]
    return np.array(rows, np.float32)
