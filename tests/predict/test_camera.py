import functools
import re
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from pipeline.base.errors import InputError
from pipeline.predict.camera import (
    CameraLost,
    StreamCamera,
    StreamClock,
    Taken,
    address_of,
    are_live,
    is_camera,
    open_camera,
    shown_name,
)
from tests.predict.streams import frames_of, served
from tests.video.films import number_of, write_film, write_sound


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("camera:0", True),
        ("rtsp://host/stream", True),
        ("http://host/a.mp4", True),
        ("HTTPS://host", True),
        ("film.mp4", False),
        ("dir/http.mp4", False),
        ("-", False),
        ("file:///etc/passwd", False),
    ],
)
def test_what_is_a_camera(source: str, expected: bool) -> None:
    assert is_camera(source) == expected


def test_a_film_is_no_camera_and_the_message_names_the_command(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    told = f"{film}: expected camera:NUMBER, rtsp://... or http://..."
    with pytest.raises(InputError, match=f"^{re.escape(told)}$"):
        address_of(str(film))
    film.touch()
    with pytest.raises(InputError, match=f"^{re.escape(told)}; `actionbank predict` takes files$"):
        address_of(str(film))


def test_a_name_holds_no_password() -> None:
    assert shown_name("rtsp://me:secret@host:554/one?key=2") == "rtsp://host:554/one"
    assert shown_name("camera:0") == "camera:0"


def test_a_camera_is_alone_and_no_film() -> None:
    assert are_live(["camera:0"], {"--at": None})
    assert not are_live(["a.mp4", "b.mp4"], {"--at": Path("x")})
    with pytest.raises(InputError, match=r"^http://h/a: a camera is predicted alone, found 2 sources$"):
        are_live(["a.mp4", "http://me:key@h/a"], {})
    with pytest.raises(InputError, match=r"^--keep-bank: does not go with camera:0, which is no film$"):
        are_live(["camera:0"], {"--at": None, "--keep-bank": Path("x")})


def rgb_of(frame: Taken) -> NDArray[np.uint8]:
    return frame.picture.rgb(VideoReformatter())


@pytest.mark.parametrize("name", ["f.mp4", "f.ts", "f.mkv"])
def test_a_stream_gives_the_frames_of_the_film_at_their_times(tmp_path: Path, name: str) -> None:
    film = write_film(tmp_path / name, frames=25, rate=25)
    with served(film.read_bytes(), seconds=0.2) as url:
        camera = open_camera(url)
        found = list(camera.frames())
        camera.close()
    expected = frames_of(film)
    assert [frame.seconds for frame in found] == [frame.seconds for frame in expected]
    assert all(np.array_equal(rgb_of(one), rgb_of(two)) for one, two in zip(found, expected, strict=True))
    assert found[-1].duration_seconds == pytest.approx(0.04)


def test_a_recording_is_not_given_faster_than_it_was_taken(tmp_path: Path) -> None:
    film = write_film(tmp_path / "f.mp4", frames=15, rate=10)
    with served(film.read_bytes()) as url:
        camera = open_camera(url)
        began = time.monotonic()
        assert [number_of(rgb_of(frame)) for frame in camera.frames()] == list(range(15))
        camera.close()
    assert time.monotonic() - began >= 1.35


def test_a_recording_of_a_server_without_ranges_is_not_given_faster_either(tmp_path: Path) -> None:
    write_film(tmp_path / "f.ts", frames=15, rate=10)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        camera = open_camera(f"http://127.0.0.1:{server.server_port}/f.ts")
        began = time.monotonic()
        assert [number_of(rgb_of(frame)) for frame in camera.frames()] == list(range(15))
        camera.close()
        server.shutdown()
    assert time.monotonic() - began >= 1.35


def test_a_stream_that_breaks_off_is_lost(tmp_path: Path) -> None:
    film = write_film(tmp_path / "f.ts", frames=50, rate=50)
    size = film.stat().st_size
    with served(film.read_bytes(), broken_at=size * 2 // 3) as url:
        camera = open_camera(url)
        taken: list[Taken] = []
        with pytest.raises(CameraLost, match=rf"^{url}: was lost after 0\.\d s: \w.*$"):
            taken.extend(camera.frames())
        camera.close()


def test_a_source_that_says_nothing_is_lost(tmp_path: Path) -> None:
    film = write_film(tmp_path / "f.mkv", frames=100, rate=50, width=320, height=240)
    size = film.stat().st_size
    with served(film.read_bytes(), broken_at=size * 3 // 4, hang=True) as url:
        camera = open_camera(url, silence_seconds=0.5)
        with pytest.raises(CameraLost, match=r"s: no picture came for 0\.5 s$"):
            list(camera.frames())
        camera.close()


def test_a_source_that_says_nothing_from_the_start_is_not_opened(tmp_path: Path) -> None:
    film = write_film(tmp_path / "f.ts", frames=20, rate=50)
    with (
        served(film.read_bytes(), hang=True, broken_at=film.stat().st_size // 2) as url,
        pytest.raises(InputError, match=rf"^{url}: cannot be opened: no picture came for 0\.3 s$"),
    ):
        open_camera(url, silence_seconds=0.3)


class Packets:
    """A container of packets: "v" of the video, "s" of the sound, "." a wait; a time passes with each."""

    def __init__(self, kinds: str, clock: list[float], size: int = 0) -> None:
        self.kinds, self.clock, self.size, self.duration = kinds, clock, size, None
        self.format, self.closed = SimpleNamespace(name="rtsp"), False
        self.video = SimpleNamespace(average_rate=Fraction(1), guessed_rate=None)

    def demux(self) -> Iterator[SimpleNamespace]:
        for kind in self.kinds:
            self.clock[0] += 1
            if kind == "b":
                self.kinds = self.kinds.partition("b")[2]
                raise av.BlockingIOError(35, "none yet")
            if kind != ".":
                yield SimpleNamespace(stream=self.video if kind == "v" else None, kind=kind)


def packets_of(kinds: str, monkeypatch: pytest.MonkeyPatch, **how) -> tuple[int, str]:
    """How many packets of the video a camera gives that waits for 3 s, and why it is lost."""
    clock = [0.0]
    clocks = SimpleNamespace(monotonic=lambda: clock[0], sleep=lambda _: None)
    monkeypatch.setattr("pipeline.predict.camera.time", clocks)
    container, found = Packets(kinds, clock, **how), 0
    try:
        for _ in StreamCamera(container, container.video, "rtsp://h/a", 3.0)._packets():
            clock[0] += 100  # the time of the caller is not the camera's
            found += 1
    except CameraLost as error:
        return found, error.cause
    return found, "ended"


def test_pictures_end_although_sound_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert packets_of("vsvssvsssv", monkeypatch) == (3, "no picture came for 3 s")
    assert packets_of("vv...v", monkeypatch) == (2, "no picture came for 3 s"), "FFmpeg does not say so each time"
    assert packets_of("....vv..v", monkeypatch, size=1) == (3, "ended"), "the first one may take longer"


def test_a_device_that_has_no_packet_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert packets_of("vbvbbv", monkeypatch, size=1) == (3, "ended")
    assert packets_of("vbbbbbv", monkeypatch, size=1) == (1, "no picture came for 3 s")


def test_a_camera_of_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert address_of("camera:1") == ("1", "avfoundation", {"framerate": "30"})


def test_a_stream_without_a_known_end_is_lost_where_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    assert packets_of("vvv", monkeypatch) == (3, "the server ended the stream")
    assert packets_of("vvv", monkeypatch, size=1000) == (3, "ended"), "a recording"


def test_an_mp4_with_its_index_at_the_end_says_what_to_do(tmp_path: Path) -> None:
    film = write_film(tmp_path / "f.mp4", frames=2, rate=25)
    boxes, index, rest = film.read_bytes().rpartition(b"moov")
    space = (2**20).to_bytes(4, "big") + b"free" + bytes(2**20 - 8)  # more than FFmpeg keeps to go back in
    film.write_bytes(boxes[:-4] + space + boxes[-4:] + index + rest)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/f.mp4"
        message = (
            rf"^{url}: cannot be read as a stream: the index of this MP4 is at its end, and the server answers no "
            r"ranges; `ffmpeg -i FILE -c copy -movflags \+faststart NEW\.mp4` moves the index to the front, or give "
            "the file itself to `actionbank predict`$"
        )
        with pytest.raises(InputError, match=message):
            open_camera(url)
        server.shutdown()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("camera:x", r"^camera:x: expected camera:NUMBER, rtsp://\.\.\. or http://\.\.\.$"),
        ("ftp://host/f", r"^ftp://host/f: expected camera:NUMBER, rtsp://\.\.\. or http://\.\.\.$"),
        ("camera:99", r"^camera:99: cannot be opened: No such file or directory$"),
        ("http://me:secret@127.0.0.1:9/f", r"^http://127\.0\.0\.1:9/f: cannot be opened: Connection refused$"),
        ("rtsp://127.0.0.1:9/f", r"^rtsp://127\.0\.0\.1:9/f: cannot be opened: Connection refused$"),
    ],
)
def test_a_source_that_cannot_be_opened_is_named(source: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_camera(source)


def test_a_platform_without_a_known_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "sunos5")
    with pytest.raises(
        InputError, match=r"^camera:0: cameras cannot be opened on sunos5; expected rtsp:// or http://$"
    ):
        open_camera("camera:0")


def test_a_stream_without_video_and_a_page_are_refused(tmp_path: Path) -> None:
    sound = write_sound(tmp_path / "s.m4a")
    with served(sound.read_bytes()) as url, pytest.raises(InputError, match=rf"^{url}: holds no video$"):
        open_camera(url)
    with served(b"<html>no film</html>") as url, pytest.raises(InputError, match=rf"^{url}: cannot be opened: Invalid"):
        open_camera(url)


def clock_times(*stamps: int | None) -> list[float | None]:
    clock = StreamClock(SimpleNamespace(average_rate=Fraction(10), guessed_rate=None))
    frames = [SimpleNamespace(pts=pts, duration=0, time_base=Fraction(1, 10)) for pts in stamps]
    found = [clock.time_of(frame) for frame in frames]
    return [None if each is None else round(each[0], 6) for each in found]


def test_the_clock_of_a_stream() -> None:
    assert clock_times(50, 51, 53) == [0.0, 0.1, 0.3]
    assert clock_times(50, 51, 51, 52) == [0.0, 0.1, None, 0.2], "a frame twice"
    assert clock_times(None, None, None) == [0.0, 0.1, 0.2], "without times"
    assert clock_times(50, 51, 100_000, 100_001) == [0.0, 0.1, 0.2, 0.3], "the camera's clock was set"
    assert clock_times(100_000, 100_001, 5, 6) == [0.0, 0.1, 0.2, 0.3]
    assert clock_times(0, 50) == [0.0, 5.0], "a pause"
