"""A folder of video files, and the ids that its names give."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import InputError
from pipeline.files import is_unicode, special_kind, visible_files
from pipeline.names import ID_EXPECTED, VIDEO_SUFFIXES, composed, is_id
from pipeline.problems import Problem


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
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            ignored += 1
        elif not is_unicode(name):
            expected = "names of file and folders in UTF-8"
            problems.append(Problem(name.as_posix(), path.stem, "a name that is no UTF-8 text", expected))
        elif not path.is_file():
            found = special_kind(path) or "no file"
            problems.append(Problem(name.as_posix(), path.stem, found, "a video file"))
        elif not is_id(video_id := composed(path.stem)):
            problems.append(Problem(name.as_posix(), path.stem, "a name that cannot be an id", ID_EXPECTED))
        elif video_id in paths:
            other = paths[video_id].relative_to(root)
            raise InputError(f"{root}: {other} and {name} give the same id {video_id!r}, expected one file per id")
        else:
            paths[video_id] = path
    if not paths and not problems:
        raise InputError(f"{root}: no video files, expected names that end in {' '.join(VIDEO_SUFFIXES)}")
    return VideoFolder(dict(sorted(paths.items())), problems, ignored)
