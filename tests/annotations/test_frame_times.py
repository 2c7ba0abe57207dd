from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.annotations.frame_times import Clock, frame_times_text, knots_of, read_frame_times, varying_knots
from pipeline.annotations.listed import frame_clock, read_listed
from pipeline.base.errors import InputError


def test_a_constant_rate_is_counted_as_before() -> None:
    clock = Clock(29.97)
    assert [clock.frame(n + 0.5) for n in range(3)] == [14, 44, 74]
    assert clock.seconds(44) == 44 / 29.97
    assert Clock(25).frame(0.48) == 12  # 0.48 * 25 is less than 12 in floating point


def test_a_rate_that_changes() -> None:
    seconds = [n / 25 for n in range(50)] + [2 + n / 10 for n in range(50)]
    knots, off = varying_knots(seconds, 100 / 7)
    assert knots == ((0, 0.0), (50, 2.0), (99, 6.9))
    assert off == pytest.approx(1.5)
    clock = Clock(100 / 7, knots)
    assert [clock.frame(each) for each in (0.5, 1.5, 1.99, 2.0, 2.5, 6.95, 8.0)] == [12, 37, 49, 50, 55, 99, 110]
    assert [clock.seconds(each) for each in (12, 50, 55, 110)] == pytest.approx([0.48, 2.0, 2.5, 8.0])


def test_a_gap_and_jitter() -> None:
    gap = [n / 30 for n in range(40)] + [n / 30 + 0.5 for n in range(40, 72)]
    knots, _ = varying_knots(gap, 72 / (gap[-1] + 1 / 30))
    assert [frame for frame, _ in knots] == [0, 39, 40, 71]
    # Thousandths, as Matroska rounds them, are no varying rate; nor is a film of one frame.
    rounded = [round(n / 30, 3) for n in range(3000)]
    assert varying_knots(rounded, 30.0)[0] == ()
    assert varying_knots([0.0], 25.0) == ((), 0.0)
    assert varying_knots([], 0.0) == ((), 0.0)


@given(steps=st.lists(st.floats(0.001, 0.5), min_size=1, max_size=60))
def test_knots_give_every_time_to_half_a_thousandth(steps: list[float]) -> None:
    seconds = np.concatenate([[0.0], np.cumsum(steps)]).tolist()
    knots = knots_of(seconds)
    clock = Clock(1.0, knots)
    assert [clock.seconds(n) for n in range(len(seconds))] == pytest.approx(seconds, abs=0.000502)
    for n in range(len(seconds) - 1):  # and the frame in the middle of its time is the one on screen
        middle = (clock.seconds(n) + clock.seconds(n + 1)) / 2
        if clock.seconds(n + 1) - clock.seconds(n) > 1e-4:
            assert clock.frame(middle) == n


def test_the_file(tmp_path: Path) -> None:
    films = {"b": ((0, 0.0), (50, 2.0), (99, 6.9)), "a": ((0, 0.0), (3, 0.1))}
    (tmp_path / "frame_times.csv").write_text(frame_times_text(films))
    assert read_frame_times(tmp_path) == films
    (tmp_path / "videos.csv").write_text("video_id,fps\nb,14.3\nc,25\n")
    listed = read_listed(tmp_path)
    assert listed["b"].fps == 14.3
    assert frame_clock("b", listed, None, "x").seconds(99) == 6.9
    assert frame_clock("c", listed, None, "x") == Clock(25.0)
    assert read_frame_times(tmp_path / "none") == {}


@pytest.mark.parametrize(
    ("rows", "row"),
    [
        ("a,1,0\n", "row 2: frame '1', seconds '0' of 'a'"),
        ("a,0,0\na,0,1\n", "row 3: frame '0', seconds '1' of 'a'"),
        ("a,0,0\na,2,0\n", "row 3: frame '2', seconds '0' of 'a'"),
        ("a,0,0\na,1.5,1\n", "row 3: frame '1.5', seconds '1' of 'a'"),
        ("a,0,0\na,x,1\n", "row 3: frame 'x', seconds '1' of 'a'"),
        ("a,0,0\na,9,-1\n", "row 3: frame '9', seconds '-1' of 'a'"),
    ],
)
def test_wrong_rows(tmp_path: Path, rows: str, row: str) -> None:
    path = tmp_path / "frame_times.csv"
    path.write_text("video_id,frame,seconds\n" + rows)
    with pytest.raises(InputError) as error:
        read_frame_times(tmp_path)
    assert str(error.value) == f"{path}: {row}, expected frame 0 first, then frames and times that ascend"
    path.write_text("video,frame,seconds\n")
    with pytest.raises(InputError) as error:
        read_frame_times(tmp_path)
    assert str(error.value) == f"{path}: expected the header video_id,frame,seconds and rows of three columns"
