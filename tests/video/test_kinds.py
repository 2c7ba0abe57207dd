"""Every kind of film that a folder may hold, from the file to the frames of the grid; docs/frames.md has the table."""

import json
import re
from collections.abc import Callable
from fractions import Fraction
from math import ceil
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.base.checksums import REMEDY
from pipeline.base.errors import InputError
from pipeline.tables.film_ids import VIDEO_SUFFIXES
from pipeline.video.extract import FrameSettings
from pipeline.video.store import FrameStore
from tests.sealing import reseal
from tests.video.films import X265, cut_film, join_sizes, number_of, reference, with_display_matrix, write_film
from tests.video.test_extract import PLAIN, extract, numbers, problem

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "frames.md").read_text()
AV1 = {"preset": "12"}
ONE_GROUP = {"x264-params": "keyint=infinite:mbtree=0:log-level=-1"}
NO_PLANES = "decord gives no planes"
LUMA = np.array([0.299, 0.587, 0.114])
# Of every ending that is taken: encoder and decoder of its films with 8 bits and even sides.
ENDINGS = {
    ".3gp": ("libx264", "pyav"),
    ".avi": ("libx264", "pyav"),
    ".flv": ("libx264", "pyav"),
    ".m2ts": ("libx264", "pyav"),
    ".m4v": ("mpeg4", "pyav"),
    ".mkv": ("libx264", "pyav"),
    ".mov": ("libx264", "pyav"),
    ".mp4": ("libx264", "pyav"),
    ".mpeg": ("mpeg1video", "pyav"),
    ".mpg": ("mpeg2video", "pyav"),
    ".mts": ("libx264", "pyav"),
    ".ogv": ("libvpx", "pyav"),
    ".ts": ("libx264", "pyav"),
    ".vob": ("mpeg2video", "pyav"),
    ".webm": ("libvpx-vp9", "pyav"),
    ".wmv": ("wmv2", "pyav"),
}


def test_the_page_names_every_ending() -> None:
    assert tuple(ENDINGS) == VIDEO_SUFFIXES
    assert all(f"`{suffix}`" in PAGE for suffix in VIDEO_SUFFIXES)


@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
def test_films_of_every_ending_are_read(tmp_path: Path, suffix: str) -> None:
    codec, decoder = ENDINGS[suffix]
    path = write_film(tmp_path / f"f{suffix}", frames=30, codec=codec)
    record = extract(path, tmp_path / "out")
    assert (record["decoder"], record["frames_failed"], record["grid_frames"]) == (decoder, 0, 30)
    assert record["source_fps"] == pytest.approx(25.0)
    assert numbers(tmp_path / "out") == list(range(30))


RATES = [
    Fraction(24000, 1001),
    Fraction(24),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
    Fraction(50),
    Fraction(60),
]


@pytest.mark.parametrize("rate", RATES, ids=lambda rate: f"{float(rate):.3f}")
@pytest.mark.parametrize("name", ["f.mp4", "f.avi", "f.ts", "f.mkv"])
def test_a_grid_of_30_per_second_over_every_rate(tmp_path: Path, rate: Fraction, name: str) -> None:
    record = extract(write_film(tmp_path / name, rate=rate), tmp_path / "out", FrameSettings(30.0, None, 90))
    # Matroska counts milliseconds.
    tolerance = 2e-3 if name == "f.mkv" else 1e-4
    assert record["source_fps"] == pytest.approx(float(rate), rel=tolerance)
    assert record["duration_seconds"] == pytest.approx(60 / float(rate), rel=tolerance)
    assert record["grid_frames"] == round(60 / rate * 30)
    shown = numbers(tmp_path / "out")
    exact = [min(59, ceil(rate * index / 30 - Fraction(1, 2))) for index in range(record["grid_frames"])]
    if name != "f.mkv":
        assert shown == exact
    # Where two frames are about equally near, a rounded clock may choose the other one.
    near = [abs(float(rate) * index / 30 - number) for index, number in enumerate(shown[:-1])]
    assert max(near) < 0.5 + float(rate) * 1e-3


@pytest.mark.parametrize(
    ("make", "reason", "least"),
    [
        pytest.param(
            lambda path: write_film(path, codec="libx265", pixel_format="yuv420p10le", options=X265),
            "pixel format yuv420p10le",
            60,
            id="HEVC, 10 bits",
        ),
        pytest.param(
            lambda path: write_film(path, pixel_format="yuv420p10le"), "pixel format yuv420p10le", 60,
            id="H.264, 10 bits",
        ),
        pytest.param(
            lambda path: write_film(path, codec="libsvtav1", pixel_format="yuv420p10le", options=AV1), "codec av1", 60,
            id="AV1, 10 bits",
        ),
        pytest.param(lambda path: write_film(path, codec="libsvtav1", options=AV1), "codec av1", 60, id="AV1"),
        pytest.param(
            lambda path: write_film(path, codec="libsvtav1", options=AV1, width=339, height=255), "codec av1", 60,
            id="AV1, 339 x 255",
        ),
        pytest.param(lambda path: write_film(path, codec="mpeg4"), "codec mpeg4", 60, id="MPEG-4 Part 2"),
        pytest.param(
            lambda path: write_film(path, pixel_format="yuv444p", width=339, height=255), "", 60,
            id="H.264 4:4:4, 339 x 255",
        ),
        pytest.param(
            lambda path: write_film(path, frames=250, options=ONE_GROUP), NO_PLANES, 250, id="one group of 250"
        ),
        pytest.param(lambda path: write_film(path, frames=1), NO_PLANES, 1, id="one frame"),
    ],
)  # fmt: skip
def test_stored_frames_are_those_that_pyav_decodes(
    tmp_path: Path, make: Callable[[Path], Path], reason: str, least: int
) -> None:
    path = make(tmp_path / "f.mp4")
    record = extract(path, tmp_path / "out", FrameSettings(25.0, None, 95))
    assert (record["decoder_reason"], record["frames_decoded"]) == (reason, least)
    expected = reference(path)
    store = FrameStore(tmp_path / "out")
    assert store.grid_frames("v") == len(expected)
    for index, (_, frame) in enumerate(expected):
        (stored,) = store.read_clip("v", [index])
        assert stored.shape == frame.shape
        assert number_of(stored) == index
        # Of brightness, since JPEGs have halved chroma; two frames of these films differ by more than 10.
        assert np.abs((stored.astype(float) - frame) @ LUMA).mean() < 3


def test_interlaced_frames_are_stored_as_coded(tmp_path: Path) -> None:
    options = {"x264-params": "interlaced=1:keyint=20:mbtree=0:log-level=-1"}
    path = write_film(tmp_path / "f.mp4", frames=10, options=options)
    assert extract(path, tmp_path / "a")["pixels"] == "planes"
    assert extract(path, tmp_path / "b", hung="on request")["decoder"] == "decord"
    in_planes, by_decord = (FrameStore(tmp_path / name).read_clip("v", range(10)).astype(int) for name in "ab")
    assert np.abs(in_planes - by_decord).mean() < 2


def test_turned_frames_are_stored_as_displayed(tmp_path: Path) -> None:
    upright = write_film(tmp_path / "upright.mp4", frames=10)
    path = with_display_matrix(upright, tmp_path / "f.mp4", (0, 1, -1, 0))
    record = extract(path, tmp_path / "out", FrameSettings(25.0, 48, 90))
    assert (record["source_height"], record["source_width"]) == (96, 64)
    assert (record["stored_height"], record["stored_width"]) == (72, 48)


def test_a_changing_size_is_that_of_the_beginning(tmp_path: Path) -> None:
    record = extract(join_sizes(tmp_path / "f.mkv", "libx264", [(96, 64), (192, 128)]), tmp_path / "out")
    assert (record["decoder_reason"], record["frames_failed"]) == ("size or format changes", 0)
    assert FrameStore(tmp_path / "out").read_clip("v", range(40)).shape == (40, 64, 96, 3)


def test_a_film_begins_with_its_first_frame_wherever_its_clock_does(tmp_path: Path) -> None:
    late = write_film(tmp_path / "late.mkv", pts=[35 + n for n in range(60)], time_base=Fraction(1, 25))
    assert reference(late)[0][0] == pytest.approx(1.4)
    cut = cut_film(write_film(tmp_path / "whole.mp4"), tmp_path / "cut.mp4", 0.5)
    assert extract(late, tmp_path / "a")["duration_seconds"] == pytest.approx(2.4)
    assert extract(cut, tmp_path / "b")["duration_seconds"] == pytest.approx(47 / 25)
    assert numbers(tmp_path / "a") == list(range(60))
    assert numbers(tmp_path / "b") == list(range(13, 60))


def damage(path: Path, first: int, count: int) -> None:
    """Zeros in place of the data of some packets."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size][first : first + count]
        places = [(packet.pos + 5, packet.pos + packet.size) for packet in packets]
    data = bytearray(path.read_bytes())
    for start, end in places:
        data[start:end] = bytes(end - start)
    path.write_bytes(data)


def test_a_film_that_lost_few_frames_is_kept_and_its_neighbours_are_shown(tmp_path: Path) -> None:
    path = write_film(tmp_path / "f.mp4")
    damage(path, 25, 1)
    record = extract(path, tmp_path / "out")
    assert (record["decoder"], record["pixels"]) == ("pyav", "planes")
    assert (record["frames_decoded"], record["frames_expected"], record["frames_failed"]) == (59, 60, 1)
    assert record["grid_frames"] == 60
    assert record["rows"] == 59
    shown = FrameStore(tmp_path / "out").read_clip("v", range(60))
    assert [number_of(frame) for frame in shown[:20]] == list(range(20))
    assert [number_of(frame) for frame in shown[40:]] == list(range(40, 60))
    same = [index for index in range(59) if np.array_equal(shown[index], shown[index + 1])]
    assert len(same) == 1, "the frame before stands in for the lost one"
    assert 20 <= same[0] < 40


def test_a_film_that_lost_many_frames_is_a_problem(tmp_path: Path) -> None:
    path = write_film(tmp_path / "f.mp4")
    damage(path, 5, 12)
    found, expected = problem(path, tmp_path / "out")
    assert re.fullmatch(r"\d\d of 60 frames decodable", found)
    assert expected == "at least 95%"


def test_files_say_with_which_decoder_and_settings_they_were_made(tmp_path: Path) -> None:
    path = write_film(tmp_path / "f.mp4")
    usual = extract(path, tmp_path / "a")
    other = extract(path, tmp_path / "b", hung="no new frame for 60 s")
    coarse = extract(path, tmp_path / "c", FrameSettings(25.0, None, 50))
    keys = ("pixels", "pixels_reason", "decoder", "decoder_version", "decoder_reason", "quality", "short_side", "fps")
    assert [other[key] for key in keys] == ["rgb", "no new frame for 60 s", "decord", "0.6.0", "", 90, None, 25.0]
    number = usual["decoder_version"]
    assert [usual[key] for key in keys[:5]] == ["planes", "", "pyav", number, "decord gives no planes"]
    assert re.fullmatch(r"\d+\.\d+(\.\d+)?", number)
    assert [usual[key] != coarse[key] for key in keys] == [False] * 5 + [True] + [False] * 2
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert {key: manifest["videos"]["v"][key] for key in keys} == {key: usual[key] for key in keys}


@pytest.mark.parametrize("other", [FrameSettings(25.0, None, 50), PLAIN], ids=["other quality", "other decoder"])
def test_a_file_made_with_another_decoder_or_settings_is_refused(tmp_path: Path, other: FrameSettings) -> None:
    path = write_film(tmp_path / "f.mp4")
    extract(path, tmp_path / "a")
    extract(path, tmp_path / "b", other, hung="on request")
    manifest = tmp_path / "a" / "manifest.json"
    size = (tmp_path / "b" / "v.arrow").stat().st_size
    text = re.sub(r'"file_bytes": \{"v.arrow": \d+\}', f'"file_bytes": {{"v.arrow": {size}}}', manifest.read_text())
    reseal(manifest, text)
    (tmp_path / "a" / "v.arrow").unlink()
    (tmp_path / "b" / "v.arrow").rename(tmp_path / "a" / "v.arrow")
    with pytest.raises(InputError) as error:
        FrameStore(tmp_path / "a").read_clip("v", [0])
    assert str(error.value) == (f"{tmp_path / 'a' / 'v.arrow'}: not the frames that manifest.json has of 'v'; {REMEDY}")
