import re
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import decord
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.video.decode import InexactDecode, decode_video
from pipeline.video.probe import Media, probe_video
from tests.video.films import (
    OPEN_GOP,
    X265,
    cut_film,
    join_sizes,
    number_of,
    pictures,
    reference,
    with_display_matrix,
    with_end_cut,
    write_film,
)

# Uneven times in milliseconds, 20 to 79 apart.
UNEVEN = [0, *np.cumsum(np.random.default_rng(3).integers(20, 80, 59)).tolist()]
MS = Fraction(1, 1000)
Made = Callable[[Path], Path]


def decoded(path: Path, media: Media, decoder: str) -> tuple[list[float], list[NDArray[np.uint8]]]:
    frames = list(decode_video(path, media, decoder=decoder))
    return [time for time, _ in frames], [frame for _, frame in frames]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda folder: write_film(folder / "f.mp4"), id="closed GOP, B-frames"),
        pytest.param(lambda folder: write_film(folder / "f.mp4", options=OPEN_GOP), id="open GOP"),
        pytest.param(lambda folder: write_film(folder / "f.mkv", options=OPEN_GOP), id="open GOP, Matroska"),
        pytest.param(lambda folder: write_film(folder / "f.mp4", codec="libx265", options=X265), id="HEVC"),
        pytest.param(lambda folder: write_film(folder / "f.webm", codec="libvpx-vp9"), id="VP9"),
        pytest.param(lambda folder: write_film(folder / "f.mp4", pts=UNEVEN, time_base=MS), id="VFR"),
        pytest.param(lambda folder: write_film(folder / "f.mkv", pts=UNEVEN, time_base=MS), id="VFR, Matroska"),
        pytest.param(
            lambda folder: write_film(folder / "f.mkv", pts=[each + 1400 for each in UNEVEN], time_base=MS),
            id="starts at 1.4 s",
        ),
        pytest.param(
            lambda folder: write_film(folder / "f.mp4", width=95, height=63, pixel_format="yuv444p"), id="odd size"
        ),
        pytest.param(lambda folder: write_film(folder / "f.mp4", pixel_format="yuvj420p"), id="full range"),
        pytest.param(lambda folder: write_film(folder / "f.mp4", pixel_format="yuv422p"), id="4:2:2"),
        pytest.param(lambda folder: write_film(folder / "f.mp4", pixel_format="yuvj422p"), id="4:2:2, full range"),
        pytest.param(lambda folder: write_film(folder / "f.mp4", pixel_format="yuv444p"), id="4:4:4"),
        pytest.param(lambda folder: write_film(folder / "f.mp4", pixel_format="yuvj444p"), id="4:4:4, full range"),
        pytest.param(lambda folder: write_film(folder / "f.mp4", width=94, height=62), id="size of no block"),
        pytest.param(
            lambda folder: write_film(folder / "f.mp4", colour_matrix=1, pixel_format="yuv444p"), id="709 4:4:4"
        ),
        pytest.param(lambda folder: write_film(folder / "f.webm", codec="libvpx-vp9", width=95), id="odd width, 4:2:0"),
        pytest.param(lambda folder: write_film(folder / "f.mp4", colour_matrix=1), id="BT.709"),
        pytest.param(lambda folder: write_film(folder / "f.mp4", audio=True), id="with sound"),
        pytest.param(
            lambda folder: write_film(folder / "f.mp4", muxer_options={"movflags": "frag_keyframe+empty_moov"}),
            id="fragmented",
        ),
    ],
)
def test_decord_is_used_where_it_is_exact(tmp_path: Path, make: Made) -> None:
    path = make(tmp_path)
    media = probe_video(path)
    assert media.not_decord == ""
    assert media.expected_frames == 60
    expected = reference(path)
    for decoder in ("decord", "pyav"):
        times, frames = decoded(path, media, decoder)
        np.testing.assert_allclose(times, [time - expected[0][0] for time, _ in expected], atol=1e-9)
        assert [number_of(frame) for frame in frames] == list(range(60))
        assert all(np.array_equal(frame, other) for frame, (_, other) in zip(frames, expected, strict=True))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda folder: write_film(folder / "f.ts"), "container mpegts", id="MPEG-TS"),
        pytest.param(lambda folder: write_film(folder / "f.avi", codec="mpeg4"), "container avi", id="AVI"),
        pytest.param(lambda folder: write_film(folder / "f.avi"), "container avi", id="AVI, B-frames"),
        pytest.param(lambda folder: write_film(folder / "f.mpg", codec="mpeg2video"), "container mpeg", id="MPEG-PS"),
        pytest.param(
            lambda folder: write_film(folder / "f.mp4", codec="libsvtav1", options={"preset": "12"}),
            "codec av1",
            id="AV1",
        ),
        pytest.param(
            lambda folder: write_film(folder / "f.mp4", pixel_format="yuv420p10le"),
            "pixel format yuv420p10le",
            id="10 bits",
        ),
        pytest.param(
            lambda folder: write_film(folder / "f.webm", codec="libvpx-vp9", width=95, height=63),
            "odd height of a halved chroma",
            id="odd height, 4:2:0",
        ),
        pytest.param(
            lambda folder: write_film(folder / "f.mkv", codec="mjpeg", pixel_format="yuvj420p", frames=120),
            "most frames are keyframes",
            id="keyframes only",
        ),
    ],
)
def test_what_decord_cannot_do_goes_to_pyav(tmp_path: Path, make: Made, reason: str) -> None:
    path = make(tmp_path)
    media = probe_video(path)
    assert media.not_decord == reason
    times, frames = decoded(path, media, "pyav")
    assert [number_of(frame) for frame in frames] == list(range(media.expected_frames))
    np.testing.assert_allclose(times, np.arange(len(frames)) / 25, atol=1e-9)
    if media.container != "avi":  # its times are taken from elsewhere
        expected = [time for time, _ in reference(path)]
        np.testing.assert_allclose(times, [time - expected[0] for time in expected], atol=1e-9)


def test_ten_bits_have_the_brightness_of_eight(tmp_path: Path) -> None:
    path = write_film(
        tmp_path / "f.mp4", pixel_format="yuv420p10le", options={"qp": "4", "x264-params": "log-level=-1"}
    )
    _, frames = decoded(path, probe_video(path), "pyav")
    eight = reference(write_film(tmp_path / "g.mp4", options={"qp": "4", "x264-params": "log-level=-1"}))
    luma = np.array([0.299, 0.587, 0.114])
    for frame, (_, other) in zip(frames, eight, strict=True):
        assert np.abs(frame @ luma - other @ luma).mean() < 1.5


@pytest.mark.parametrize(
    ("start", "options"),
    [
        pytest.param(0.5, None, id="closed GOP"),
        pytest.param(0.9, OPEN_GOP, id="open GOP"),
        pytest.param(1.7, None, id="last GOP"),
    ],
)
def test_frames_before_an_edit_list_are_not_shown(tmp_path: Path, start: float, options: dict[str, str] | None) -> None:
    path = cut_film(write_film(tmp_path / "whole.mp4", options=options), tmp_path / "f.mp4", start)
    media = probe_video(path)
    assert media.not_decord == "edit list"
    times, frames = decoded(path, media, "pyav")
    first = int(np.ceil(start * 25))
    assert [number_of(frame) for frame in frames] == list(range(first, 60))
    assert len(frames) == media.expected_frames
    np.testing.assert_allclose(times, np.arange(len(frames)) / 25, atol=1e-9)
    expected = reference(path)
    assert all(np.array_equal(frame, other) for frame, (_, other) in zip(frames, expected, strict=True))


def test_frames_after_an_edit_list_are_not_shown(tmp_path: Path) -> None:
    path = with_end_cut(write_film(tmp_path / "whole.mp4"), tmp_path / "f.mp4", 1.0)
    media = probe_video(path)
    assert (media.not_decord, media.expected_frames) == ("edit list", 25)
    times, frames = decoded(path, media, "pyav")
    assert [number_of(frame) for frame in frames] == list(range(25))
    assert media.end_seconds(times[-1]) == pytest.approx(1.0)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_frames_that_lack_their_keyframe_are_not_shown(tmp_path: Path, codec: str) -> None:
    options = {"libx264": OPEN_GOP, "libx265": X265}[codec]
    path = cut_film(write_film(tmp_path / "whole.mkv", codec=codec, options=options), tmp_path / "f.mkv", 0.9)
    media = probe_video(path)
    assert media.not_decord == "frames before the first keyframe"
    times, frames = decoded(path, media, "pyav")
    assert len(frames) == media.expected_frames
    assert [number_of(frame) for frame in frames] == list(range(60 - len(frames), 60))
    np.testing.assert_allclose(times, np.arange(len(frames)) / 25, atol=1e-9)


TURNS = {
    "90": ((0, 1, -1, 0), lambda picture: np.rot90(picture, -1), True),
    "180": ((-1, 0, 0, -1), lambda picture: picture[::-1, ::-1], True),
    "270": ((0, -1, 1, 0), lambda picture: np.rot90(picture, 1), True),
    "mirrored": ((-1, 0, 0, 1), lambda picture: picture[:, ::-1], False),
    "upside down": ((1, 0, 0, -1), lambda picture: picture[::-1], False),
    "transposed": ((0, 1, 1, 0), lambda picture: picture.transpose(1, 0, 2), False),
    "transposed and turned": ((0, -1, -1, 0), lambda picture: picture[::-1, ::-1].transpose(1, 0, 2), False),
}


@pytest.mark.parametrize("turn", TURNS)
def test_frames_are_turned_as_the_file_says(tmp_path: Path, turn: str) -> None:
    matrix, apply, by_decord = TURNS[turn]
    upright = write_film(tmp_path / "upright.mp4", frames=25)
    path = with_display_matrix(upright, tmp_path / "f.mp4", matrix)
    media = probe_video(path)
    assert media.not_decord == ("" if by_decord else "mirrored")
    assert (media.height, media.width) == apply(np.zeros((64, 96, 3))).shape[:2]
    for decoder in ("decord", "pyav") if by_decord else ("pyav",):
        _, frames = decoded(path, media, decoder)
        expected = [apply(frame) for _, frame in reference(upright)]
        assert all(np.array_equal(frame, other) for frame, other in zip(frames, expected, strict=True))


@pytest.mark.parametrize(("name", "codec"), [("f.mkv", "libx264"), ("f.mp4", "libx264"), ("f.webm", "libvpx-vp9")])
def test_a_film_keeps_the_size_it_begins_with(tmp_path: Path, name: str, codec: str) -> None:
    path = join_sizes(tmp_path / name, codec, [(96, 64), (192, 128)])
    media = probe_video(path)
    assert media.not_decord == "size or format changes"
    times, frames = decoded(path, media, "pyav")
    assert {frame.shape for frame in frames} == {(64, 96, 3)}
    np.testing.assert_allclose(times, np.arange(40) / 25, atol=1e-9)
    assert [number_of(frame) for frame in frames[:20]] == list(range(20))
    enlarged = [frame.repeat(2, axis=0).repeat(2, axis=1) for frame in frames[20:]]
    assert [number_of(frame) for frame in enlarged] == list(range(20, 40))
    for frame, (_, large) in zip(frames[20:], reference(path)[20:], strict=True):
        np.testing.assert_allclose(frame.mean((0, 1)), large.mean((0, 1)), atol=2)


def test_of_several_video_streams_one_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "f.mp4"
    with av.open(str(path), "w") as container:
        streams = []
        for width, height in ((64, 48), (96, 64)):
            stream = container.add_stream("libx264", rate=25, options={"x264-params": "log-level=-1"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            streams.append(stream)
        for stream in streams:
            for number, picture in enumerate(pictures(30, stream.width, stream.height)):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    media = probe_video(path)
    # Nobody promises that decord's FFmpeg makes the same choice.
    assert media.not_decord == "several video streams"
    times, frames = decoded(path, media, "pyav")
    assert {frame.shape[:2] for frame in frames} == {(media.height, media.width)}
    assert [number_of(frame) for frame in frames] == list(range(30))
    np.testing.assert_allclose(times, np.arange(30) / 25, atol=1e-9)


def test_a_transport_stream_whose_clock_starts_again_runs_on(tmp_path: Path) -> None:
    whole = write_film(tmp_path / "a.ts", frames=30, pts=[5000 + n for n in range(30)], time_base=Fraction(1, 25))
    again = write_film(tmp_path / "b.ts", frames=30)
    path = tmp_path / "f.ts"
    path.write_bytes(whole.read_bytes() + again.read_bytes())
    media = probe_video(path)
    times, frames = decoded(path, media, "pyav")
    numbers = [number_of(frame) for frame in frames]
    assert numbers == [*range(30), *range(30)]
    np.testing.assert_allclose(times, np.arange(60) / 25, atol=1e-6)


def test_damaged_frames_are_left_out_and_the_others_keep_their_times(tmp_path: Path) -> None:
    path = write_film(tmp_path / "f.mp4")
    whole = [frame for _, frame in reference(path)]
    with av.open(str(path)) as container:
        hole = [packet for packet in container.demux(video=0) if packet.size][25]
        start, end, lost = hole.pos, hole.pos + hole.size, round(hole.pts * hole.time_base * 25)
    data = bytearray(path.read_bytes())
    data[start + 5 : end] = bytes(end - start - 5)
    path.write_bytes(data)
    media = probe_video(path)
    assert (media.not_decord, media.expected_frames) == ("", 60)
    with pytest.raises(InexactDecode, match="decord: DECORDError"):
        decoded(path, media, "decord")
    times, frames = decoded(path, media, "pyav")
    numbers = [round(time * 25) for time in times]
    assert len(frames) == 59
    np.testing.assert_allclose(times, [number / 25 for number in numbers], atol=1e-9)
    # One in the second of three groups; frames predicted from it are kept as they come.
    assert 20 < lost < 40
    assert lost not in numbers
    for number, frame in zip(numbers, frames, strict=True):
        assert np.array_equal(frame, whole[number]) or 20 < number < 40


@pytest.mark.parametrize(
    ("name", "frames", "fps", "by_decord"),
    [
        ("demo.mp4", 280, 28, True),
        ("demo_spatiotemporal_det.mp4", 57, 6, True),
        ("part_0.mp4", 32, 30, True),
        ("test.mp4", 300, 30, True),
        ("test.avi", 164, 25, False),
    ],
)
def test_real_films(real: Path, name: str, frames: int, fps: int, by_decord: bool) -> None:
    path = real / "video" / name
    media = probe_video(path)
    assert (media.not_decord == "", media.expected_frames) == (by_decord, frames)
    expected = reference(path)
    for decoder in ("decord", "pyav") if by_decord else ("pyav",):
        times, pictures = decoded(path, media, decoder)
        assert len(times) == frames
        assert min(np.diff(times)) == pytest.approx(1 / fps, rel=1e-3)
        assert all(np.array_equal(frame, other) for frame, (_, other) in zip(pictures, expected, strict=True))


def test_frames_in_the_decoder_survive_a_damaged_end(tmp_path: Path) -> None:
    path = write_film(tmp_path / "f.mp4", muxer_options={"movflags": "faststart"})
    data = path.read_bytes()
    with av.open(str(path)) as container:
        last = [packet for packet in container.demux(video=0) if packet.size][40]
    path.write_bytes(data[: last.pos])
    times, _ = decoded(path, probe_video(path), "pyav")
    # 40 packets are whole, and all their frames come.
    assert len(times) == 40


class Reader:
    """decord's reader, with one fault."""

    def __init__(self, *_: object, fault: str, **__: object) -> None:
        self.fault, self.given = fault, 0
        if fault == "open":
            raise RuntimeError("Error reading f.mp4...")

    def __len__(self) -> int:
        return 12 if self.fault == "count" else 10

    def get_frame_timestamp(self, indices: range) -> NDArray[np.float32]:
        starts = np.arange(len(indices)) / (24 if self.fault == "times" else 25)
        return np.stack([starts, starts + 0.04], axis=1).astype(np.float32)

    def next(self) -> "Reader":
        self.given += 1
        if self.given == 5 and self.fault == "repeated":
            raise decord.DECORDLimitReachedError("more than 0 duplicate frames")
        if self.given == 5 and self.fault == "end":
            raise StopIteration
        return self

    def asnumpy(self) -> NDArray[np.uint8]:
        return np.zeros((64, 98 if self.given == 5 and self.fault == "size" else 96, 3), np.uint8)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("open", "decord: RuntimeError"),
        ("count", "decord counts 12 frames, the file 10"),
        ("times", "decord's times are not those of the file"),
        ("repeated", "decord: DECORDLimitReachedError"),
        ("end", "decord: StopIteration"),
        ("size", "decord's frames are (64, 98, 3)"),
    ],
)
def test_decord_is_held_to_the_packets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, message: str
) -> None:
    path = write_film(tmp_path / "f.mp4", frames=10)
    media = probe_video(path)
    monkeypatch.setattr(decord, "VideoReader", partial(Reader, fault=""))
    assert len(decoded(path, media, "decord")[0]) == 10
    monkeypatch.setattr(decord, "VideoReader", partial(Reader, fault=fault))
    with pytest.raises(InexactDecode, match=f"^{re.escape(message)}$"):
        decoded(path, media, "decord")
