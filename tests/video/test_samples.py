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
    assert why_no_planes(frame(name, width, height, matrix, [96, 64, 64])) == reason


def frame(name: str, width: int, height: int, matrix: int, line_sizes: list[int]) -> SimpleNamespace:
    planes = [SimpleNamespace(line_size=each) for each in line_sizes]
    return SimpleNamespace(
        format=SimpleNamespace(name=name), width=width, height=height, colorspace=matrix, planes=planes
    )


def test_planes_that_lie_upside_down_in_memory_are_not_read() -> None:
    assert why_no_planes(frame("yuv420p", 96, 64, 1, [-96, -64, -64])) == "rows from bottom to top"


def test_the_formats() -> None:
    assert len(FORMATS) == 8
    assert FORMATS["yuvj422p"] == (8, False, True)
    assert FORMATS["yuv420p12le"] == (12, True, False)
