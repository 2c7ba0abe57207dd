import dataclasses
from typing import Any

import pytest

from pipeline.annotations.assemble import AvaImport, assemble
from pipeline.annotations.drawn_tracks import NO_INSIDE
from pipeline.annotations.listed import Listed
from pipeline.annotations.notices import Notice
from pipeline.base.problems import Problem
from pipeline.doctor.left_out import sort_problems
from pipeline.doctor.probe_films import ProbedFilm
from pipeline.doctor.tools import NOTICES, check_frame_times, check_sizes, sort_notices


def imported(**more: Any) -> AvaImport:
    return dataclasses.replace(assemble([], [], {}, []), **more)


def film(width: int, height: int, **more: Any) -> ProbedFilm:
    about: dict[str, Any] = {"duration_seconds": 4.0, "fps": 25.0, "frames": 100, "width": width, "height": height}
    return ProbedFilm(**about | more)


@pytest.mark.parametrize(
    ("told", "real", "severity"),
    [
        ((1280, 720), (1280, 720), None),
        ((640, 360), (1280, 720), None),
        ((854, 480), (1280, 720), None),  # 16:9 in whole, even pixels
        ((1920, 1088), (1920, 1080), None),  # as it is coded
        ((1280, 720), (720, 1280), "error"),
        ((640, 480), (1280, 720), "warning"),
        ((720, 720), (1280, 720), "error"),
    ],
)
def test_shapes_are_compared_and_not_sizes(told: tuple, real: tuple, severity: str | None) -> None:
    found = check_sizes(imported(sizes={"a": {told}, "gone": {(1, 9)}}), {"a": film(*real), "b": film(9, 1)})
    assert [each.severity for each in found] == ([severity] if severity else [])
    if severity:
        assert str(found[0].examples[0]) == (
            f"annotations: a: found annotated at {told[0]} x {told[1]}, expected the shape of the film, "
            f"{real[0]} x {real[1]}"
        )


def test_films_that_count_frames_and_vary() -> None:
    knots = ((0, 0.0), (50, 2.0), (99, 6.9))
    varying = film(9, 9, knots=[list(each) for each in knots], off_seconds=1.47, fps=14.4)
    films = {"a": varying, "b": film(9, 9), "c": varying}
    found = imported(counted=frozenset("ab"))
    (finding,) = check_frame_times(found, films, {})
    assert (finding.code, finding.count) == ("frame-rate-varies", 1)  # c tells times, b is constant
    assert check_frame_times(found, films, {"a": Listed(knots=knots)}) == []
    # What a user typed may have more lines, and may be of a film that does not vary.
    longer = ((0, 0.0), (25, 1.0), (50, 2.0), (99, 6.9))
    assert check_frame_times(found, films, {"a": Listed(knots=longer), "b": Listed(knots=((0, 0.0), (99, 3.96)))}) == []
    for wrong in (((0, 0.0), (50, 2.1), (99, 6.9)), (*knots, (120, 9.0))):
        (finding,) = check_frame_times(found, films, {"a": Listed(knots=wrong)})
        assert finding.code == "frame-times-of-other-film"


def test_notices_are_sorted_and_counted() -> None:
    problem = Problem("a.xml", "x", "y", "z")
    notices = [Notice("without-box", problem, 3), Notice("boxes-unmet", problem), Notice("without-box", problem, 2)]
    found = sort_notices(notices)
    assert [(each.code, each.count, len(each.examples)) for each in found] == [
        ("boxes-unmet", 1, 1),
        ("without-box", 5, 2),
    ]
    assert [each.severity for each in sort_notices([Notice(kind, problem) for kind in NOTICES])].count("note") == 2


def test_shapes_that_tell_no_box() -> None:
    row = Problem("a.xml", "track 1, frame 5", "a shape of points", NO_INSIDE, "shape-not-read")
    (finding,) = sort_problems([row], "annotation")
    assert (finding.code, finding.severity, finding.count) == ("annotation-shape-not-read", "warning", 1)
