"""Suggest the timestamp of a film's first frame from its rows and its length: 0 for most films, 900 for AVA's.

Only AVA CSV and COCO-like JSON (also with images `VIDEO/TIMESTAMP.jpg`) need it, as their timestamps are labels of
seconds. In other formats it is known: tools and tubes count frames or seconds of the film, and a clip of Kinetics has
its start in its name.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.annotations.ava_rows import ANNOTATION_WIDTHS
from pipeline.annotations.coco import image_stamps
from pipeline.annotations.formats import Found
from pipeline.annotations.kinetics import PUBLISHED as KINETICS
from pipeline.annotations.multisports_tubes import counts_frames
from pipeline.tables.csv_rows import Floats, Ints, numbers, read_rows, video_id_fault
from pipeline.tables.film_ends import is_beyond
from pipeline.tables.film_ids import composed, film_of
from pipeline.tables.ordering import ranked
from pipeline.tables.timelines import AVA_FIRST_TIMESTAMP

# Rounding of a film's length can put a keyframe at its very end outside.
SLACK_SECONDS = 0.1
# AVA's films are the seconds 900 to 1800 of their source. A longer film that contains its rows' seconds was not cut.
LONGEST_CUT_SECONDS = 930.0
# Timestamps that reach this many lengths of the film are not seconds.
FRAME_NUMBERS = 5.0
SHOWN_FILMS = 3


@dataclass(frozen=True)
class Suggested:
    """First timestamps by film, and lines for the user."""

    first: Mapping[str, float] = field(default_factory=dict)
    needed: bool = False
    "True if the import's default would differ for some film."
    told: list[str] = field(default_factory=list)


def suggest_first_timestamps(
    folder: Path, found: Found, durations: Mapping[str, float], rates: Mapping[str, float] | None = None
) -> Suggested:
    """Suggest first timestamps from the rows of a folder of annotations.

    Args:
        folder: the annotation folder.
        found: its files by format.
        durations: length in seconds of each readable film.
        rates: their frame rates; None does not check whether rows count frames.

    Raises:
        InputError: a file cannot be read, or does not show whether it counts frames.
    """
    if any(KINETICS.fullmatch(path.name) for path in folder.iterdir()):
        return Suggested()
    stamps, taken, of_csv = _stamps(found)
    inside = {
        each: tuple(_inside(values - first, durations.get(each, np.inf)) for first in (0.0, AVA_FIRST_TIMESTAMP))
        for each, values in stamps.items()
    }
    first: dict[str, float] = {}
    for each, (from_zero, from_ava) in inside.items():
        uncut = from_zero > 0 and durations.get(each, 0.0) > LONGEST_CUT_SECONDS
        if from_zero != from_ava or uncut:
            first[each] = AVA_FIRST_TIMESTAMP if from_ava > from_zero else 0.0
    usual = max(Counter(first.values()).items(), key=lambda each: (each[1], each[0]))[0] if first else None
    for each in stamps.keys() - first.keys():
        early = float(stamps[each].min()) < AVA_FIRST_TIMESTAMP
        first[each] = 0.0 if early else AVA_FIRST_TIMESTAMP if usual is None else usual
    first = {each: first[each] for each in sorted(first)}
    unlike = sorted(each for each in first if first[each] != taken[each])
    frames = [
        each
        for each in first
        if each in of_csv and each in durations and _are_frames(stamps[each], durations[each], (rates or {}).get(each))
    ]
    outside = [each for each in first if each in durations and not any(inside[each]) and each not in frames]
    fitting = {each: value for each, value in first.items() if each not in {*outside, *frames}}
    return Suggested(first, bool(unlike), [*_told(fitting, stamps, durations), *_unfit(outside, frames)])


def _are_frames(stamps: Floats, duration: float, fps: float | None) -> bool:
    """Return whether timestamps reach far beyond the film's length, but fit it as frame numbers."""
    first, last = float(stamps.min()), float(stamps.max())
    too_long = last > FRAME_NUMBERS * duration and last - first > duration + SLACK_SECONDS
    return too_long and first >= 0 and bool(fps) and last <= (duration + SLACK_SECONDS) * (fps or 0.0) + 1


def _stamps(found: Found) -> tuple[dict[str, Floats], dict[str, float], set[str]]:
    """Return the timestamps by film, the import's default first timestamp of each film, and the films of AVA CSVs."""
    stamps: dict[str, list[Floats]] = {}
    taken: dict[str, float] = {}
    for path in [*found.ava, *(path for path in found.file_csvs if not counts_frames(path, "auto"))]:
        rows = read_rows(path)
        texts, values = rows.column(0), numbers(rows.column(1))
        good = np.isin(rows.widths, ANNOTATION_WIDTHS) & (np.abs(values) < 1e9)
        names, video = ranked(texts.filter(pa.array(good)).cast(pa.string()))
        films = [composed(film_of(name)) for name in names]
        _add(stamps, films, video, values[good])
        taken |= dict.fromkeys(films, AVA_FIRST_TIMESTAMP)
    of_csv = {*taken}
    for _, content in found.coco:
        of_file = image_stamps(content)
        earliest = min((stamp for _, stamp in of_file), default=0.0)
        names, video = ranked(pa.array([film for film, _ in of_file], pa.string()))
        _add(stamps, names, video, np.array([stamp for _, stamp in of_file], np.float64))
        taken |= dict.fromkeys(names, AVA_FIRST_TIMESTAMP if earliest >= AVA_FIRST_TIMESTAMP else 0.0)
    return {film: np.concatenate(each) for film, each in stamps.items() if not video_id_fault(film)}, taken, of_csv


def _add(stamps: dict[str, list[Floats]], films: list[str], film: Ints, values: Floats) -> None:
    """Append `values` [n] to those of their films; `film` [n] holds indices into `films`."""
    order = np.argsort(film, kind="stable")
    parts = np.split(values[order], np.searchsorted(film[order], np.arange(1, len(films))))
    for name, part in zip(films, parts, strict=bool(films)):
        stamps.setdefault(name, []).append(part)


def _inside(seconds: Floats, duration: float) -> float:
    """Return the share of times that lie in a film of this length."""
    return float(((seconds >= 0) & (seconds <= duration + SLACK_SECONDS)).mean())


def _told(first: Mapping[str, float], stamps: Mapping[str, Floats], durations: Mapping[str, float]) -> list[str]:
    by_value = {value: [each for each in first if first[each] == value] for value in sorted({*first.values()})}
    lines = []
    for value, films in by_value.items():
        every = np.concatenate([stamps[each] for each in films])
        lines.append(
            f"first_timestamp {value:g} (the second at which a film begins) fits the rows of {_named(films)}, which "
            f"lie "
            f"from {every.min():.10g} to {every.max():.10g}"
        )
    from_one = [
        each for each, value in first.items() if value == 0 and _ends_one_later(stamps[each], durations.get(each, 0.0))
    ]
    if from_one:
        lines.append(
            f"the last row of {_named(from_one)} lies at the end of its film, where no frame is, and none at 0: if "
            f"they "
            "count seconds from 1, set first_timestamp to 1 there"
        )
    return lines


def _unfit(outside: list[str], frames: list[str]) -> list[str]:
    """Return lines on films whose rows fit no first timestamp, or fit only as frame numbers."""
    lines = []
    if frames:
        lines.append(
            f"the rows of {_named(frames)} reach far beyond the film, and fit it as numbers of frames: if they are, "
            "set dataset.timestamps: frames (the first frame is 1; fps stands in videos.csv)"
        )
    if outside:
        lines.append(
            f"the rows of {_named(outside)} fit neither 0 nor 900: set first_timestamp in videos.csv to the second of "
            "the rows at which the film begins"
        )
    return lines


def _ends_one_later(stamps: Floats, duration: float) -> bool:
    """Return whether a film's rows start at 1 or later and end less than a second after its last frame."""
    last = float(stamps.max())
    return stamps.min() >= 1 and bool(is_beyond(last, duration)) and not bool(is_beyond(last - 1, duration))


def _named(films: list[str]) -> str:
    shown = ", ".join(films[:SHOWN_FILMS]) + (", ..." if len(films) > SHOWN_FILMS else "")
    return f"{len(films)} film{'' if len(films) == 1 else 's'} ({shown})"
