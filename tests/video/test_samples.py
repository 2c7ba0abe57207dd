from types import SimpleNamespace

import pytest

from pipeline.video.samples import FORMATS, why_no_planes


@pytest.mark.parametrize(
    ("name", "width", "height", "matrix", "reason"),
    [
        ("yuv420p", 96, 64, 1, ""),
        ("yuv420p", 95, 64, 1, "odd side of a halved chroma"),
        ("yuv420p", 96, 63, 2, "odd side of a halved chroma"),
        ("yuv422p", 96, 63, 2, ""),
        ("yuv422p10le", 95, 64, 9, "odd side of a halved chroma"),
        ("yuvj420p", 96, 64, 5, ""),
        ("yuv420p", 96, 64, 8, "colour matrix 8"),
        ("yuv444p", 96, 64, 1, "pixel format yuv444p"),
        ("pal8", 96, 64, 2, "pixel format pal8"),
        ("gray", 96, 64, 2, "pixel format gray"),
    ],
)
def test_frames_whose_planes_can_be_stored(name: str, width: int, height: int, matrix: int, reason: str) -> None:
    frame = SimpleNamespace(format=SimpleNamespace(name=name), width=width, height=height, colorspace=matrix)
    assert why_no_planes(frame) == reason


def test_the_formats() -> None:
    assert len(FORMATS) == 8
    assert FORMATS["yuvj422p"] == (8, False, True)
    assert FORMATS["yuv420p12le"] == (12, True, False)
