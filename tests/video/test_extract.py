import json
from dataclasses import replace
from fractions import Fraction
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import simplejpeg
from av.video.reformatter import VideoReformatter
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.base.errors import InputError
from pipeline.base.files import digest_file, digest_tree
from pipeline.video.extract import FrameSettings, JpegMaker, extract_video, shrink, ways_of
from pipeline.video.grid import EVERY_FRAME
from pipeline.video.manifest import write_manifest
from pipeline.video.probe import probe_video
from pipeline.video.size import scaled_size
from pipeline.video.store import FrameStore, LeftOutError
from tests.video.coded import coded
from tests.video.films import cut_film, join_sizes, number_of, write_film, write_sound

PLAIN = FrameSettings(fps=25.0, short_side=None, quality=90)


def extract(path: Path, folder: Path, settings: FrameSettings = PLAIN, **more: Any) -> dict[str, Any]:
    """The record of a video, extracted into the file `v.arrow` of a store."""
    folder.mkdir()
    extract_video(path, folder, settings, digest_file(path), **more)
    record: dict[str, Any] = json.loads((folder / "video.json").read_text())
    assert sorted(each.name for each in folder.iterdir()) == ["frames.arrow", "video.json"]
    (folder / "frames.arrow").rename(folder / "v.arrow")
    write_manifest(folder, {"v": record}, fps=settings.fps)
    return record


def numbers(folder: Path) -> list[int]:
    store = FrameStore(folder)
    return [number_of(frame) for frame in store.read_clip("v", range(store.grid_frames("v")))]


def test_the_record(tmp_path: Path) -> None:
    path = write_film(tmp_path / "f.mp4", width=160, height=120)
    record = extract(path, tmp_path / "out", FrameSettings(fps=15.0, short_side=96, quality=90))
    assert record == {
        "source_sha256": digest_file(path),
        "container": "mov,mp4,m4a,3gp,3g2,mj2",
        "codec": "h264",
        "fps": 15.0,
        "short_side": 96,
        "quality": 90,
        "decoder": "pyav",
        "decoder_version": version("av"),
        "decoder_reason": "decord gives no planes",
        "pixels": "planes",
        "pixels_reason": "",
        "source_height": 120,
        "source_width": 160,
        "source_fps": 25.0,
        "duration_seconds": 2.4,
        "stored_height": 96,
        "stored_width": 128,
        "frames_decoded": 60,
        "frames_expected": 60,
        "frames_failed": 0,
        "grid_frames": 36,
        "rows": 36,
        "sha256": digest_file(tmp_path / "out" / "v.arrow"),
    }


@pytest.mark.parametrize("fps", [25.0, 15.0, 30.0, 7.5])
def test_the_grid_shows_the_nearest_frames(tmp_path: Path, fps: float) -> None:
    record = extract(write_film(tmp_path / "f.mp4"), tmp_path / "out", FrameSettings(fps, None, 90))
    grid_frames = round(2.4 * fps)
    assert record["grid_frames"] == grid_frames
    # Rounded half down: of two frames that are equally near, the earlier.
    expected = [min(59, ceil(25 * index / Fraction(fps) - Fraction(1, 2))) for index in range(grid_frames)]
    assert numbers(tmp_path / "out") == expected
    assert record["rows"] == len(set(expected))


def test_a_film_of_uneven_rate_keeps_its_times(tmp_path: Path) -> None:
    pts = [0, 10, 20, 500, 1000, 1010, 1020, 1970]
    path = write_film(tmp_path / "f.mkv", frames=8, pts=pts, time_base=Fraction(1, 1000))
    extract(path, tmp_path / "out", FrameSettings(2.0, None, 90))
    assert numbers(tmp_path / "out") == [0, 3, 4, 7]


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_every_frame_of_a_webm_can_be_stored(tmp_path: Path, codec: str) -> None:
    film = write_film(tmp_path / "f.webm", codec=codec, frames=23, rate=12, width=95, height=63)
    record = extract(film, tmp_path / "out", FrameSettings(EVERY_FRAME, None, 95))
    assert (record["grid_frames"], record["rows"]) == (23, 23)
    assert numbers(tmp_path / "out") == list(range(23))
    with pytest.raises(InputError, match=r"out: holds every frame of its films, on no grid; expected "):
        _ = FrameStore(tmp_path / "out").fps


def test_one_frame_is_a_film(tmp_path: Path) -> None:
    record = extract(write_film(tmp_path / "f.mp4", frames=1), tmp_path / "out", FrameSettings(5.0, None, 90))
    assert (record["grid_frames"], record["rows"], record["frames_decoded"]) == (1, 1, 1)
    assert numbers(tmp_path / "out") == [0]


def test_other_decoders_and_why(tmp_path: Path) -> None:
    whole = write_film(tmp_path / "whole.mp4")
    cut = extract(cut_film(whole, tmp_path / "cut.mp4", 0.5), tmp_path / "a")
    assert (cut["decoder"], cut["decoder_reason"], cut["frames_decoded"]) == ("pyav", "edit list", 47)
    hung = extract(whole, tmp_path / "b", hung="no new frame for 60 s")
    assert told(hung) == ["rgb", "no new frame for 60 s", "decord", ""]
    assert told(extract(whole, tmp_path / "c")) == ["planes", "", "pyav", "decord gives no planes"]
    in_rgb, in_planes = (FrameStore(tmp_path / name).read_clip("v", range(60)).astype(int) for name in "bc")
    assert np.abs(in_rgb - in_planes).mean() < 2


def told(record: dict[str, Any]) -> list[str]:
    return [record[key] for key in ("pixels", "pixels_reason", "decoder", "decoder_reason")]


def test_films_without_usable_planes_go_through_rgb(tmp_path: Path) -> None:
    odd = write_film(tmp_path / "odd.webm", codec="libvpx-vp9", width=95, frames=10)
    assert told(extract(odd, tmp_path / "a")) == ["rgb", "odd side of a halved chroma", "decord", ""]
    assert told(extract(odd, tmp_path / "b", hung="no new frame for 60 s")) == [
        "rgb", "odd side of a halved chroma", "pyav", "no new frame for 60 s",
    ]  # fmt: skip
    lossless = write_film(tmp_path / "f.mov", codec="qtrle", pixel_format="rgb24", frames=10)
    assert told(extract(lossless, tmp_path / "c"))[:3] == ["rgb", "pixel format rgb24", "pyav"]
    sizes = join_sizes(tmp_path / "sizes.mkv", "libx264", [(96, 64), (192, 128)])
    assert told(extract(sizes, tmp_path / "d"))[:3] == ["rgb", "size or format changes", "pyav"]


def test_the_ways_to_extract_a_film(tmp_path: Path) -> None:
    media = probe_video(write_film(tmp_path / "f.mp4", frames=2))
    planes, by_decord, by_pyav = ("planes", "pyav"), ("rgb", "decord"), ("rgb", "pyav")
    assert ways_of(media) == [planes, by_decord, by_pyav]
    assert ways_of(media, "hung") == [by_decord, by_pyav]
    assert ways_of(replace(media, not_decord="edit list")) == [planes, by_pyav]
    odd = replace(media, not_planes="odd side of a halved chroma")
    assert (ways_of(odd), ways_of(odd, "hung")) == ([by_decord, by_pyav], [by_pyav])
    assert ways_of(replace(odd, not_decord="edit list"), "hung") == [by_pyav]


def test_a_change_that_only_frames_show_starts_again_in_rgb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_film(tmp_path / "f.mp4", frames=10)
    looks = iter([("a",)] * 5 + [("b",)] * 5)
    monkeypatch.setattr("pipeline.video.extract.look_of", lambda _: next(looks))
    assert told(extract(path, tmp_path / "out")) == ["rgb", "size, format or colours change", "decord", ""]
    assert numbers(tmp_path / "out") == list(range(10))


def test_the_same_film_gives_the_same_bytes_under_another_name(tmp_path: Path) -> None:
    path = write_film(tmp_path / "f.mp4", width=160, height=120)
    other = path.rename(tmp_path / "other.mp4")
    write_film(tmp_path / "f.mp4", width=160, height=120)
    settings = FrameSettings(15.0, 96, 90)
    extract(other, tmp_path / "a", settings)
    extract(other, tmp_path / "b", settings)
    extract(tmp_path / "f.mp4", tmp_path / "c", settings)
    assert len({digest_tree(tmp_path / name) for name in "abc"}) == 1


def every_tenth(length: float, total: int) -> NDArray[np.int64]:
    return np.arange(0, total, 10)


def test_a_part_of_a_film_has_the_frames_of_the_whole(tmp_path: Path) -> None:
    path = write_film(tmp_path / "f.mp4", width=160, height=120)
    settings = FrameSettings(15.0, 96, 90)
    whole = extract(path, tmp_path / "whole", settings)
    part = extract(path, tmp_path / "part", settings, wanted=every_tenth)
    told = {"decoder": "pyav", "decoder_version": version("av"), "decoder_reason": "frames are left out"}
    sha256 = digest_file(tmp_path / "part/v.arrow")
    assert part == {**whole, **told, "frames_left_out": 32, "sha256": sha256}
    stores = [FrameStore(tmp_path / name) for name in ("whole", "part")]
    one, other = (store.read_clip("v", [0, 10, 20, 30]) for store in stores)
    assert np.array_equal(one, other)
    message = r"part/v\.arrow: grid frame {} of 'v' was left out$"
    with pytest.raises(LeftOutError, match=message.format(11)):
        stores[1].read_clip("v", [10, 11])
    with pytest.raises(LeftOutError, match=message.format(1)):
        stores[1].check("v")


def test_of_a_film_with_lost_frames_all_others_are_stored(tmp_path: Path) -> None:
    path = write_film(tmp_path / "f.mp4", frames=200, muxer_options={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.99)])
    whole, part = extract(path, tmp_path / "whole"), extract(path, tmp_path / "part", wanted=every_tenth)
    assert part == whole
    assert "frames_left_out" not in part


def test_beats_come_with_the_frames(tmp_path: Path) -> None:
    beats: list[bool] = []
    extract(write_film(tmp_path / "f.mp4"), tmp_path / "out", beat=lambda last=False: beats.append(last))
    assert len(beats) >= 61
    assert beats.index(True) == len(beats) - 1


def problem(path: Path, folder: Path) -> tuple[str, str]:
    folder.mkdir()
    extract_video(path, folder, PLAIN, "")
    assert [each.name for each in folder.iterdir()] == ["problem.json"]
    found: dict[str, str] = json.loads((folder / "problem.json").read_text())
    return found["found"], found["expected"]


def test_what_is_no_film_is_a_problem(tmp_path: Path) -> None:
    assert problem(write_sound(tmp_path / "f.mp4"), tmp_path / "a") == (
        "no video stream (streams: audio)",
        "a video stream",
    )


@pytest.mark.parametrize(("share", "kept"), [(0.99, True), (0.6, False)])
def test_of_a_truncated_film_most_must_be_there(tmp_path: Path, share: float, kept: bool) -> None:
    path = write_film(tmp_path / "f.mp4", frames=200, muxer_options={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    if kept:
        record = extract(path, tmp_path / "out")
        assert (record["decoder"], record["pixels"]) == ("pyav", "planes")
        assert 190 <= record["frames_decoded"] < 200 == record["frames_expected"]
        assert record["frames_failed"] == 200 - record["frames_decoded"]
        assert numbers(tmp_path / "out")[:180] == list(range(180))
    else:
        found, expected = problem(path, tmp_path / "out")
        decoded, _, rest = found.partition(" ")
        assert 100 < int(decoded) < 140
        assert (rest, expected) == ("of 200 frames decodable", "at least 95%")


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [((720, 1280), 320, (320, 569)), ((120, 160), 96, (96, 128)), ((97, 63), 31, (48, 31)), ((64, 48), 64, (64, 48))],
)
def test_frames_are_shrunk_by_area(size: tuple[int, int], short_side: int, expected: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (size[0] // 16 + 1, size[1] // 16 + 1, 3), np.uint8)
    frame = np.kron(blocks, np.ones((16, 16, 1), np.uint8))[: size[0], : size[1]]
    small = shrink(VideoReformatter(), frame, short_side)
    assert small.shape == (*expected, 3)
    assert small.dtype == np.uint8
    rows, columns = (area_weights(old, new) for old, new in zip(size, expected, strict=True))
    exact = np.einsum("ij,jkc,lk->ilc", rows, frame.astype(float), columns, optimize=True)
    assert np.abs(small - exact).mean() < 0.6
    assert np.abs((small - exact).mean((0, 1))).max() < 0.2


def area_weights(old: int, new: int) -> np.ndarray:
    edges = np.arange(new + 1) * old / new
    low, high = np.arange(old), np.arange(1, old + 1)
    overlap = np.minimum(edges[1:, None], high) - np.maximum(edges[:-1, None], low)
    return overlap.clip(0) * new / old


def test_frames_are_never_enlarged() -> None:
    frame = np.zeros((64, 48, 3), np.uint8)
    assert shrink(VideoReformatter(), frame, 49) is frame
    assert shrink(VideoReformatter(), frame, None) is frame


def test_a_camera_stores_planes_where_it_can() -> None:
    rgb = np.full((64, 96, 3), (200, 60, 90), np.uint8)
    maker = JpegMaker(FrameSettings(25.0, 48, 95))
    in_planes = coded(rgb)
    of_rgb = replace(in_planes, frame=av.VideoFrame.from_ndarray(rgb, format="rgb24"))
    resized = replace(in_planes, frame=coded(rgb[:32, :48]).frame)
    assert maker.from_either(in_planes) == maker.from_planes(in_planes)
    for picture in (in_planes, of_rgb, resized):
        jpeg, size = maker.from_either(picture)
        shown = simplejpeg.decode_jpeg(jpeg, colorspace="RGB")
        assert shown.shape == (*size, 3) == (48, 72, 3)
        assert np.abs(shown.astype(int) - (200, 60, 90)).max() <= 3


@settings(deadline=None, max_examples=50)
@given(height=st.integers(2, 200), width=st.integers(2, 200), share=st.floats(0.3, 1))
def test_any_size_can_be_shrunk(height: int, width: int, share: float) -> None:
    short_side = max(1, int(min(height, width) * share))
    small = shrink(VideoReformatter(), np.full((height, width, 3), 200, np.uint8), short_side)
    assert small.shape[:2] == scaled_size(height, width, short_side)
    assert np.abs(small.astype(int) - 200).max() <= 1


@pytest.mark.parametrize("stem", ["a:b", "Küche (2) #1+", "50% 台所", "видео [x] {y}", "'a' & b; $c"])
def test_films_of_any_name_are_decoded_and_stored(tmp_path: Path, stem: str) -> None:
    """Signs mean something to shells, URLs and FFmpeg."""
    made = write_film(tmp_path / "made.mp4", frames=10)
    film = made.rename(tmp_path / f"{stem}.mp4")
    folder = tmp_path / "item"
    folder.mkdir()
    extract_video(film, folder, FrameSettings(25.0, None, 90), "0" * 64)
    assert (folder / "frames.arrow").exists(), list(folder.iterdir())
