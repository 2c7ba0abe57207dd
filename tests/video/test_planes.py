from dataclasses import replace

import numpy as np
import pytest
import simplejpeg
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from pipeline.video.decode import Picture, turned
from pipeline.video.extract import encode_rgb, shrink
from pipeline.video.planes import MOST_BESIDE, PlaneScaler, _extension
from pipeline.video.probe import Orientation
from pipeline.video.size import scaled_size
from tests.video.coded import LUMA, coded, psnr
from tests.video.test_extract import area_weights

COLOUR = np.array([[0.5, -0.5, 0], [0, -0.5, 0.5], [0, 0, 0]]).T
"Differences of red and blue to green."
COLOURS = [(30, 200, 30), (200, 40, 30), (40, 60, 210), (128, 128, 128), (255, 255, 255), (0, 0, 0)]


def stored(picture: Picture, short_side: int | None = None, quality: int = 95) -> NDArray[np.uint8]:
    jpeg, size = PlaneScaler().jpeg(picture, short_side, quality)
    rgb: NDArray[np.uint8] = simplejpeg.decode_jpeg(jpeg, colorspace="RGB")
    assert rgb.shape == (*size, 3)
    return rgb


@pytest.mark.parametrize(
    ("pixel_format", "matrix", "full_range"),
    [
        ("yuv420p", 6, False),
        ("yuv420p", 1, False),
        ("yuv420p", 2, False),
        ("yuv420p", 5, True),
        ("yuvj420p", 2, False),
        ("yuv422p", 1, True),
        ("yuv422p", 9, False),
        ("yuv420p10le", 2, False),
        ("yuv420p10le", 9, False),
        ("yuv422p10le", 1, True),
        ("yuv420p12le", 6, True),
    ],
)
def test_colours_are_those_of_the_film_and_of_its_readers(pixel_format: str, matrix: int, full_range: bool) -> None:
    rgb = np.repeat(np.repeat(np.array([COLOURS[:3], COLOURS[3:]], float), 32, 0), 32, 1)
    picture = coded(rgb, pixel_format, matrix=matrix, full_range=full_range)
    readers = picture.rgb(VideoReformatter())
    ours = stored(picture)
    for number, colour in enumerate(COLOURS):
        row, column = 32 * (number // 3) + 16, 32 * (number % 3) + 16
        assert np.abs(ours[row, column] - np.array(colour)).max() <= 2
        # With more bits the readers differ among themselves.
        assert np.abs(ours[row, column].astype(int) - readers[row, column]).max() <= (6 if "p1" in pixel_format else 3)


@pytest.fixture(scope="module")
def scene() -> NDArray[np.float64]:
    """Waves of colour with grey grain."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:180, :320]
    kinds = ((9, 23, 0), (-14, 11, 1), (31, 8, 2))
    waves = [128 + 55 * np.sin(x / across + y / down + phase) for across, down, phase in kinds]
    return np.stack(waves, -1) + rng.integers(-6, 7, (180, 320, 1))


@pytest.mark.parametrize(
    ("pixel_format", "matrix", "short_side"),
    [
        ("yuv420p", 2, None),
        ("yuv420p", 2, 96),
        ("yuv420p", 1, 95),
        ("yuv422p", 2, 100),
        ("yuv422p", 2, None),
        ("yuv422p", 1, 171),
    ],
)
def test_frames_are_nearer_to_the_film_than_by_way_of_rgb(
    scene: NDArray[np.float64], pixel_format: str, matrix: int, short_side: int | None
) -> None:
    picture = coded(scene, pixel_format, matrix=matrix)
    size = (180, 320) if short_side is None else scaled_size(180, 320, short_side)
    rows, columns = (area_weights(old, new) for old, new in zip((180, 320), size, strict=True))
    exact = np.einsum("ij,jkc,lk->ilc", rows, scene, columns, optimize=True)
    by_way = encode_rgb(shrink(VideoReformatter(), picture.rgb(VideoReformatter()), short_side), 90)
    jpegs = (PlaneScaler().jpeg(picture, short_side, quality) for quality in range(92, 80, -1))
    jpeg, shape = next(each for each in jpegs if len(each[0]) <= len(by_way))
    assert shape == size
    ours, theirs = (simplejpeg.decode_jpeg(each, colorspace="RGB") for each in (jpeg, by_way))
    assert psnr(ours, exact) > psnr(theirs, exact)
    assert psnr(ours @ LUMA, exact @ LUMA) > psnr(theirs @ LUMA, exact @ LUMA)
    assert np.abs((ours - exact).mean((0, 1))).max() < 0.4


@pytest.mark.parametrize("turn", [(True, True, False), (False, True, True), (True, False, True), (False, True, False)])
@pytest.mark.parametrize("short_side", [None, 95])
def test_planes_are_turned_as_the_film_says(
    scene: NDArray[np.float64], turn: Orientation, short_side: int | None
) -> None:
    picture = coded(scene)
    upright = stored(picture, short_side).astype(int)
    shown = stored(replace(picture, turn=turn), short_side)
    # A shift of the colours by a pixel makes it 3; grain is coded otherwise.
    assert np.abs((turned(upright, turn) - shown) @ COLOUR).mean() < 1


@pytest.mark.parametrize(("bits", "short_side"), [(8, None), (8, 95), (10, None), (10, 95)])
def test_what_lies_beyond_the_rows_changes_nothing(
    scene: NDArray[np.float64], bits: int, short_side: int | None
) -> None:
    name = "yuv420p" if bits == 8 else "yuv420p10le"
    jpegs = [
        PlaneScaler().jpeg(coded(scene[:, :300], name, padding=padding), short_side, 90)[0] for padding in (0, 255, 255)
    ]
    assert len(set(jpegs)) == 1


def test_planes_of_odd_sides_are_extended_until_both_numbers_are_whole() -> None:
    assert _extension(640, 456) == (0, 228)
    assert _extension(640, 455) == (7, 230)
    assert _extension(455, 455) == (1, 228)
    for samples in range(40, 700, 7):
        for pixels in range(31, 2 * samples + 1, 2):
            added, length = _extension.__wrapped__(samples, pixels)
            assert abs((samples + added) * pixels / (2 * samples) - length) <= MOST_BESIDE
            assert length > pixels // 2
