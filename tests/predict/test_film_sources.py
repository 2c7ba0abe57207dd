from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.predict.film_sources import FilmSource, find_films


@pytest.fixture
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("day/b.mp4", "day/a.mkv", "day/notes.txt", "night/c.mp4"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def ids(*words: str, lines: tuple[str, ...] = ()) -> list[str]:
    return [film.video_id for film in find_films(words, lines)[0]]


def test_files_folders_globs_and_lists_name_films(films: Path) -> None:
    assert ids("day/b.mp4") == ["b"]
    assert ids("day") == ["a", "b"]
    assert ids("*/*.mp4") == ["b", "c"]
    assert ids("-", "day/b.mp4", lines=("night/c.mp4\n", "\n", "day/b.mp4\n")) == ["c", "b"]
    assert find_films(["night/c.mp4"]) == ([FilmSource("c", Path("night/c.mp4"))], [])


def test_pictures_come_with_their_rate(films: Path) -> None:
    (films / "day/walk").mkdir()
    for number in range(3):
        (films / f"day/walk/img_{number:05}.jpg").write_bytes(b"x")
    (films / "day/frame_rates.csv").write_text("video_id,fps\nwalk,25\n")
    (found,) = [film for film in find_films(["day"])[0] if film.video_id == "walk"]
    assert found.frame_rate == 25


def test_what_is_refused(films: Path) -> None:
    with pytest.raises(InputError) as error:
        find_films(["nowhere.mp4"])
    assert str(error.value) == "nowhere.mp4: no such file, folder or glob of films"
    (films / "night/b.mp4").write_bytes(b"x")
    with pytest.raises(InputError) as error:
        find_films(["day", "night"])
    assert str(error.value) == "day/b.mp4 and night/b.mp4 give the same id 'b', expected one film"
    with pytest.raises(InputError) as error:
        find_films(["-"], [])
    assert str(error.value) == "-: no film there, expected files, folders or globs of films"


def test_a_name_that_cannot_be_an_id_is_a_problem(films: Path) -> None:
    Path("day/x,y.mp4").write_bytes(b"x")
    found, (problem,) = find_films(["day/x,y.mp4", "day/b.mp4"])
    assert [film.video_id for film in found] == ["b"]
    assert (problem.item, problem.found) == ("x,y", "a name that cannot be an id")
