from pathlib import Path

from pipeline.doctor.picture_colours import check_picture_colours
from pipeline.doctor.probe_films import ProbedFilm
from pipeline.doctor.videos import Files

FILES = Files(Path("videos"), {"a": Path("videos/x/a"), "b": Path("videos/b"), "c": Path("videos/c.mp4")}, [])


def test_jpegs_of_ffmpeg_do_not_tell_their_matrix() -> None:
    films = {
        "a": ProbedFilm(container="pictures", width=1280, height=720, comment="Lavc59.37.100"),
        "b": ProbedFilm(container="pictures", width=1280, height=720, comment="File written by Adobe"),
        "c": ProbedFilm(width=1280, height=720),
    }
    (found,) = check_picture_colours(FILES, films)
    assert (found.code, found.severity, found.count) == ("pictures-of-unknown-colours", "note", 1)
    assert str(found.examples[0]) == (
        "x/a: a: found JPEGs of 1280x720 by FFmpeg (Lavc59.37.100), expected a note of how they were converted, which "
        "a JPEG has no place for"
    )
    assert found.remedy.startswith("Nothing, where the films were in BT.601, untagged, or converted to it")
    assert "(30, 200, 30) reads as (42, 230, 32)" in found.remedy
    del films["a"]
    assert check_picture_colours(FILES, films) == []
