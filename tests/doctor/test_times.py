from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.annotations.listed import Listed
from pipeline.doctor.finding import Finding
from pipeline.doctor.probe_films import ProbedFilm
from pipeline.doctor.times import check_lists, check_times
from pipeline.tables.schemas import KEYFRAMES, TIMELINES


def film(seconds: float, fps: float = 30.0) -> ProbedFilm:
    frames = round(seconds * fps)
    return ProbedFilm(duration_seconds=seconds, fps=fps, frames=frames, expected_frames=frames, width=640, height=360)


def check(
    times: dict[str, list[float]], films: dict[str, ProbedFilm], listed: dict[str, Listed] | None = None
) -> list[Finding]:
    keys = [(video_id, each) for video_id in sorted(times) for each in times[video_id]]
    keyframes = pa.Table.from_pylist(
        [
            {"video_id": name, "timestamp": each, "time_seconds": each, "split": "train", "status": "annotated"}
            for name, each in keys
        ],
        KEYFRAMES,
    )
    timelines = pa.Table.from_pylist(
        [{"video_id": name, "split": "train", "first_timestamp": 0.0, "offset_seconds": 0.0} for name in sorted(times)],
        TIMELINES,
    )
    return [
        *check_times(keyframes, timelines, films, limit=0.05),
        *check_lists(films, {"ann/videos.csv": listed or {}}),
    ]


def every_second(end: float) -> list[float]:
    return np.arange(0.5, end, 1.0).tolist()


@pytest.mark.parametrize(("real", "wrong"), [(30.0, 25.0), (60.0, 30.0), (25.0, 15.0), (30.0, 24.0)])
def test_frames_counted_at_a_lower_rate_than_the_films(real: float, wrong: float) -> None:
    """mmaction2 #1279, #1707: 25 for 30 and the like; the times reach behind the film by the quotient."""
    lengths = {"a": 300.0, "b": 450.0}
    found = check(
        {each: every_second(length * real / wrong) for each, length in lengths.items()},
        {each: film(length, real) for each, length in lengths.items()},
    )
    codes = {each.code: each for each in found}
    assert list(codes) == ["fps-of-annotations", "film-too-short", "keyframe-outside"]
    finding = codes["fps-of-annotations"]
    assert (finding.severity, finding.count) == ("error", 2)
    assert f"of a film of {wrong:.5g} frames a second; it has {real:.5g}" in finding.examples[0].expected


def test_frames_counted_at_a_higher_rate_end_all_films_early() -> None:
    lengths = {"a": 300.0, "b": 450.0, "c": 120.0, "d": 900.0}
    times = {each: every_second(length * 25 / 30) for each, length in lengths.items()}
    (finding,) = check(times, {each: film(length, 25.0) for each, length in lengths.items()})
    assert (finding.code, finding.severity, finding.count) == ("fps-of-annotations", "warning", 4)
    assert finding.remedy == ("Look whether frames were counted at 30 a second in films of 25 (that share is 0.833).")
    times["a"] = every_second(290)
    assert check(times, {each: film(length, 25.0) for each, length in lengths.items()}) == []


def test_films_annotated_to_their_end_are_right_at_any_rate() -> None:
    films = {f"f{fps:g}": film(300.0, fps) for fps in (15, 23.976, 25, 29.97, 60)}
    assert check({each: every_second(300) for each in films}, films) == []


def test_a_film_that_is_cut_short_is_no_matter_of_its_rate() -> None:
    found = check({"a": every_second(300)}, {"a": film(289.0)})
    assert [each.code for each in found] == ["film-too-short", "keyframe-outside"]
    assert [str(each) for each in found[1].examples] == [
        "annotations: a, timestamp 289.5: found 289.5 s, expected at most 289 s",
        "annotations: a, timestamp 290.5: found 290.5 s, expected at most 289 s",
        "annotations: a, timestamp 291.5: found 291.5 s, expected at most 289 s",
    ]
    assert found[1].count == 11
    assert found[1].severity == "warning"  # 11 of 300 are fewer than the limit


def test_frame_numbers_instead_of_seconds() -> None:
    """mmaction2 #1279: the timestamp column holds frames."""
    found = check({"a": [15.0, 45.0, 8985.0]}, {"a": film(300.0)})
    assert found[0].code == "times-count-frames"
    assert found[0].examples[0].found == "timestamps up to 8985 in a film of 300 s and 9000 frames"


def test_videos_csv_is_held_against_the_files() -> None:
    listed = {"a": Listed(fps=30.0, width=320.0, height=180.0), "b": Listed(fps=25.0, width=640.0, height=360.0)}
    found = check({"a": [1.0, 9.0], "b": [1.0, 9.0]}, {"a": film(10.0, 25.0), "b": film(10.0, 25.0)}, listed)
    assert [(each.code, each.count, str(each.examples[0])) for each in found] == [
        ("fps-of-videos-csv", 1, "ann/videos.csv: a: found fps 30, expected 25, as in the file"),
        ("size-of-videos-csv", 1, "ann/videos.csv: a: found 320 x 180, expected 640 x 360, as in the file"),
    ]


def test_clips_that_are_shorter_than_their_name_says() -> None:
    """mmaction2 #1446."""
    clips = {"abc_000010_000020": film(6.5), "abc_000040_000050": film(9.8)}
    (finding,) = check({each: [5.0] for each in clips}, clips)
    assert (finding.code, finding.severity, finding.count) == ("clip-short", "warning", 1)
    assert (finding.examples[0].found, finding.examples[0].expected) == ("6.5 s", "10 s, as its name says")


@given(
    fps=st.sampled_from([24.0, 23.976, 12.0, 25.0, 30.0]),
    step=st.sampled_from([0.5, 1.0, 2.0]),
    margin=st.sampled_from([0.0, 1.0, 2.0]),
    lengths=st.lists(st.integers(60, 900), min_size=4, max_size=8),
)
@settings(max_examples=300)
def test_films_annotated_to_their_end_or_a_fixed_time_before_it_are_right(
    fps: float, step: float, margin: float, lengths: list[int]
) -> None:
    """Whatever share of short films the last keyframe then stands at: 24 of 25 s are no 24 for 25 a second."""
    films = {f"f{place}": film(tenths / 10, fps) for place, tenths in enumerate(lengths)}
    times = {each: np.arange(step / 2, films[each].duration_seconds - margin, step).tolist() for each in films}
    assert check({each: of or [0.5] for each, of in times.items()}, films) == []


@pytest.mark.parametrize(("real", "wrong"), [(24.0, 25.0), (25.0, 30.0), (15.0, 30.0), (29.97, 60.0)])
def test_a_wrong_rate_is_found_in_films_of_minutes(real: float, wrong: float) -> None:
    films = {f"f{length}": film(length, real) for length in (70.0, 110.0, 180.0, 240.0, 300.0)}
    times = {each: [at * real / wrong for at in every_second(films[each].duration_seconds)] for each in films}
    assert [(each.code, each.severity) for each in check(times, films)] == [("fps-of-annotations", "warning")]


@pytest.mark.parametrize("told", [15.0, 25.0])
@pytest.mark.parametrize("first", [0.0, 0.5])
def test_pictures_of_a_wrong_rate_are_found_in_short_films(told: float, first: float) -> None:
    """Pictures of 30 a second; the last keyframe lies up to a second before the end, 5 % of the shortest film."""
    lengths = [20, 23, 26, 29, 32, 35, 38, 41]
    films = {f"f{length}": replace(film(length * 30 / told, told), container="pictures") for length in lengths}
    times = {f"f{length}": np.arange(first, length, 1.0).tolist() for length in lengths}
    (finding,) = check(times, films)
    assert (finding.code, finding.severity, finding.count) == ("fps-of-annotations", "warning", 8)
    assert finding.remedy == (
        f"Look whether frames were counted at 30 a second in films of {told:g} (that share is {told / 30:.3f}). Or the "
        "pictures are 30 a second: set dataset.frame_rate (new-dataset: --frame-rate)."
    )
    right = {f"f{length}": replace(film(length, 30.0), container="pictures") for length in lengths}
    assert check(times, right) == []


def test_a_rate_of_videos_csv_is_held_against_pictures_of_which_some_are_missing() -> None:
    """Their rate is told; a file that is cut off tells none."""
    some = replace(film(10.0, 25.0), frames=245)
    listed = {"a": Listed(fps=30.0)}
    assert check({"a": [1.0, 9.0]}, {"a": some}, listed) == []
    (finding,) = check({"a": [1.0, 9.0]}, {"a": replace(some, container="pictures")}, listed)
    assert (finding.code, finding.severity) == ("fps-of-videos-csv", "error")
    assert str(finding.examples[0]) == "ann/videos.csv: a: found fps 30, expected 25, as in the file"
