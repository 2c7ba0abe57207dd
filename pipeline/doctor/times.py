"""Compare keyframes with their films: outside of the film, or counted at another frame rate."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from pipeline.annotations.kinetics import CLIP
from pipeline.annotations.listed import Listed
from pipeline.base.problems import Problem
from pipeline.doctor.finding import Finding, by_share, findings_of
from pipeline.doctor.probe_films import ProbedFilm
from pipeline.tables.ordering import group_starts, ranked

FILE = "annotations"
# Rounding of a film's length can put a keyframe at its very end outside.
SLACK_SECONDS = 0.1
# The most common first: if two rates would explain a film, the first one is reported.
RATES = (30.0, 25.0, 24.0, 15.0, 60.0, 50.0, 30000 / 1001, 24000 / 1001, 60000 / 1001, 12.5, 12.0)
RATE_TOLERANCE = 0.005
# If the last keyframe is this many film lengths after the start, the annotations are frame numbers.
FRAME_NUMBERS = 5.0
# Annotations that end at the same fraction of their films show another frame rate only with several films.
LEAST_FILMS = 4
STEP_SHARE = 0.05


def check_times(
    keyframes: pa.Table, timelines: pa.Table, films: Mapping[str, ProbedFilm], *, limit: float
) -> list[Finding]:
    """Find what is wrong with the times.

    Args:
        keyframes: KEYFRAMES.
        timelines: TIMELINES.
        films: the readable films.
        limit: the share of keyframes outside their film above which this is an error.
    """
    offsets = dict(zip(timelines["video_id"].to_pylist(), timelines["offset_seconds"].to_pylist(), strict=True))
    spans = _spans(keyframes)
    short = {each: span for each, span in spans.items() if each in films and _ends_outside(span, films[each])}
    outside = [
        Problem(
            FILE,
            f"{video_id}, timestamp {stamp:.10g}",
            f"{time:.6g} s",
            f"at most {films[video_id].duration_seconds:.6g} s",
        )
        for video_id in short
        for stamp, time in zip(*short[video_id], strict=True)
        if time > films[video_id].duration_seconds + SLACK_SECONDS
    ]
    total = sum(len(spans[each][0]) for each in spans if each in films)
    severity = by_share(len(outside), total, limit)
    problems = [
        Problem(
            FILE, video_id, f"a film of {films[video_id].duration_seconds:.6g} s",
            f"{times.max():.6g} s, where its last keyframe is",
        )
        for video_id, (_, times) in short.items()
    ]  # fmt: skip
    return [
        *_frame_rates(spans, offsets, films),
        *findings_of("film-too-short", severity, "films are shorter than their annotations", problems,
                     "Fetch the whole film, or set first_timestamp and offset_seconds in videos.csv: one that was cut "
                     "otherwise has every label on another frame, also those that still fall inside."),
        *findings_of("keyframe-outside", severity, "keyframes lie behind the end of their film", outside,
                     "Mend their films or times as above; nothing shows these keyframes, so training leaves them out, "
                     "and in the score their boxes count as missed."),
        *_short_clips(films),
    ]  # fmt: skip


def check_assumed_rates(assumed: Mapping[str, float], films: Mapping[str, ProbedFilm]) -> list[Finding]:
    """Find films whose frame rate differs from the rate that was assumed because no source gave one.

    Args:
        assumed: the assumed frame rate by film.
        films: the readable films.
    """
    problems = [
        Problem(FILE, each, f"frames counted at {fps:g} a second, which nothing told", f"{films[each].fps:.5g}")
        for each, fps in sorted(assumed.items())
        if each in films and films[each].fps and abs(fps / films[each].fps - 1) > RATE_TOLERANCE
    ]
    return findings_of(
        "fps-assumed", "error", "films whose frames were counted at a rate that is not theirs", problems,
        "Put the rates into videos.csv (columns video_id,fps), which actionbank new-dataset writes where there is "
        "none: as it stands every label is on another frame.",
    )  # fmt: skip


Spans = dict[str, tuple[np.ndarray, np.ndarray]]


def _spans(keyframes: pa.Table) -> Spans:
    """Return timestamps and times of each film's keyframes, ascending."""
    names, video = ranked(keyframes["video_id"])
    starts = np.flatnonzero(group_starts([video])).tolist()
    stamps, times = keyframes["timestamp"].to_numpy(), keyframes["time_seconds"].to_numpy()
    ends = [*starts, len(video)][1:]
    return {names[video[a]]: (stamps[a:b], times[a:b]) for a, b in zip(starts, ends, strict=True)}


def _ends_outside(span: tuple[np.ndarray, np.ndarray], film: ProbedFilm) -> bool:
    return bool(span[1].max() > film.duration_seconds + SLACK_SECONDS)


def _frame_rates(spans: Spans, offsets: Mapping[str, float], films: Mapping[str, ProbedFilm]) -> list[Finding]:
    """Find times that would fit if frames had been counted at another rate."""
    counted, stretched, ratios, steps = [], [], {}, {}
    for video_id, (_, times) in spans.items():
        film = films.get(video_id)
        if film is None or film.duration_seconds <= 0 or len(times) < 2:
            continue
        step = float(np.diff(times).min())
        last = float(times.max()) - offsets.get(video_id, 0.0)
        # If a film is annotated to its end, its last keyframe lies at most a step before the end.
        ratio = last / film.duration_seconds
        ratios[video_id], steps[video_id] = ratio, float(np.median(np.diff(times)))
        if ratio > FRAME_NUMBERS and ratio <= film.fps * (1 + RATE_TOLERANCE):
            found = f"timestamps up to {last:.6g} in a film of {film.duration_seconds:.6g} s and {film.frames} frames"
            counted.append(Problem(FILE, video_id, found, "times in seconds"))
        elif ratio > 1 + RATE_TOLERANCE:
            pair = _rates_of(last, last + step, film)
            if pair:
                found = f"a last keyframe at {last:.6g} s of {film.duration_seconds:.6g} s"
                expected = f"{film.duration_seconds * film.fps / pair:.6g} s of a film of {pair:.5g} frames a second"
                stretched.append(Problem(FILE, video_id, found, f"as in {expected}; it has {film.fps:.5g}"))
    beyond = [each for each in ratios if ratios[each] > 1 + RATE_TOLERANCE]
    if len(stretched) * 2 <= len(beyond):  # these films may be too short by chance
        stretched = []
    return [
        *findings_of("times-count-frames", "error", "films are annotated by frame numbers instead of seconds", counted,
                     "Set dataset.timestamps: frames if an AVA CSV counts them, from 1 (fps in videos.csv); else "
                     "divide the timestamps by the frame rate of each film: none is ever assumed here."),
        *findings_of("fps-of-annotations", "error", "films have times as if they ran at another frame rate", stretched,
                     "The times were made from frame numbers with a wrong rate (30 for all is a habit): make them "
                     "again with each film's own."),
        *_all_early(ratios, steps, films),
    ]  # fmt: skip


def _rates_of(last: float, behind: float, film: ProbedFilm) -> float:
    """Return the rate at which frames were counted if the annotations reach exactly to the film's end; 0 if unknown."""
    for wrong in RATES:
        # A frame number n was written as n / wrong, so the annotations see a film of frames / wrong seconds.
        length = film.frames / wrong
        if (
            length > film.duration_seconds * (1 + RATE_TOLERANCE)
            and last <= length + SLACK_SECONDS
            and behind >= length
        ):
            return wrong
    return 0.0


def _all_early(
    ratios: Mapping[str, float], steps: Mapping[str, float], films: Mapping[str, ProbedFilm]
) -> list[Finding]:
    """Find annotations that all end at the same fraction of their film, if it is a quotient of two frame rates.

    Films annotated to their end, or to a fixed time before it, can look the same if they are short or have similar
    lengths. But then the last keyframes have the same distance from the end, up to a step; with a wrong rate the
    distance grows with the length of the film.
    """
    values = np.array(list(ratios.values()))
    lengths = np.array([films[each].duration_seconds for each in ratios])
    if len(values) < LEAST_FILMS or values.max() > 1 or lengths.std() < 0.1 * lengths.mean():
        return []
    middle = float(np.median(values))
    step = max(steps.values())
    if np.ptp(lengths * (1 - values)) <= step + SLACK_SECONDS:
        return []
    if np.ptp(lengths * (values - middle)) > max(RATE_TOLERANCE * float(lengths.max()), step + SLACK_SECONDS):
        return []
    rate = float(np.median([films[each].fps for each in ratios]))
    close = [each for each in RATES if rate / each < 0.97 and _end_at(rate / each, lengths, values, step)]
    if not close:
        return []
    problems = [
        Problem(FILE, each, f"a last keyframe at {ratio:.3f} of the film", "keyframes up to its end")
        for each, ratio in ratios.items()
    ]
    told = ""
    if any(films[each].container == "pictures" for each in ratios):
        told = f" Or the pictures are {close[0]:.5g} a second: set dataset.frame_rate (new-dataset: --frame-rate)."
    return findings_of(
        "fps-of-annotations", "warning", "films are all annotated up to the same share of their length", problems,
        f"Look whether frames were counted at {close[0]:.5g} a second in films of {rate:.5g} (that share is "
        f"{rate / close[0]:.3f}).{told}",
    )  # fmt: skip


def _end_at(share: float, lengths: np.ndarray, ratios: np.ndarray, step: float) -> bool:
    """Return whether the last keyframe of every film lies at this fraction of it, or up to a step before."""
    before = lengths * (share - ratios)
    slack = SLACK_SECONDS + RATE_TOLERANCE * share * lengths
    # The step is limited: if it were a large part of a film, too many fractions would fit.
    return bool(((before >= -slack) & (before <= np.minimum(step, STEP_SHARE * lengths) + slack)).all())


def check_lists(films: Mapping[str, ProbedFilm], lists: Mapping[str, Mapping[str, Listed]]) -> list[Finding]:
    """Find frame rates and sizes of videos.csv that differ from the files.

    Args:
        films: the readable films.
        lists: the used values of each videos.csv, by its path.
    """
    rates, sizes = [], []
    for where, video_id, told in ((path, *each) for path, listed in lists.items() for each in sorted(listed.items())):
        film = films.get(video_id)
        # A truncated film has no known rate; the rate of pictures is given, even if some pictures are missing.
        if film is None or (film.frames < film.expected_frames and film.container != "pictures"):
            continue
        if told.fps and film.fps and abs(told.fps / film.fps - 1) > RATE_TOLERANCE:
            rates.append(Problem(where, video_id, f"fps {told.fps:.6g}", f"{film.fps:.6g}, as in the file"))
        if told.size and film.width and told.size != (film.width, film.height):
            found = f"{told.size[0]:g} x {told.size[1]:g}"
            sizes.append(Problem(where, video_id, found, f"{film.width} x {film.height}, as in the file"))
    return [
        *findings_of("fps-of-videos-csv", "error", "films have another frame rate than videos.csv says", rates,
                     "Correct videos.csv where annotations or boxes count frames of these files. Right as it stands "
                     "only if they were made on files of that rate. A videos.csv that new-dataset wrote, and nobody "
                     "edited, it writes again with --force."),
        *findings_of("size-of-videos-csv", "warning", "films have another size than videos.csv says", sizes,
                     "Correct videos.csv, unless the annotations were made on a scaled copy of that size."),
    ]  # fmt: skip


def _short_clips(films: Mapping[str, ProbedFilm]) -> list[Finding]:
    problems = []
    for video_id, film in films.items():
        match = CLIP.fullmatch(video_id)
        length = int(match[3]) - int(match[2]) if match else 0
        # Kinetics' clips are cut at keyframes, so some are up to a second shorter.
        if match and film.duration_seconds < length - 1:
            problems.append(
                Problem(video_id, video_id, f"{film.duration_seconds:.4g} s", f"{length} s, as its name says")
            )
    return findings_of(
        "clip-short", "warning", "clips are shorter than their name says", problems,
        "Fetch them again. Their keyframes are kept where they lie inside, and the bank has fewer seconds of them.",
    )  # fmt: skip
