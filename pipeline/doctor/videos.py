"""Video files: those that are missing, cannot be read, are cut off, or come twice."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipeline.doctor.films import Film
from pipeline.doctor.finding import Finding, Severity, by_share, findings_of
from pipeline.files import digest_file, visible_files
from pipeline.names import ID_EXPECTED, VIDEO_SUFFIXES, composed, is_id
from pipeline.problems import Problem
from pipeline.video.extract import LEAST_DECODED

MAKE_AGAIN = "Fetch or convert the files again (ffmpeg -i FILE -c copy NEW.mp4 often mends a container)."


@dataclass(frozen=True)
class Files:
    """The video files below a folder; of several with one id the first."""

    root: Path
    paths: dict[str, Path]
    findings: list[Finding]

    def name(self, video_id: str) -> str:
        """A file's name below the folder."""
        return self.paths[video_id].relative_to(self.root).as_posix()


def find_files(root: Path) -> Files:
    """The files that `extract_frames` would read, and what it would refuse of them."""
    if not root.is_dir():
        missing = Problem(str(root), "dataset.videos", "no such folder", "a folder of video files")
        remedy = "Put the films there, or set dataset.videos."
        return Files(root, {}, findings_of("videos-missing", "error", "folder of videos is missing", [missing], remedy))
    by_id: dict[str, list[Path]] = defaultdict(list)
    unsafe, foreign = [], []
    for path in sorted(visible_files(root)):
        name = path.relative_to(root)
        if not path.is_file():
            continue
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            foreign.append(Problem(name.as_posix(), path.stem, f"the ending {path.suffix!r}", " ".join(VIDEO_SUFFIXES)))
        elif not is_id(video_id := composed(path.stem)):
            unsafe.append(Problem(name.as_posix(), path.stem, "a name that cannot be an id", ID_EXPECTED))
        else:
            by_id[video_id].append(path)
    twice = [
        Problem(
            each.relative_to(root).as_posix(), video_id, f"the id of {paths[0].relative_to(root)}", "one file per id"
        )
        for video_id, paths in sorted(by_id.items())
        for each in paths[1:]
    ]
    found = [
        *findings_of("film-id-twice", "error", "files give an id that another file has", twice,
                     "Remove or rename them: extract_frames stops at two files of one id."),
        *findings_of("film-name", "warning" if by_id else "error", "films have a name that cannot be an id", unsafe,
                     "Rename the files, and their rows in the annotations."),
        *findings_of("file-ignored", "note", "files in the folder of videos are no videos by their ending", foreign,
                     "Nothing, unless they are films: then give them the ending of their container."),
    ]  # fmt: skip
    if not by_id and not unsafe:
        nothing = Problem(str(root), "dataset.videos", "no video file", f"names that end in {' '.join(VIDEO_SUFFIXES)}")
        found += findings_of(
            "videos-missing",
            "error",
            "folder of videos is empty",
            [nothing],
            "Put the films there, or set dataset.videos.",
        )
    return Files(root, {video_id: paths[0] for video_id, paths in sorted(by_id.items())}, found)


def check_films(files: Files, films: Mapping[str, Film], *, limit: float) -> list[Finding]:
    """What is wrong with the files themselves.

    Args:
        files: where they are.
        films: what was found in each.
        limit: share of bad films at which extract_frames ends (`frames.max_bad_fraction`).
    """
    empty, silent, hanging, damaged, short, cut, undecodable = ([] for _ in range(7))  # type: ignore[var-annotated]
    for video_id, film in films.items():
        problem = Problem(files.name(video_id), video_id, film.found, film.expected)
        if film.is_lost:
            hanging.append(problem)
        elif film.found == "0 bytes":
            empty.append(problem)
        elif film.found.startswith("no video stream"):
            silent.append(problem)
        elif film.found:
            damaged.append(problem)
        else:
            there = film.frames if film.decoded is None else film.decoded
            words = "frames" if film.decoded is None else "frames that can be decoded"
            problem = Problem(files.name(video_id), video_id, f"{there} {words}", f"{film.expected_frames} frames")
            if there < max(1, LEAST_DECODED * film.expected_frames):
                (short if film.decoded is None else undecodable).append(problem)
            elif there < film.expected_frames:
                cut.append(problem)
    bad = len(empty) + len(silent) + len(damaged) + len(short) + len(undecodable)
    severity = by_share(bad, len(films), limit)
    left_out = f"extract_frames leaves them out, and ends if more than {limit:.0%} of the films are bad."
    return [
        *findings_of("film-hangs", "error", "films stop the process that reads them", hanging,
                     f"{MAKE_AGAIN} Or take them out of the folder: extract_frames fails at them."),
        *findings_of("film-empty", severity, "films have zero bytes", empty, f"Fetch the files again; {left_out}"),
        *findings_of("film-without-video", severity, "files hold no video, only other streams", silent,
                     f"Fetch the files again with their video; {left_out}"),
        *findings_of("film-unreadable", severity, "films cannot be read", damaged, f"{MAKE_AGAIN} {left_out}"),
        *findings_of("film-truncated", severity, "films end long before the length that they announce", short,
                     f"Fetch the files again; {left_out}"),
        *findings_of("film-undecodable", severity, "films have too many frames that cannot be decoded", undecodable,
                     f"{MAKE_AGAIN} {left_out}"),
        *findings_of("film-frames-lost", "warning", "films lack some of the frames that they announce", cut,
                     "They are kept, and the nearest frame stands in for a lost one. Fetch them again if it matters."),
    ]  # fmt: skip


def check_presence(timelines: pa.Table, films: Mapping[str, Film], files: Files, *, limit: float) -> list[Finding]:
    """Films that are annotated and not there, and the other way round."""
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
    return [
        *findings_of("film-missing", severity, "annotated films are missing", missing,
                     "Fetch them. Without them their keyframes are left out of training, and in the score their boxes "
                     "count as missed: two mAPs are comparable only on the same films."),
        *findings_of("film-not-annotated", "note", "films are annotated by nobody", alone,
                     "Nothing: frames are extracted and not used. Take them out of the folder to save the time."),
    ]  # fmt: skip


def check_copies(files: Files, timelines: pa.Table | None) -> list[Finding]:
    """Films with the same bytes under two ids, worst where one is in train and the other in val."""
    by_size: dict[int, list[str]] = defaultdict(list)
    for video_id, path in files.paths.items():
        by_size[path.stat().st_size].append(video_id)
    splits: dict[str, str] = {}
    if timelines is not None:
        splits = dict(zip(timelines["video_id"].to_pylist(), timelines["split"].to_pylist(), strict=True))
    across: list[Problem] = []
    within: list[Problem] = []
    for size, alike in sorted(by_size.items()):
        first: dict[str, str] = {}
        for video_id in alike if size and len(alike) > 1 else []:
            other = first.setdefault(digest_file(files.paths[video_id]), video_id)
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


def describe(films: Mapping[str, Film]) -> str:
    """The films in one line."""
    if not films:
        return "no files"
    good = [film for film in films.values() if not film.found]
    rates = sorted({f"{film.fps:.4g}" for film in good}, key=float)
    shown = ", ".join(rates[:6]) + (", ..." if len(rates) > 6 else "")
    hours = sum(film.duration_seconds for film in good) / 3600
    codecs = ", ".join(sorted({film.codec for film in good}))
    what = f"; {shown} frames a second; {codecs}" if good else ""
    return f"{len(films)} files, {len(good)} readable, {hours:.2f} h{what}"


def without_found(films: Mapping[str, Film]) -> dict[str, Film]:
    """The films that can be read."""
    return {video_id: film for video_id, film in films.items() if not film.found}
