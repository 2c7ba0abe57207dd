"""Check frames that are already stored: other settings, another decoder, another film, or lost frames."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.base.errors import InputError
from pipeline.base.problems import Problem, read_problems
from pipeline.doctor.finding import Finding, findings_of, problem_of
from pipeline.doctor.probe_films import ProbedFilm
from pipeline.video.extract import FrameSettings
from pipeline.video.manifest import StoreManifest

AGAIN = "Run dvc repro extract_frames."
DISTRIBUTIONS = {"decord": "decord", "pyav": "av", "simplejpeg": "simplejpeg"}


def check_frames(
    folder: Path, settings: FrameSettings, films: Mapping[str, ProbedFilm], timelines: pa.Table | None
) -> list[Finding]:
    """Compare a store's manifest with the parameters, the libraries and the films; no findings if there is no store.

    Args:
        folder: `data/<name>/frames`.
        settings: the settings in the parameters.
        films: the readable films.
        timelines: TIMELINES, if the annotations could be read.
    """
    if not (folder / "manifest.json").exists():
        return []
    try:
        manifest = StoreManifest(folder / "manifest.json")
        entries = {video_id: manifest.entry(video_id) for video_id in manifest.video_ids}
    except InputError as error:
        told = problem_of(str(error), str(folder / "manifest.json"), "the file", "a manifest of a frame store")
        return findings_of("frames-unreadable", "error", "frame store that cannot be read", [told], AGAIN)
    return [
        *_settings(manifest, settings),
        *_files(folder, manifest),
        *_decoders(folder, entries),
        *_lost(folder, entries),
        *_other_films(folder, entries, films),
        *_missing(folder, entries, films, timelines),
    ]


def _settings(manifest: StoreManifest, settings: FrameSettings) -> list[Finding]:
    problems = [
        Problem(str(manifest.path), f"frames.{key}", str(manifest.settings.get(key)), f"{value}, as the parameters say")
        for key, value in asdict(settings).items()
        if manifest.settings.get(key) != value
    ]
    return findings_of(
        "frames-of-other-settings", "warning", "settings of the stored frames are not the parameters'", problems,
        f"{AGAIN} Until then an mAP on them is one of other pictures.",
    )  # fmt: skip


def _files(folder: Path, manifest: StoreManifest) -> list[Finding]:
    problems = []
    for name, size in sorted(manifest.file_bytes.items()):
        path = folder / name
        there = path.stat().st_size if path.exists() else None
        if there != size:
            problems.append(Problem(str(path), name, "no file" if there is None else f"{there} bytes", f"{size} bytes"))
    return findings_of("frames-damaged", "error", "files of stored frames are missing or of another size", problems,
                       f"Run dvc checkout {folder}, or dvc repro extract_frames.")  # fmt: skip


def _decoders(folder: Path, entries: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    used = {video_id: (str(each["decoder"]), str(each["decoder_version"])) for video_id, each in entries.items()}
    earlier = [
        Problem(str(folder), video_id, "frames by way of RGB", "frames of the decoder's planes, if usable")
        for video_id, each in entries.items()
        if "pixels" not in each and used[video_id][0] in ("decord", "pyav")
    ]
    now = {name: version(distribution) for name, distribution in DISTRIBUTIONS.items()}
    older = [
        Problem(
            str(folder),
            video_id,
            f"frames by {name} {number}",
            f"{name} {now.get(name, '(unknown)')}, which is installed",
        )
        for video_id, (name, number) in used.items()
        if now.get(name) != number
    ]
    counts = Counter(used.values())
    several = []
    for (name, number), count in counts.most_common() if len(counts) > 1 else []:
        reasons = Counter(_reason(entries[each]) for each in used if used[each] == (name, number))
        usual = reasons.most_common(1)[0][0] or "the usual decoder"
        several.append(Problem(str(folder), f"{count} films", f"frames by {name} {number}", usual))
    return [
        *findings_of("frames-of-other-decoder", "warning", "films have frames by another version of the decoder", older,
                     f"{AGAIN} Decoders differ in bytes: compare mAPs on frames of one of them alone."),
        *findings_of("frames-of-earlier-version", "warning", "films have frames of an earlier version", earlier,
                     f"{AGAIN} Most are a level darker than new ones; keep to one kind for a model."),
        *findings_of("frames-of-several-decoders", "note", "decoders made the stored frames", several,
                     "Nothing: each film is decoded by what is exact for it. The reason stands in manifest.json."),
    ]  # fmt: skip


def _reason(entry: Mapping[str, Any]) -> str:
    """Return why a film's frames were not made in the usual way; empty if they were."""
    return str(entry.get("pixels_reason", entry["decoder_reason"]))


def _lost(folder: Path, entries: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    problems = [
        Problem(str(folder), video_id, f"{each['frames_decoded']} frames", f"{each['frames_expected']} frames")
        for video_id, each in entries.items()
        if each["frames_failed"]
    ]
    left_out: list[Problem] = []
    if (folder / "problems.json").exists():
        left_out = [each for each in read_problems(folder / "problems.json") if each.item not in entries]
    return [
        *findings_of("frames-lost", "warning", "stored films lack some frames", problems,
                     "Nothing ends at it: the nearest frame stands in for a lost one. Fetch them again if it matters."),
        *findings_of("frames-left-out", "warning", "films were left out of the stored frames", left_out,
                     f"Mend the files, then {AGAIN.lower()}"),
    ]  # fmt: skip


def _other_films(
    folder: Path, entries: Mapping[str, Mapping[str, Any]], films: Mapping[str, ProbedFilm]
) -> list[Finding]:
    problems = []
    for video_id, film in films.items():
        entry = entries.get(video_id)
        if entry and (entry["frames_expected"], entry["codec"]) != (film.expected_frames, film.codec):
            found = f"frames of a film of {entry['frames_expected']} frames of {entry['codec']}"
            problems.append(
                Problem(str(folder), video_id, found, f"{film.expected_frames} of {film.codec}, as in the file")
            )
    return findings_of(
        "frames-of-other-film", "warning", "stored films are not the files that are there now", problems, AGAIN
    )


def _missing(
    folder: Path, entries: Mapping[str, Mapping[str, Any]], films: Mapping[str, ProbedFilm], timelines: pa.Table | None
) -> list[Finding]:
    named = set(timelines["video_id"].to_pylist()) if timelines is not None else set()
    problems = [
        Problem(str(folder), video_id, "no frames", "frames of every film") for video_id in films
        if video_id in named and video_id not in entries
    ]  # fmt: skip
    return findings_of("frames-missing", "warning", "films are there and have no stored frames", problems, AGAIN)
