"""Make stored JPEGs from the planes that a decoder gives, without going through RGB.

A decoder gives brightness and two planes of colour, and a JPEG holds the same in full range with BT.601's matrix. Here
each plane is scaled by itself, and range and matrix are converted once, at the stored size. A JPEG has a sample of
colour in the middle of the pixels that share it. Readers of films take it to be there, too, where samples have 8 bits,
and at the left pixel where they have more.
"""

from fractions import Fraction
from functools import lru_cache
from itertools import count
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
# In samples: how far from its place a colour may lie at the end of an odd side.
MOST_BESIDE = Fraction(1, 64)


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
        coded, *colours = (_samples_of(plane, samples.bits) for plane in frame.planes)
        if samples.bits > 8:
            colours = [_from_the_left(plane) for plane in colours]
        bright = turned(_scaled(self._luma, coded, (height, width)), picture.turn)
        # Turned before they are scaled: the last sample of an odd side is the last one that is displayed.
        # Means of four samples of 8 bits keep their fraction: half of them would be rounded up.
        parts = 256 if samples.bits == 8 and not samples.halved_rows else 1
        planes = [
            bright,
            *(_half_scaled(self._chroma, turned(each, picture.turn), bright.shape, parts) for each in colours),
        ]
        full_range = samples.full_range or int(frame.color_range) == FULL_RANGE
        luma, *chroma = _converted(planes, (samples.bits, parts, full_range), MATRICES[int(frame.colorspace)])
        height, width = luma.shape
        # The encoder reads pairs of rows and columns, beyond the end of an odd side.
        even = _extended(luma, height % 2, width % 2)[:height, :width] if height % 2 or width % 2 else luma
        jpeg: bytes = simplejpeg.encode_jpeg_yuv_planes(even, *chroma, quality)
        return jpeg, (height, width)


def _samples_of(plane: Any, bits: int) -> Plane:
    """Return a view of a plane's samples, [height, width]; rows keep their padding."""
    rows = np.frombuffer(plane, np.uint8 if bits == 8 else np.uint16).reshape(plane.height, -1)
    samples: Plane = np.asarray(rows[:, : plane.width])
    return samples


def _from_the_left(plane: Plane) -> Plane:
    """Move samples of colour from the left one of two pixels to the middle between them."""
    moved: NDArray[np.uint16] = plane.astype(np.uint16)
    moved *= 3
    moved += 2
    moved[:, :-1] += plane[:, 1:]
    moved[:, -1] += plane[:, -1]
    moved >>= 2
    return moved


def _scaled(scaler: VideoReformatter, plane: Plane, size: tuple[int, int], parts: int = 1) -> Plane:
    """Scale a plane by area average to (height, width); levels are multiplied by `parts`, which is 1 or 256."""
    if plane.shape == size and parts == 1:
        return plane
    height, width = size
    kind = "gray" if plane.dtype == np.uint8 else "gray16le"
    if plane.strides[1] != plane.itemsize or plane.strides[0] < 0:  # turned
        plane = np.ascontiguousarray(plane)
    frame = av.VideoFrame.from_numpy_buffer(plane, kind)
    to = kind if parts == 1 else "gray16le"
    scaled = scaler.reformat(frame, width=width, height=height, format=to, interpolation=AREA, threads=1)
    values: Plane = np.asarray(scaled.to_ndarray(), np.uint8 if to == "gray" else np.uint16)
    return values


def _half_scaled(scaler: VideoReformatter, plane: Plane, size: tuple[int, ...], parts: int) -> Plane:
    """Scale a plane of colour to half of (height, width), whatever its own size.

    The last sample of an odd side covers one pixel more than there are. FFmpeg scales whole samples to whole samples:
    then the plane is extended by so many of its last that both numbers come out whole, and what is too much is cut off.
    Without that, colours would lie up to a pixel beside their place.
    """
    (rows, height), (columns, width) = (_extension(*each) for each in zip(plane.shape, size, strict=True))
    if rows or columns:
        plane = _extended(plane, rows, columns)
    return _scaled(scaler, plane, (height, width), parts)[: -(-size[0] // 2), : -(-size[1] // 2)]


def _extended(plane: Plane, rows: int, columns: int) -> Plane:
    """Repeat the last row and column; `np.pad` takes four times as long."""
    height, width = plane.shape
    out = np.empty((height + rows, width + columns), plane.dtype)
    out[:height, :width] = plane
    out[:height, width:] = plane[:, -1:]
    out[height:] = out[height - 1]
    return out


@lru_cache(maxsize=64)
def _extension(samples: int, pixels: int) -> tuple[int, int]:
    """Return (samples to add, samples that these become) so that `samples` become half of `pixels`."""
    if pixels % 2 == 0:
        return 0, pixels // 2

    def wanted(added: int) -> Fraction:
        return Fraction((samples + added) * pixels, 2 * samples)

    # As many as there are would fit without any rest.
    added = next(each for each in count() if abs(wanted(each) - round(wanted(each))) <= MOST_BESIDE)
    return added, round(wanted(added))


def _converted(
    planes: list[Plane], kind: tuple[int, int, bool], matrix: tuple[float, float]
) -> list[NDArray[np.uint8]]:
    """Convert planes to 8 bits, full range and BT.601's matrix.

    Args:
        planes: luma and chroma.
        kind: (bits of a sample, parts of a level in chroma, whether the range is full).
        matrix: shares of red and blue in luma.
    """
    luma, *chroma = planes
    bits, parts, full_range = kind
    if matrix == BT601:
        if bits == 8 and parts == 1 and full_range:
            return [np.ascontiguousarray(plane, np.uint8) for plane in planes]
        return [
            _looked_up(luma, _levels("luma", bits, 1, full_range)),
            *(_looked_up(plane, _levels("chroma", bits, parts, full_range)) for plane in chroma),
        ]
    scale, black = _scale("luma", bits, 1, full_range)
    of_chroma, grey = _scale("chroma", bits, parts, full_range)
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


def _scale(kind: Literal["luma", "chroma"], bits: int, parts: int, full_range: bool) -> tuple[float, float]:
    """Return (levels of a full 8-bit range per step of a sample, the sample that stands for black or grey)."""
    step = parts * 2 ** (bits - 8)
    if full_range:
        return 255 / (2**bits - 1) / parts, 0.0 if kind == "luma" else 128.0 * step
    return 255 / (step * (219 if kind == "luma" else 224)), step * (16.0 if kind == "luma" else 128.0)


@lru_cache(maxsize=64)
def _levels(kind: Literal["luma", "chroma"], bits: int, parts: int, full_range: bool) -> NDArray[np.uint8]:
    """Return the 8-bit level, in full range, of every sample."""
    scale, zero = _scale(kind, bits, parts, full_range)
    middle = 0 if kind == "luma" else 128
    exact = (np.arange(parts * 2**bits) - zero) * scale + middle
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
