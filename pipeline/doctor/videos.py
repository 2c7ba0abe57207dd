"""Check video files: missing, unreadable, truncated, or duplicate."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from pipeline.base.errors import InputError
from pipeline.base.files import digest_file
from pipeline.base.problems import Problem
from pipeline.doctor.finding import Finding, Severity, by_share, findings_of, problem_of
from pipeline.doctor.probe_films import ProbedFilm
from pipeline.tables.film_ids import ID_EXPECTED, VIDEO_SUFFIXES, alike, composed, is_id, names_beside
from pipeline.video.extract import LEAST_DECODED
from pipeline.video.folder import FOLDERS, NO_RATE, RATES, Listing, list_sources, path_name, read_rates
from pipeline.video.numbering import EXPECTED
from pipeline.video.pictures import digest_pictures, list_pictures

MAKE_AGAIN = "Fetch or convert the files again (ffmpeg -i FILE -c copy NEW.mp4 often mends a container)."


@dataclass(frozen=True)
class Files:
    """The video files below a folder; of several with one id, the first."""

    root: Path
    paths: dict[str, Path]
    findings: list[Finding]
    rates: dict[str, float] = field(default_factory=dict)
    "Pictures per second of each folder of pictures."
    refused: int = 0
    "Number of other files and folders that extract_frames counts as bad, by their names or their pictures' names."

    def name(self, video_id: str) -> str:
        """Return a file's name below the folder."""
        return self.paths[video_id].relative_to(self.root).as_posix()


def find_files(root: Path, *, frame_rate: float | None = None, limit: float = 1.0) -> Files:
    """Find the files and folders of pictures that `extract_frames` would read, with findings on those it would refuse.

    Args:
        root: `dataset.videos`.
        frame_rate: `dataset.frame_rate`.
        limit: share of bad films above which extract_frames stops (`frames.max_bad_fraction`).
    """
    if not root.is_dir():
        missing = Problem(str(root), "dataset.videos", "no such folder", "a folder of video files")
        remedy = "Put the films there, or set dataset.videos."
        return Files(root, {}, findings_of("videos-missing", "error", "folder of videos is missing", [missing], remedy))
    listing = list_sources(root)
    told, refused = _told_rates(root, listing)
    by_id: dict[str, list[Path]] = defaultdict(list)
    unsafe, foreign, unrated, no_film = [], [], [], []
    for path in sorted([*listing.files, *listing.folders]):
        name = path.relative_to(root)
        label = path_name(root, path)
        is_folder = path in listing.folders
        if path == root / RATES or not path.exists() or (not is_folder and not path.is_file()):
            continue
        if not is_folder and path.suffix.lower() not in VIDEO_SUFFIXES:
            foreign.append(Problem(name.as_posix(), path.stem, f"the ending {path.suffix!r}", " ".join(VIDEO_SUFFIXES)))
        elif is_folder and told.get(composed(label), frame_rate) is None:
            unrated.append(Problem(name.as_posix(), label, "a folder of pictures", "how many a second has"))
        elif is_folder and listing.folders[path]:
            no_film.append(Problem(name.as_posix(), label, listing.folders[path], EXPECTED))
        elif not is_id(composed(label)):
            unsafe.append(Problem(name.as_posix(), label, "a name that cannot be an id", ID_EXPECTED))
        else:
            by_id[composed(label)].append(path)
    twice = [
        Problem(
            each.relative_to(root).as_posix(), video_id, f"the id of {paths[0].relative_to(root)}", "one file per id"
        )
        for video_id, paths in sorted(by_id.items())
        for each in paths[1:]
    ]
    bad = len(unsafe) + len(no_film)
    severity = by_share(bad, len(by_id) + bad, limit) if by_id else "error"
    found = [
        *refused,
        *findings_of("pictures-without-rate", "warning" if by_id else "error",
                     "folders of pictures, whose frame rate nothing tells", unrated,
                     f"{NO_RATE[0].upper()}{NO_RATE[1:]}. As it stands they are passed over."),
        *findings_of("pictures-no-film", severity, "folders of pictures are no film", no_film,
                     "Leave one numbering in each folder, or move what is no frame elsewhere."),
        *findings_of("film-id-twice", "error", "files give an id that another file has", twice,
                     "Remove or rename them: extract_frames stops at two files of one id."),
        *findings_of("film-name", severity, "films have a name that cannot be an id", unsafe,
                     "Rename the files, and their rows in the annotations."),
        *findings_of("file-ignored", "note", "files in the folder of videos are no videos by their ending", foreign,
                     "Nothing, unless they are films: then give them the ending of their container."),
    ]  # fmt: skip
    if not by_id and not unsafe and not unrated and not no_film:
        found += _nothing(root)
    paths = {video_id: same[0] for video_id, same in sorted(by_id.items())}
    rates = {each: told.get(each, frame_rate) for each, path in paths.items() if path in listing.folders}
    return Files(root, paths, found, {each: rate for each, rate in rates.items() if rate is not None}, bad)


def _nothing(root: Path) -> list[Finding]:
    expected = f"names that end in {' '.join(VIDEO_SUFFIXES)}, or {FOLDERS}"
    nothing = Problem(str(root), "dataset.videos", "no video file", expected)
    remedy = "Put the films there, or set dataset.videos."
    return findings_of("videos-missing", "error", "folder of videos is empty", [nothing], remedy)


def _told_rates(root: Path, listing: Listing) -> tuple[dict[str, float], list[Finding]]:
    """Return the rates in frame_rates.csv, and findings on rows that extract_frames would refuse."""
    refused, told = "", {}
    try:
        told = read_rates(root)
    except InputError as error:
        refused = str(error)
    foreign = sorted(told.keys() - {composed(path_name(root, path)) for path in listing.folders})
    if foreign:
        refused = f"{root / RATES}: video {foreign[0]} is no folder of pictures in {root}"
    problems = [problem_of(refused, RATES, "the file", "rates of folders of pictures")] if refused else []
    return told, findings_of("frame-rates-refused", "error", "list of frame rates that is refused", problems,
                             "Mend or remove it: extract_frames stops at it.")  # fmt: skip


def check_films(files: Files, films: Mapping[str, ProbedFilm], *, limit: float) -> list[Finding]:
    """Find what is wrong with the files themselves.

    Args:
        files: the video files.
        films: the probed films.
        limit: share of bad films above which extract_frames stops (`frames.max_bad_fraction`).
    """
    empty, silent, hanging, damaged, gaps, short, cut, undecodable = ([] for _ in range(8))  # type: ignore[var-annotated]
    for video_id, film in films.items():
        problem = Problem(files.name(video_id), video_id, film.found, film.expected)
        if film.is_lost:
            hanging.append(problem)
        elif film.kind == "film-empty":
            empty.append(problem)
        elif film.kind == "film-without-video":
            silent.append(problem)
        elif film.found:
            (gaps if film.container == "pictures" else damaged).append(problem)
        else:
            there = film.frames if film.decoded is None else film.decoded
            words = "frames" if film.decoded is None else "frames that can be decoded"
            problem = Problem(files.name(video_id), video_id, f"{there} {words}", f"{film.expected_frames} frames")
            if there < max(1, LEAST_DECODED * film.expected_frames):
                (short if film.decoded is None else undecodable).append(problem)
            elif there < film.expected_frames:
                cut.append(problem)
    # Films that are kept without some of their frames count too.
    kinds = (empty, silent, damaged, gaps, short, undecodable, cut)
    bad = files.refused + len([each for kind in kinds for each in kind])
    severity = by_share(bad, len(films) + files.refused, limit)
    ends = f"ends if more than frames.max_bad_fraction ({limit:g}) of the films are bad"
    left_out = f"extract_frames leaves them out, and {ends}."
    kept = f"extract_frames keeps them, with the nearest frame in place of a lost one, and {ends}; these count"
    return [
        *findings_of("film-hangs", "error", "films stop the process that reads them", hanging,
                     f"{MAKE_AGAIN} Or take them out of the folder: extract_frames fails at them."),
        *findings_of("film-empty", severity, "films have zero bytes", empty, f"Fetch the files again; {left_out}"),
        *findings_of("film-without-video", severity, "files hold no video, only other streams", silent,
                     f"Fetch the files again with their video; {left_out}"),
        *findings_of("film-unreadable", severity, "films cannot be read", damaged, f"{MAKE_AGAIN} {left_out}"),
        *findings_of("pictures-missing", severity, "folders of pictures lack too many numbers", gaps,
                     "Picture 1 (or 0) is the start of the film, and each number the next frame at dataset.frame_rate: "
                     f"fetch the others, or number them so. {left_out[0].upper()}{left_out[1:]}"),
        *findings_of("film-truncated", severity, "films end long before the length that they announce", short,
                     f"Fetch the files again; {left_out}"),
        *findings_of("film-undecodable", severity, "films have too many frames that cannot be decoded", undecodable,
                     f"{MAKE_AGAIN} {left_out}"),
        *findings_of("film-frames-lost", severity, "films lack some of the frames that they announce", cut,
                     f"Fetch them again if the frames matter, or raise frames.max_bad_fraction: {kept}."),
    ]  # fmt: skip


def check_presence(
    timelines: pa.Table, films: Mapping[str, ProbedFilm], files: Files, *, limit: float
) -> list[Finding]:
    """Find annotated films without a file, and files without annotations."""
    splits = dict(zip(timelines["video_id"].to_pylist(), timelines["split"].to_pylist(), strict=True))
    absent = [video_id for video_id in splits if video_id not in films]
    severity = by_share(len(absent), len(splits), limit)
    for split in set(splits.values()):
        named = {video_id for video_id in splits if splits[video_id] == split}
        if named <= set(absent):
            severity = "error"
    missing = [Problem(str(files.root), each, "no file", f"{each}.mp4, .mkv, ... ({splits[each]})") for each in absent]
    alone = [
        Problem(files.name(each), each, "no row of the annotations", "a film of train, val or test")
        for each in films
        if each not in splits
    ]
    or_rename = _or_rename(absent, [each for each in films if each not in splits], len(splits))
    return [
        *findings_of("film-missing", severity, "annotated films are missing", missing,
                     f"Fetch them{or_rename}. Without them their keyframes are left out of training, and in the score "
                     "their boxes count as missed: two mAPs are comparable only on the same films."),
        *findings_of("film-not-annotated", "note", "films are annotated by nobody", alone,
                     "Nothing: frames are extracted and not used. Take them out of the folder to save the time."),
    ]  # fmt: skip


def _or_rename(absent: Sequence[str], alone: Sequence[str], annotated: int) -> str:
    """Return advice if names differ only in spelling, or if no annotated film has the name of a file."""
    guessed = [each for each in absent if alike(each, alone)]
    if not alone or not (guessed or len(absent) == annotated):
        return ""
    return f", or give files and rows one name: {names_beside('the files', alone, guessed or absent)}"


def check_copies(files: Files, timelines: pa.Table | None) -> list[Finding]:
    """Find films with the same bytes under two ids; the worst case is one in train and one in val."""
    by_size: dict[tuple[int, int], list[str]] = defaultdict(list)
    for video_id, path in files.paths.items():
        by_size[_size(path)].append(video_id)
    splits: dict[str, str] = {}
    if timelines is not None:
        splits = dict(zip(timelines["video_id"].to_pylist(), timelines["split"].to_pylist(), strict=True))
    across: list[Problem] = []
    within: list[Problem] = []
    for size, same in sorted(by_size.items()):
        first: dict[str, str] = {}
        for video_id in same if size[0] and len(same) > 1 else []:
            other = first.setdefault(_digest(files.paths[video_id]), video_id)
            if other == video_id:
                continue
            found = f"the bytes of {files.name(other)} ({splits.get(other, 'no split')})"
            problem = Problem(
                files.name(video_id), video_id, found, f"a film of its own ({splits.get(video_id, 'no split')})"
            )
            both = {splits.get(other), splits.get(video_id)} - {None}
            (across if len(both) > 1 else within).append(problem)
    worst: Severity = "error"
    return [
        *findings_of("split-overlap-bytes", worst, "films of one split are those of another under other names", across,
                     "Take one of each pair out of its split: what is trained on is measured."),
        *findings_of("film-twice", "warning", "films are there twice, under two names", within,
                     "Take one of each pair out: its moments count twice."),
    ]  # fmt: skip


def _size(path: Path) -> tuple[int, int]:
    """Return what copies have in common: bytes and number of pictures; of a folder, the bytes of the first picture."""
    if not path.is_dir():
        return path.stat().st_size, 0
    names = list(list_pictures(path).names.values())
    first = path / names[0]
    return first.stat().st_size if first.exists() else 0, len(names)


def _digest(path: Path) -> str:
    return digest_pictures(path) if path.is_dir() else digest_file(path)


def describe_films(films: Mapping[str, ProbedFilm]) -> str:
    """Describe the films in one line."""
    if not films:
        return "no files"
    good = [film for film in films.values() if not film.found]
    rates = sorted({f"{film.fps:.4g}" for film in good}, key=float)
    shown = ", ".join(rates[:6]) + (", ..." if len(rates) > 6 else "")
    hours = sum(film.duration_seconds for film in good) / 3600
    codecs = ", ".join(sorted({film.codec for film in good}))
    what = f"; {shown} frames a second; {codecs}" if good else ""
    return f"{len(films)} files, {len(good)} readable, {hours:.2f} h{what}"


def without_found(films: Mapping[str, ProbedFilm]) -> dict[str, ProbedFilm]:
    """Return the films that can be read."""
    return {video_id: film for video_id, film in films.items() if not film.found}
