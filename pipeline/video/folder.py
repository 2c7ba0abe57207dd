"""A folder of films (video files or folders of numbered pictures), and the video ids that their names give."""

import csv
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.base.errors import InputError
from pipeline.base.files import is_unicode, special_kind, visible_folders
from pipeline.base.problems import Problem
from pipeline.tables.film_ids import ID_EXPECTED, VIDEO_SUFFIXES, composed, is_id
from pipeline.video.numbering import EXPECTED, find_pictures

RATES = "frame_rates.csv"
"File in the folder of videos: `video_id,fps` for folders of pictures whose rate is not `dataset.frame_rate`."
HEADER = ["video_id", "fps"]
SLOWEST, FASTEST = 0.001, 100_000.0
FOLDERS = "folders of pictures (VIDEO/img_00001.jpg)"
NO_RATE = (
    "set dataset.frame_rate (new-dataset: --frame-rate) to how many pictures a second has (30 for AVA as MMAction2 and "
    f"LFB extract it), or write {RATES} ({','.join(HEADER)}) into the folder"
)


@dataclass(frozen=True)
class Listing:
    """The files and folders below a folder of films."""

    files: list[Path]
    "All files that are not in a folder of pictures, sorted."
    folders: dict[Path, str]
    "Folders of pictures, sorted, with the reason why they are not a film; empty if they are one."
    spare: int
    "Files in these folders that are not frames: optical flow, masks, lists."


@dataclass(frozen=True)
class VideoFolder:
    """The films found in a folder."""

    paths: dict[str, Path]
    "File or folder of pictures of each video id, in the order of the ids."
    problems: list[Problem]
    "Files and folders that are left out because their names cannot be ids, or their pictures are not a film."
    ignored: int
    "Number of other files: not hidden, and not videos by their suffix."
    rates: dict[str, float] = field(default_factory=dict)
    "Pictures per second of the ids whose path is a folder of pictures."
    unrated: list[Path] = field(default_factory=list)
    "Folders of pictures that are left out because their frame rate is unknown."


def list_sources(root: Path) -> Listing:
    """Find the files and the folders of pictures below a folder, without keeping the names of millions of pictures.

    A folder with numbered pictures and without a video file is a folder of pictures. `root` itself is one only if it
    contains nothing else.

    Raises:
        InputError: a folder cannot be read.
    """
    files: list[Path] = []
    folders: dict[Path, str] = {}
    spare = 0
    own: tuple[str, int] | None = None  # of `root`: its fault, and the number of files that are not frames
    for folder, names in visible_folders(root):
        has_films = any(Path(name).suffix.lower() in VIDEO_SUFFIXES for name in names)
        pictures = None if has_films else find_pictures(folder.name, names)
        if pictures is None:
            files += [folder / name for name in names]
        elif folder == root:
            own = pictures.fault, len(names) - len(pictures.names)
            files += [folder / name for name in names]
        else:
            folders[folder] = pictures.fault
            spare += len(names) - len(pictures.names)
    if own and not folders and all(path.parent == root for path in files):
        return Listing([], {root: own[0]}, own[1])
    return Listing(sorted(files), dict(sorted(folders.items())), spare)


def find_videos(root: Path, *, frame_rate: float | None = None) -> VideoFolder:
    """Find the films below a folder; the id is a file's name without suffix, or the name of a folder of pictures.

    Links to files and folders are followed; a link to nothing with the name of a video is a problem.

    Args:
        root: the folder.
        frame_rate: pictures per second of folders of pictures; None if only `frame_rates.csv` gives rates.

    Raises:
        InputError: the folder is absent or holds no film, a folder in it cannot be read, two films give the same id,
            `frame_rates.csv` is wrong, or there are only folders of pictures without a known rate.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder of videos (dataset.videos)")
    listing = list_sources(root)
    told = read_rates(root)
    paths: dict[str, Path] = {}
    rates: dict[str, float] = {}
    problems = []
    ignored = listing.spare
    unrated: list[Path] = []
    for path in sorted([*listing.files, *listing.folders]):
        is_folder = path in listing.folders
        video_id = composed(path_name(root, path))
        rate = told.get(video_id, frame_rate) if is_folder else None
        if path == root / RATES:
            continue
        if not is_folder and path.suffix.lower() not in VIDEO_SUFFIXES:
            ignored += 1
        elif is_folder and rate is None:
            unrated.append(path)
        elif problem := path_problem(root, path, listing):
            problems.append(problem)
        elif video_id in paths:
            other, name = paths[video_id].relative_to(root), path.relative_to(root)
            raise InputError(f"{root}: {other} and {name} give the same id {video_id!r}, expected one file per id")
        else:
            paths[video_id] = path
            rates |= {} if rate is None else {video_id: rate}
    if not paths and not problems and unrated:
        raise InputError(f"{root}: {describe_unrated(root, unrated)}, and no video file: {NO_RATE}")
    if not paths and not problems:
        raise InputError(f"{root}: no video files, expected names that end in {' '.join(VIDEO_SUFFIXES)}, or {FOLDERS}")
    foreign = sorted(told.keys() - {composed(path_name(root, path)) for path in listing.folders})
    if foreign:
        raise InputError(f"{root / RATES}: video {foreign[0]} is no folder of pictures in {root}")
    return VideoFolder(dict(sorted(paths.items())), problems, ignored, dict(sorted(rates.items())), unrated)


def path_name(root: Path, path: Path) -> str:
    """Return the name of a film: that of a folder, or of a file without its suffix."""
    if path == root:
        return root.absolute().name
    return path.name if path.is_dir() else path.stem


def path_problem(root: Path, path: Path, listing: Listing) -> Problem | None:
    """Explain why a video file or a folder of pictures cannot be a film; None if it can."""
    name, label = path.relative_to(root), path_name(root, path)
    if not is_unicode(name):
        return Problem(name.as_posix(), label, "a name that is no UTF-8 text", "names of file and folders in UTF-8")
    if path in listing.folders:
        if listing.folders[path]:
            return Problem(name.as_posix(), label, listing.folders[path], EXPECTED)
    elif not path.is_file():
        return Problem(name.as_posix(), label, special_kind(path) or "no file", "a video file")
    if not is_id(composed(label)):
        return Problem(name.as_posix(), label, "a name that cannot be an id", ID_EXPECTED)
    return None


def describe_unrated(root: Path, unrated: list[Path]) -> str:
    """Describe in words the folders of pictures whose frame rate is unknown."""
    count = len(unrated)
    first = unrated[0].relative_to(root).as_posix()
    plural, more = ("s", ", ...") if count > 1 else ("", "")
    return f"{count} folder{plural} of pictures whose frame rate nothing tells ({first}{more})"


def read_rates(root: Path) -> dict[str, float]:
    """Read `frame_rates.csv`: pictures per second by video id; empty if there is no such file.

    Raises:
        InputError: the header or a row is wrong, or a video is listed twice.
    """
    path = root / RATES
    if not path.exists():
        return {}
    try:
        rows = list(csv.reader(path.read_text("utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: no CSV ({error})") from None
    if not rows or [each.strip().lower() for each in rows[0]] != HEADER:
        raise InputError(f"{path}: the first row is {','.join(rows[0] if rows else [])[:80]!r}, expected video_id,fps")
    rates: dict[str, float] = {}
    for line, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        video_id = composed(row[0].strip())
        if len(row) != len(HEADER) or not (rate := _rate(row[1])):
            raise InputError(
                f"{path}: line {line} is {','.join(row)[:80]!r}, expected a video_id and pictures per second"
            )
        if video_id in rates:
            raise InputError(f"{path}: line {line}: video {video_id} is listed twice")
        rates[video_id] = rate
    return rates


def _rate(text: str) -> float:
    """Parse a frame rate; 0 if the text is not one."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if SLOWEST <= value <= FASTEST else 0.0
