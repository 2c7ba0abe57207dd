"""What the numbers in a decoded frame mean: bits, range, matrix of colours, and size of the colour planes."""

from typing import Any, NamedTuple

BT601 = (0.299, 0.114)
# Shares of red and blue in brightness, by the number of a matrix in ITU-T H.273; readers take 2, untagged, for BT.601.
MATRICES = {1: (0.2126, 0.0722), 2: BT601, 5: BT601, 6: BT601, 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
FULL_RANGE = 2


class Samples(NamedTuple):
    """The planes of a pixel format."""

    bits: int
    halved_rows: bool
    "Whether planes of colour have half as many rows as there are; all have half as many columns."
    full_range: bool
    "Whatever the film says; otherwise it tells."


def _formats() -> dict[str, Samples]:
    found = {}
    for kind, halved_rows in (("420", True), ("422", False)):
        found[f"yuv{kind}p"] = Samples(8, halved_rows, full_range=False)
        found[f"yuvj{kind}p"] = Samples(8, halved_rows, full_range=True)
        found |= {f"yuv{kind}p{bits}le": Samples(bits, halved_rows, full_range=False) for bits in (10, 12)}
    return found


# Not 4:4:4: halving its colours after RGB is nearer to the film (measured, 0.2 dB).
FORMATS = _formats()


def why_no_planes(frame: Any) -> str:
    """Say why the planes of a decoded frame cannot be stored as they are; empty if they can."""
    samples = FORMATS.get(frame.format.name)
    if samples is None:
        return f"pixel format {frame.format.name}"
    if int(frame.colorspace) not in MATRICES:
        return f"colour matrix {int(frame.colorspace)}"
    if frame.width % 2 or (samples.halved_rows and frame.height % 2):
        return "odd side of a halved chroma"
    if any(plane.line_size <= 0 for plane in frame.planes):  # what PyAV gives of these lies beyond the plane
        return "rows from bottom to top"
    return ""


def look_of(frame: Any) -> tuple[Any, ...]:
    """Return what must not change within a film whose planes are stored."""
    is_downward = frame.planes[0].line_size > 0
    return frame.format.name, frame.width, frame.height, int(frame.colorspace), int(frame.color_range), is_downward
