import os
import time
from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.doctor.probe_films import ProbedFilm, look_at, look_at_files, look_at_pictures, probe_films
from pipeline.video.children import Beat, no_beat
from tests.video.films import write_film
from tests.video.test_pictures import write_pictures


def hang_at_stuck(paths: dict[str, Path], out: Path, decode: bool, beat: Beat = no_beat) -> None:
    for video_id, path in paths.items():
        if video_id.startswith("stuck"):
            time.sleep(600)
        if video_id.startswith("crash"):
            with out.open("a") as file:  # half a line, as a killed process leaves it
                file.write('{"video_id": "cra')
            os._exit(11)
        look_at_files({video_id: path}, out, decode, beat)


def test_a_film_that_kills_its_reader_costs_itself(tmp_path: Path) -> None:
    """mmaction2 #362: which films are bad."""
    film = write_film(tmp_path / "f.mp4", frames=10)
    paths = dict.fromkeys(("a", "crash1", "b", "crash2", "c"), film)
    films = probe_films(paths, workers=1, work=hang_at_stuck)
    assert list(films) == list(paths)
    assert [film.is_lost for film in films.values()] == [False, True, False, True, False]
    assert films["crash1"].found == "a file that stops its reader (its process died with exit code 11)"
    assert films["a"] == films["c"]


def test_a_film_that_hangs_its_reader_is_given_up(tmp_path: Path) -> None:
    films = probe_films({"stuck": tmp_path / "f.mp4"}, workers=1, silence_seconds=1, work=hang_at_stuck)
    assert films == {
        "stuck": ProbedFilm(
            found="a file that stops its reader (no new frame for 1 s)", expected="a video file", is_lost=True
        )
    }


def test_what_is_read_of_a_film(tmp_path: Path) -> None:
    path = write_film(tmp_path / "f.mp4", frames=45, rate=30, width=128)
    film = ProbedFilm(
        container="mov,mp4,m4a,3gp,3g2,mj2", codec="h264", duration_seconds=1.5, fps=30.0, frames=45,
        expected_frames=45, width=128, height=64,
    )  # fmt: skip
    assert look_at(path, decode=False) == film
    decoded = look_at(path, decode=True)
    assert decoded.decoded == 45
    assert decoded.duration_seconds == 1.5


def test_frames_that_cannot_be_decoded_are_seen_by_decoding(tmp_path: Path) -> None:
    """mmaction2 #806: a film is whole by its packets, and some of them are damaged."""
    path = write_film(tmp_path / "f.mp4", frames=100)
    data = bytearray(path.read_bytes())
    start = data.find(b"mdat") + 4
    for place in range(start + 600, start + (len(data) - start) // 2, 7):
        data[place] ^= 0x5A
    path.write_bytes(data)
    whole, decoded = look_at(path, decode=False), look_at(path, decode=True)
    assert (whole.found, whole.frames, whole.decoded) == ("", 100, None)
    assert decoded.decoded is not None
    assert decoded.decoded < 100


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    film = look_at(tmp_path / "gone.mp4", decode=False)
    assert film.found == "a file that cannot be read (No such file or directory)"


def test_a_film_whose_rate_varies(tmp_path: Path) -> None:
    times = [n * 40 for n in range(50)] + [2000 + n * 100 for n in range(50)]
    path = write_film(tmp_path / "f.mp4", frames=100, pts=times, time_base=Fraction(1, 1000))
    film = look_at(path, decode=False)
    assert film.knots == ((0, 0.0), (50, 2.0), (99, 6.9))
    assert film.off_seconds == pytest.approx(50 / film.fps - 2, abs=0.05)
    constant = look_at(write_film(tmp_path / "g.mkv", frames=90, rate=30), decode=False)  # times in thousandths
    assert constant.knots == ()


def test_a_folder_of_pictures_is_a_film_of_its_rate(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", 50)
    (film,) = probe_films({"a": folder}, workers=1, rates={"a": 25}).values()
    assert film == ProbedFilm(
        container="pictures", codec="mjpeg", duration_seconds=2, fps=25, frames=50, expected_frames=50, width=96,
        height=64, knots=[],
    )  # fmt: skip
    (folder / "img_00001.jpg").write_bytes(b"")
    (folder / "img_00009.jpg").unlink()
    film = look_at_pictures(folder, 25, decode=True)
    assert (film.frames, film.decoded, film.expected_frames, film.width) == (49, 48, 50, 96)


def test_pictures_that_are_no_film(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert look_at_pictures(tmp_path / "a", 25, decode=False) == ProbedFilm(
        found="no pictures", expected="pictures with one name and numbers from 0 or 1 on, as img_00001.jpg"
    )
    (tmp_path / "a/img_00001.jpg").write_text("no picture")
    assert look_at_pictures(tmp_path / "a", 25, decode=False) == ProbedFilm(
        found="1 pictures, of which none can be decoded", expected="JPEGs or PNGs"
    )
    (tmp_path / "a/img_00001.jpg").rename(tmp_path / "a/img_27001.jpg")
    film = look_at_pictures(tmp_path / "a", 25, decode=False)
    assert (film.found, film.expected, film.container) == (
        "1 pictures with numbers 27001 to 27001", "at least 95% of the pictures 1 to 27001", "pictures"
    )  # fmt: skip
