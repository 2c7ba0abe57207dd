from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.annotations.drawn_tracks import Box, Track, at_frame, task_rows
from pipeline.annotations.listed import Listed
from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.errors import InputError
from tests.annotations.test_cvat import NAMES, box, read, rows, task_of, track, write
from tests.fuzz.formats import CVAT


def test_between_two_boxes_the_sides_move_linearly_and_attributes_hold(tmp_path: Path) -> None:
    path = write(tmp_path, track(box(0, 0, "walk"), box(20, 40, "sit_down"), box(30, 40, outside=1)))
    found = read(path)
    # Frames 5, 15, 25 and then nobody.
    assert rows(found)[:3] == [(0.0, 10.0, 1), (1.0, 30.0, 1), (2.0, 40.0, 2)]
    assert rows(found)[3:] == [(float(second), None, None) for second in range(3, 10)]
    assert found.times["film"].offset_seconds == 0.5
    assert found.rows[0].person[0] == 3


def test_a_last_box_stays_to_the_end_and_a_person_may_come_back(tmp_path: Path) -> None:
    path = write(tmp_path, track(box(0, 0, "walk"), box(10, 0, outside=1), box(60, 8, "walk")))
    assert [second for second, left, _ in rows(read(path)) if left is not None] == [0.0, 6.0, 7.0, 8.0, 9.0]


@given(
    boxes=st.lists(
        st.tuples(st.integers(0, 30), st.floats(0, 100), st.booleans()),
        unique_by=lambda row: row[0],
        min_size=1,
        max_size=6,
    ),
    frame=st.integers(0, 35),
)
def test_a_frame_against_the_plain_definition(boxes: list, frame: int) -> None:
    boxes.sort()
    found = at_frame(Track("1", "walk", {}, [Box(at, (left, 0, 100, 1), out) for at, left, out in boxes]), frame)
    before = [row for row in boxes if row[0] <= frame]
    after = [row for row in boxes if row[0] > frame]
    if not before or before[-1][2]:
        assert found is None
        return
    expected = before[-1][1]
    if after:
        (start, a, _), (end, b, _) = before[-1], after[0]
        expected = a * (end - frame) / (end - start) + b * (frame - start) / (end - start)
    assert found is not None
    assert found[0].sides[0] == pytest.approx(expected, abs=1e-9)


def test_a_box_turns_between_two_frames_the_shorter_way_and_is_cut_to_the_frame(tmp_path: Path) -> None:
    """From 350 to 10 degrees: upright half way."""
    boxes = [
        box(frame, 0, "walk").replace("<box", f'<box rotation="{degrees}"') for frame, degrees in ((0, 350), (10, 10))
    ]
    found = read(write(tmp_path, track(*boxes, box(20, 0, outside=1))))
    (only,) = found.rows
    assert only.boxes_xyxy[0].tolist() == pytest.approx([0, 0.1, 0.5, 0.5])
    tall = box(0, 0, "walk").replace("<box", '<box rotation="90"')  # 100 wide and 40 high in a frame of 100
    (only,) = read(write(tmp_path, track(tall))).rows
    assert only.boxes_xyxy[0].tolist() == pytest.approx([0.15, 0, 0.35, 0.8])


def test_a_box_of_the_last_frames_is_of_one_frame(tmp_path: Path) -> None:
    """CVAT leaves out the box that would end a shape behind the task's end."""
    more = "<start_frame>0</start_frame><stop_frame>90</stop_frame><frame_filter>step=10</frame_filter>"
    shapes = [track(box(80, 8, "walk"), name="1"), track(box(90, 9, "walk"), name="2")]
    found = read(write(tmp_path, "".join(shapes), more=more))
    assert [(second, left) for second, left, _ in rows(found) if left is not None] == [(8.0, 8), (9.0, 9)]


def test_what_is_seen_between_two_keyframes_alone_is_counted(tmp_path: Path) -> None:
    short = [track(box(16, 0, "walk"), box(24, 0, outside=1), name="7"), track(box(0, 0, "walk"), name="8")]
    found = read(write(tmp_path, "".join(short)))
    (notice,) = found.notices
    assert (notice.kind, notice.count) == ("boxes-unmet", 1)
    assert str(notice.problem) == (
        "film.xml: track 7 at frame 16: found 1 times a person is seen, and at no keyframe, expected a time at a "
        "keyframe, one in 1 s (dataset.keyframe_seconds)"
    )
    assert read(write(tmp_path, "".join(short)), seconds=0.5).notices == []


def test_a_keyframe_every_microsecond_is_too_many(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(CVAT)
    with pytest.raises(InputError, match=r"expected at most 1000000 keyframes \(dataset\.keyframe_seconds 1e-06\)"):
        import_source(tmp_path, SourceOptions(classes=3, keyframe_seconds=1e-6))


def test_boxes_without_an_action_are_counted(tmp_path: Path) -> None:
    found = read(write(tmp_path, track(box(0, 20)) + track(box(0, 40, "walk"), name="4")))
    (notice,) = found.notices
    assert (notice.kind, notice.count) == ("without-action", 10)
    assert str(notice.problem) == (
        "film.xml: track 3, frame 5, track 3, frame 15, track 3, frame 25, ...: found 10 boxes without an action, "
        "expected an action of every person who does one"
    )


def test_a_film_of_another_case_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, track(box(0, 20, "walk")))
    with pytest.raises(InputError) as error:
        task_rows([task_of(path)], NAMES, {"Film": Listed(fps=10)}, classes=2, keyframe_seconds=1)
    assert str(error.value) == (
        f"{path}: counts frames of video film, and nothing says how many a second has: expected one name in both "
        "(videos.csv has Film; is it film?)"
    )
