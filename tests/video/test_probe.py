from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.video.decode import InexactDecode
from pipeline.video.probe import DecodeError, probe_video, read_packets
from tests.video.films import (
    number_of,
    pictures,
    tones,
    with_display_matrix,
    write_film,
    write_sound,
)
from tests.video.test_decode import decoded


def test_a_turn_by_an_odd_angle_is_refused(tmp_path: Path) -> None:
    path = with_display_matrix(write_film(tmp_path / "upright.mp4", frames=5), tmp_path / "f.mp4", (1, 1, -1, 1))
    with pytest.raises(DecodeError) as error:
        probe_video(path)
    assert str(error.value) == (
        f"{path}: found display matrix 65536 65536 -65536 65536, expected a turn by a multiple of 90 degrees"
    )


@pytest.mark.parametrize(
    ("make", "found", "expected"),
    [
        pytest.param(lambda path: path.write_bytes(b""), "0 bytes", "a video file", id="zero bytes"),
        pytest.param(
            lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)),
            "no media file (Invalid data found when processing input)",
            "a video file",
            id="garbage",
        ),
        pytest.param(write_sound, "no video stream (streams: audio)", "a video stream", id="audio only"),
        pytest.param(
            lambda path: path.write_bytes(write_film(path.with_name("whole.mp4")).read_bytes()[:5000]),
            "no media file (Invalid data found when processing input)",
            "a video file",
            id="truncated before its index",
        ),
    ],
)
def test_what_is_no_video(tmp_path: Path, make: Callable[[Path], object], found: str, expected: str) -> None:
    path = tmp_path / "f.mp4"
    make(path)
    with pytest.raises(DecodeError) as error:
        probe_video(path)
    assert str(error.value) == f"{path}: found {found}, expected {expected}"
    assert (error.value.found, error.value.expected) == (found, expected)


def test_a_cover_image_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "f.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=44100)
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(next(pictures(1, 64, 48)), format="rgb24")
        container.mux([*cover.encode(frame), *cover.encode()])
        container.mux([packet for each in tones(0.2) for packet in sound.encode(each)])
    with pytest.raises(DecodeError, match=r"found no video stream \(streams: audio, video\), expected a video stream"):
        probe_video(path)


@pytest.mark.parametrize(
    ("name", "options", "kept", "reason"),
    [
        ("f.mp4", {"movflags": "faststart"}, 0.5, "decord: DECORDError"),
        ("f.mp4", {"movflags": "faststart"}, 0.985, "decord: DECORDError"),
        ("f.mkv", {}, 0.5, r"decord counts \d+ frames, the file 60"),
    ],
)
def test_a_truncated_file_is_seen_to_be_short(
    tmp_path: Path, name: str, options: dict[str, str], kept: float, reason: str
) -> None:
    path = write_film(tmp_path / name, muxer_options=options)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    media = probe_video(path)
    assert media.expected_frames == 60
    with pytest.raises(InexactDecode, match=reason):
        decoded(path, media, "decord")
    times, frames = decoded(path, media, "pyav")
    assert 60 * kept * 0.6 < len(frames) < 60
    np.testing.assert_allclose(times, [number_of(frame) / 25 for frame in frames], atol=1e-9)


def test_tags_need_not_be_utf8(tmp_path: Path) -> None:
    path = write_film(tmp_path / "f.mp4", frames=10)
    data = path.read_bytes()
    assert b"Lavf" in data
    path.write_bytes(data.replace(b"Lavf", b"L\xe4vf"))
    media = probe_video(path)
    assert [number_of(frame) for frame in decoded(path, media, "pyav")[1]] == list(range(10))


def test_a_stream_that_begins_in_mid_file_is_passed_over(tmp_path: Path) -> None:
    with av.open(str(write_film(tmp_path / "f.ts", frames=10))) as container:

        class Interrupted:
            """As PyAV where a packet's stream is none of those that the file began with."""

            def __init__(self) -> None:
                self.packets = container.demux(container.streams.video[0])
                self.failures = 2

            def demux(self, _: object) -> Iterator[object]:
                for number, packet in enumerate(self.packets):
                    yield packet
                    if self.failures and number == 2:
                        self.failures -= 1
                        raise IndexError("list index out of range")

        packets = list(read_packets(Interrupted(), container.streams.video[0]))
    assert [packet.size > 0 for packet in packets] == [True] * 10 + [False]
