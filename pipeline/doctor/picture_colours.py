"""Tell of folders of JPEGs whose colours depend on a matrix that JPEGs do not name."""

from collections.abc import Mapping

from pipeline.base.problems import Problem
from pipeline.doctor.finding import Finding, findings_of
from pipeline.doctor.probe_films import ProbedFilm
from pipeline.doctor.videos import Files

BY_FFMPEG = "Lavc"
EXPECTED = "a note of how they were converted, which a JPEG has no place for"


def check_picture_colours(files: Files, films: Mapping[str, ProbedFilm]) -> list[Finding]:
    """Report folders of JPEGs by FFmpeg, which keeps the matrix of BT.709 films; readers of JPEGs take BT.601's.

    Args:
        files: the video files.
        films: the readable films.
    """
    problems = []
    for video_id, film in films.items():
        if film.comment.startswith(BY_FFMPEG):
            found = f"JPEGs of {film.width}x{film.height} by FFmpeg ({film.comment})"
            problems.append(Problem(files.name(video_id), video_id, found, EXPECTED))
    return findings_of(
        "pictures-of-unknown-colours", "note", "folders hold JPEGs of FFmpeg, whose matrix is unknown", problems,
        "Nothing, where the films were in BT.601, untagged, or converted to it (-vf scale=out_color_matrix=bt601). "
        "Where they were tagged as BT.709, as many of 720 lines and more are, ffmpeg kept that matrix: their "
        "(30, 200, 30) reads as (42, 230, 32). A model sees other greens there than in frames that extract_frames "
        "makes of films.",
    )  # fmt: skip
