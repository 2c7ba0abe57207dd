"""YOLO's text files; as ultralytics 8.4.190 wrote them for films, pictures and tracks (`predict`, `track`)."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.errors import InputError
from pipeline.boxes.importing import BoxImport, import_boxes
from pipeline.boxes.yolo import find_yolo
from pipeline.tables.schemas import KEYFRAMES, TIMELINES

BOX = "0.5 0.5 0.25 0.5"
IDS = "2 boxes have no score column, but track ids: their score is 1 (save_conf)"
LAYOUT = "expected class cx cy w h [confidence] [track id], shares of the frame"
NOT_READ = "outlines and keypoints are not read"


def timelines(*films: str, first: float = 0.0) -> pa.Table:
    rows = [{"video_id": each, "split": "train", "first_timestamp": first, "offset_seconds": 0.0} for each in films]
    return pa.Table.from_pylist(rows, TIMELINES)


def keyframes(film: str, *stamps: float, first: float = 0.0) -> pa.Table:
    rows = [
        {"video_id": film, "timestamp": each, "time_seconds": each - first, "split": "train", "status": "annotated"}
        for each in stamps
    ]
    return pa.Table.from_pylist(rows, KEYFRAMES)


def write(folder: Path, rates: str = "video_id,fps\na,25\n", **texts: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    if rates:
        (folder / "videos.csv").write_text(rates)
    return folder


def read(
    folder: Path, films: pa.Table | None = None, named: pa.Table | None = None, person_class: int = 0
) -> BoxImport:
    films = timelines("a") if films is None else films
    return import_boxes(folder, films, min_score=0.05, keyframes=named, person_class=person_class)


def rows(found: BoxImport) -> list[tuple]:
    names = ("video_id", "timestamp", "x1", "y1", "x2", "y2", "score")
    return [tuple(each[name] for name in names) for each in found.boxes.to_pylist()]


def test_the_frame_of_a_keyframe_is_taken(tmp_path: Path) -> None:
    """Frame 1 is the start: at 25 a second, 1.48 s is the 38th frame."""
    texts = {f"a_{n}": f"0 {BOX} 0.{n:02}\n" for n in range(1, 60)}
    found = read(write(tmp_path, **texts), named=keyframes("a", 1.48))
    assert [each[:2] + each[-1:] for each in rows(found)] == [("a", 1.0, 0.26), ("a", 1.48, 0.38), ("a", 2.0, 0.51)]
    assert rows(found)[0][2:6] == (0.375, 0.25, 0.625, 0.75)
    assert found.boxes["source"].to_pylist() == ["yolo_text"] * 3
    assert (found.problems, found.bad) == ([], 0)
    assert found.told == [
        "read *.txt as yolo_text",
        "*.txt: 4 moments (keyframes and whole seconds) of 1 films, in 59 files",
    ]
    assert found.summary["all_files"]["below_min_score"] == 1  # second 0 has score 0.01


def test_timestamps_are_those_of_the_film(tmp_path: Path) -> None:
    write(tmp_path, "video_id,fps\na,30\n", **{f"a_{n}": f"0 {BOX} 0.9\n" for n in (1, 61, 91)})
    found = read(tmp_path, timelines("a", first=900), keyframes("a", 902, 903, first=900))
    assert [each[1] for each in rows(found)] == [900, 902, 903]


def test_without_a_file_nobody_was_found(tmp_path: Path) -> None:
    found = read(write(tmp_path, a_1=f"0 {BOX} 0.9\n", a_60=f"0 {BOX} 0.9\n"), named=keyframes("a", 1.0, 1.5))
    assert [each[1] for each in rows(found)] == [0]
    assert found.summary["all_files"]["keyframes_without_a_box"] == 3  # 1, 1.5 and 2


def test_classes_scores_and_ids(tmp_path: Path) -> None:
    folder = write(
        tmp_path, a_1=f"0 {BOX} 0.9 7\n16 0.5 0.5 0.1 0.1 0.8 8\n2 0.5 0.5 0.2 0.2 0.7\n", classes="person\n"
    )
    found = read(folder)
    assert [each[-1] for each in rows(found)] == [0.9]
    assert found.summary["all_files"]["not_persons"] == 2
    assert [each[-1] for each in rows(read(folder, person_class=2))] == [0.7]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (f"0 {BOX}\n0 0.5 0.5 0.1 0.1\n", "2 boxes have no score column: their score is 1 (save_conf)"),
        (
            f"0 {BOX} 1\n0 0.5 0.5 0.1 0.1 2\n",
            "2 boxes have no score column, but track ids: their score is 1 (save_conf)",
        ),
        (f"0 {BOX} 1\n0 0.5 0.5 0.1 0.1 0.5\n", ""),
    ],
)
def test_without_scores_each_is_1_and_it_is_said(tmp_path: Path, text: str, note: str) -> None:
    found = read(write(tmp_path, a_1=text))
    assert [each[-1] for each in rows(found)] == ([1, 1] if note else [1, 0.5])
    rest = "1 moments (keyframes and whole seconds) of 1 films, in 1 files"
    assert found.told[1] == f"*.txt: {note}{'; ' if note else ''}{rest}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.1", f"found 4 numbers, {LAYOUT}; {NOT_READ}"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4 0.4", f"found 9 numbers, {LAYOUT}; {NOT_READ}"),
        ("0 a 0.5 0.1 0.1 0.9", f"found the line '0 a 0.5 0.1 0.1 0.9', {LAYOUT}"),
        ("0 0.5 0.5 0.1 0.1 1.5", "found score 1.5, expected a number from 0 to 1"),
        (
            "0 0.9 0.5 0.5 0.1 0.5",
            "found box 2662.4 1843.2 4710.4 2252.8 (left, top, right, bottom) in a frame of 4096 x 4096, expected a "
            "box in pixels inside the frame",
        ),
        (
            "0 0.5 0.5 0 0.1 0.5",
            "found box 2048 1843.2 2048 2252.8 (left, top, right, bottom) in a frame of 4096 x 4096, expected a width "
            "and a height above 0",
        ),
    ],
)  # fmt: skip
def test_a_bad_line_is_told(tmp_path: Path, line: str, message: str) -> None:
    found = read(write(tmp_path, a_1=f"0 {BOX} 0.9\n{line}\n"))
    assert [str(each) for each in found.problems] == [f"*.txt: a_1.txt line 2: {message}"]
    assert (len(rows(found)), found.bad) == (1, 1)


def test_a_box_that_rounding_put_outside_ends_at_the_edge(tmp_path: Path) -> None:
    found = read(write(tmp_path, a_1="0 0.249999 0.5 0.5 1 0.9\n"))
    assert rows(found)[0][2:6] == pytest.approx((0, 0, 0.499999, 1), abs=1e-12)


def test_folders_of_pictures_and_of_runs(tmp_path: Path) -> None:
    """`predict` on a folder of pictures names files by the pictures; on films, in `labels/`."""
    write(tmp_path / "a/labels", "", img_00001=f"0 {BOX} 0.9\n", img_00026=f"0 {BOX} 0.8\n")
    write(tmp_path / "predict/labels", "", b_1_1=f"0 {BOX} 0.7\n", c_1=f"0 {BOX} 0.6\n")
    (tmp_path / "videos.csv").write_text("video_id,fps\na,25\nb_1,30\n")
    found = read(tmp_path, timelines("a", "b_1"))
    assert [(each[0], each[1], each[-1]) for each in rows(found)] == [("a", 0, 0.9), ("a", 1, 0.8), ("b_1", 0, 0.7)]
    assert [str(each) for each in found.problems] == [
        "*.txt: video 'c': found 1 file of a video without annotations, expected VIDEO_12.txt, or files in a folder "
        "VIDEO, of an annotated video"
    ]
    assert found.bad == 1


def test_frames_from_0_and_offsets(tmp_path: Path) -> None:
    found = read(write(tmp_path, a_0=f"0 {BOX} 0.9\n", a_25=f"0 {BOX} 0.8\n"))
    assert [(each[1], each[-1]) for each in rows(found)] == [(0, 0.9), (1, 0.8)]
    # vid_stride=25 in a film of 25 a second: file k is its frame 25 k, at k - 1/25 s
    texts = {f"a_{n}": f"0 {BOX} 0.{n}\n" for n in (1, 2, 3)}
    other = write(tmp_path / "x", "video_id,fps,offset_seconds\na,1,0.96\n", **texts)
    assert [(each[1], each[-1]) for each in rows(read(other))] == [(1, 0.1), (2, 0.2), (3, 0.3)]


def test_a_rate_that_varies(tmp_path: Path) -> None:
    write(tmp_path, **{f"a_{n}": f"0 {BOX} 0.{n:02}\n" for n in range(1, 31)})
    (tmp_path / "frame_times.csv").write_text("video_id,frame,seconds\na,0,0\na,10,1\na,30,2\n")
    found = read(tmp_path)
    assert [(each[1], each[-1]) for each in rows(found)] == [(1, 0.11)]  # frame 10, from 0
    found = read(tmp_path, named=keyframes("a", 1.5))
    assert rows(found)[-1][1::5] == (1.5, 0.21)


def test_what_is_told_nowhere_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read(write(tmp_path, "", a_1=f"0 {BOX} 0.9\n"))
    assert str(error.value) == (
        f"{tmp_path}: yolo_text: counts frames of video a, and nothing says how many a second has: expected a "
        "videos.csv with the columns video_id,fps"
    )
    (tmp_path / "videos.csv").write_text("video_id,fps\na,25\n")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a_01.txt").write_text(f"0 {BOX} 0.9\n")
    with pytest.raises(InputError) as error:
        read(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: a_1.txt and labels/a_01.txt are both frame 1 of video a, expected one file per frame"
    )


def test_other_text_is_none_of_yolo(tmp_path: Path) -> None:
    write(tmp_path, "", notes_1="Read me first\n", v_2="a,902,0.1,0.2,0.3,0.4,,0.9\n", empty_3="")
    assert find_yolo(tmp_path) == []
    assert find_yolo(tmp_path / "none") == []
    assert [each[-1] for each in rows(read(tmp_path, timelines("a", first=900)))] == [0.9]


@given(st.lists(st.lists(st.floats() | st.integers(-3, 90), max_size=8), max_size=6), st.integers(0, 2))
def test_any_numbers(scratch: Path, lines: list[list[float]], person_class: int) -> None:
    text = "".join(" ".join(f"{value:g}" for value in line) + "\n" for line in lines)
    write(scratch, a_1=f"{person_class} {BOX} 0.9\n{text}")
    found = read(scratch, person_class=person_class)
    account = found.summary["all_files"]
    written = sum(bool(line) for line in lines)
    assert account["rows"] + account["not_persons"] == written + 1
    for each in rows(found):
        assert 0 <= each[2] < each[4] <= 1
        assert 0 <= each[3] < each[5] <= 1
        assert 0 <= each[6] <= 1


def test_persons_of_another_class_are_told_with_the_classes_that_were_found(tmp_path: Path) -> None:
    """A detector of one's own numbers its classes as it likes."""
    folder = write(tmp_path, a_1=f"1 {BOX} 0.9\n3 {BOX} 0.9\n", a_26=f"1 {BOX} 0.8\n")
    with pytest.raises(InputError) as error:
        read(folder)
    assert str(error.value) == (
        f"{folder}: no row is a box of a person: boxes.person_class=0, and the 3 boxes that were read have class 1, 3; "
        "set boxes.person_class to the class that is a person"
    )
    assert len(rows(read(folder, person_class=1))) == 2
