"""Examine a data set for recognition: a folder of labels of clips, and the folder of their films."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pipeline.annotations.import_clips import ClipImport, import_clips
from pipeline.base.errors import InputError
from pipeline.base.problems import Problem
from pipeline.doctor.finding import Examination, Finding, findings_of, in_order, problem_of
from pipeline.doctor.left_out import sort_problems, too_many_bad
from pipeline.doctor.probe_films import probe_films
from pipeline.doctor.videos import check_films, describe_films, find_files, without_found
from pipeline.tables.timelines import SPLITS

RUN = "dvc repro recognition/dvc.yaml"


@dataclass(frozen=True)
class ClipFolders:
    """A data set for recognition."""

    name: str
    videos: Path
    labels: Path
    frame_rate: float | None = None
    "Pictures per second of folders of pictures."
    segments: int = 8
    "S: clips with fewer frames are noted."
    max_bad_fraction: float = 0.05
    "Largest accepted share of bad films, and of bad rows."


def examine_clips(
    folders: ClipFolders, *, workers: int, decode: bool = False, silence_seconds: float = 60.0
) -> Examination:
    """Check films and labels; a fault in them is reported and does not stop the examination.

    Args:
        folders: the data set.
        workers: number of processes that read videos.
        decode: decode every frame of every film.
        silence_seconds: a process that makes no progress for this long is killed, and its film is reported.
    """
    facts = {"videos": str(folders.videos), "labels": str(folders.labels)}
    unchecked = [] if decode else ["frames were not decoded; --decode does"]
    limit = folders.max_bad_fraction
    files = find_files(folders.videos, frame_rate=folders.frame_rate, limit=limit)
    films = probe_films(files.paths, workers=workers, decode=decode, silence_seconds=silence_seconds, rates=files.rates)
    facts["films"] = describe_films(films)
    findings = [*files.findings, *check_films(files, films, limit=limit)]
    frames = {video_id: film.frames for video_id, film in without_found(films).items()}
    try:
        found = import_clips(folders.labels, frames, segments=folders.segments)
    except InputError as error:
        refused = problem_of(
            str(error).removeprefix(f"{folders.labels}: "), str(folders.labels), "the labels", "labels"
        )
        remedy = "docs/recognition-data.md has the layouts; import_labels stops at this."
        findings += findings_of("labels-refused", "error", "folder of labels that cannot be used", [refused], remedy)
        unchecked.append("clips and classes: the labels cannot be read")
    else:
        findings += check_clips(found, limit=limit)
        counts = ", ".join(f"{split} {count}" for split in SPLITS if (count := _count(found, split)))
        facts["clips"] = f"{len(found.clips)} of {found.summary['classes']} classes; {counts}"
        facts["flips"] = f"{found.summary['flips']} classes change places with another one in a mirror"
        if frames.keys() - {row.video_id for row in found.clips}:
            facts["films without a label"] = str(found.summary["unlisted"])
    return Examination(folders.name, facts, in_order(findings), unchecked, RUN)


def check_clips(found: ClipImport, *, limit: float) -> list[Finding]:
    """Find what is wrong with the labels of clips.

    Args:
        found: the labels, matched with the films.
        limit: share of bad rows above which import_labels stops.
    """
    left_out, notes = found.problems[: found.left_out], found.problems[found.left_out :]
    key = "recognition.dataset.max_bad_fraction"
    return [
        *findings_of("split-without-clips", "error", "splits have no clip", _without_clips(found),
                     "Bring their label file: a word train, val or validation in its name says the split."),
        *too_many_bad(left_out, len(left_out), found.rows, limit, prefix="clip", stage="import_labels", key=key),
        *sort_problems(left_out, "clip"),
        *findings_of("clip-film-missing", "warning", "clips have no film that can be read", found.missing,
                     "Fetch the films, or compare the ids with the names of the files; the clips are left out."),
        *findings_of("clip-kept", "warning", "clips are kept although something in their rows is wrong", notes,
                     "Placeholders or counts of frames: look whether the label file is of these films. Of a clip with "
                     "fewer frames than segments frames repeat."),
        *findings_of("class-without-clips", "warning", "classes have no clip in train", _classes_without(found),
                     "Nothing learns them; look whether the list of classes is of this version."),
        *findings_of("flip-without-partner", "warning", "classes name a side, and no class names the other one",
                     _one_sided(found), "Their clips are not mirrored where flips are mapped; add the other class, or "
                     "spell both alike but for left and right, or clockwise and counterclockwise."),
    ]  # fmt: skip


def _count(found: ClipImport, split: str) -> int:
    return sum(row.split == split for row in found.clips)


def _without_clips(found: ClipImport) -> list[Problem]:
    return [
        Problem("labels", f"split {split}", "no clip with a film", "one or more")
        for split in ("train", "val")
        if not _count(found, split)
    ]


def _classes_without(found: ClipImport) -> list[Problem]:
    numbers = cast("Sequence[int]", found.summary["classes_without_train_clips"])
    return [
        Problem("labels", f"class {each}", f"no clip of {found.classes.names[each]!r}", "one or more")
        for each in numbers
    ]


def _one_sided(found: ClipImport) -> list[Problem]:
    return [
        Problem("labels", f"class {each}", repr(found.classes.names[each]), "a class of the other side")
        for each in sorted(found.classes.one_sided)
    ]
