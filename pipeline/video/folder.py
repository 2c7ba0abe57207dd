"""A folder of video files, and the ids that its names give."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import InputError
from pipeline.files import is_unicode, special_kind, visible_files
from pipeline.problems import Problem
from pipeline.video.store import SAFE_ID

SUFFIXES = (
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".vob",
    ".webm", ".wmv",
)  # fmt: skip


@dataclass(frozen=True)
class VideoFolder:
    """What was found in a folder."""

    paths: dict[str, Path]
    "File of each video id, in the order of the ids."
    problems: list[Problem]
    "Files whose names cannot be ids."
    ignored: int
    "Other files: not hidden, and no videos by their suffix."


def find_videos(root: Path) -> VideoFolder:
    """Find the video files below a folder; a file's id is its name without the suffix.

    Links to files and folders are followed; a link to nothing whose name is that of a video is a problem.

    Raises:
        InputError: the folder is absent or holds no video, a folder in it cannot be read, or two files give the same
            id.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder of videos (dataset.videos)")
    paths: dict[str, Path] = {}
    problems = []
    ignored = 0
    for path in sorted(visible_files(root)):
        name = path.relative_to(root)
        if path.suffix.lower() not in SUFFIXES:
            ignored += 1
        elif not is_unicode(name):
            expected = "names of file and folders in UTF-8"
            problems.append(Problem(name.as_posix(), path.stem, "a name that is no UTF-8 text", expected))
        elif not path.is_file():
            found = special_kind(path) or "no file"
            problems.append(Problem(name.as_posix(), path.stem, found, "a video file"))
        elif not SAFE_ID.fullmatch(path.stem):
            expected = "letters, digits, '.', '_' and '-', at most 200"
            problems.append(Problem(name.as_posix(), path.stem, "a name that is no safe id", expected))
        elif path.stem in paths:
            other = paths[path.stem].relative_to(root)
            raise InputError(f"{root}: {other} and {name} give the same id {path.stem!r}, expected one file per id")
        else:
            paths[path.stem] = path
    if not paths and not problems:
        raise InputError(f"{root}: no video files, expected names that end in {' '.join(SUFFIXES)}")
    return VideoFolder(dict(sorted(paths.items())), problems, ignored)
