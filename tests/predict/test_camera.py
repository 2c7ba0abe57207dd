import functools
import threading
import time
from fractions import Fraction
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from pipeline.base.errors import InputError
from pipeline.predict.camera import CameraLost, StreamClock, Taken, are_live, is_camera, open_camera, shown_name
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
    film = write_film(tmp_path / "f.ts", frames=100, rate=50, width=320, height=240)
    size = film.stat().st_size
    with served(film.read_bytes(), broken_at=size * 3 // 4, hang=True) as url:
        camera = open_camera(url, silence_seconds=0.5)
        with pytest.raises(CameraLost, match=r"s: nothing came for 0\.5 s$"):
            list(camera.frames())
        camera.close()


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
