from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets.class_ids import ClassNames
from pipeline.datasets.cvat import Box, Track, at_frame, cvat_rows, read_task
from pipeline.datasets.drafts import Read
from pipeline.datasets.listed import Listed
from pipeline.datasets.sources import SourceOptions, import_source
from pipeline.errors import InputError
from pipeline.labels import Label
from tests.fuzz.formats import CVAT

NAMES = ClassNames([Label(1, "walk", "action"), Label(2, "sit down", "action")])
META = (
    "<meta><task><size>100</size>{labels}<original_size><width>200</width><height>100</height></original_size>{more}"
    "</task></meta>"
)
ATTRIBUTE = (
    "<label><name>person</name><attributes><attribute><name>action</name><values>{}</values></attribute></attributes>"
    "</label>"
)


def write(folder: Path, tracks: str, *, labels: str = ATTRIBUTE.format("walk\nsit_down"), more: str = "") -> Path:
    path = folder / "film.xml"
    meta = META.format(labels=f"<labels>{labels}</labels>", more=more)
    path.write_text(f"<annotations><version>1.1</version>{meta}{tracks}</annotations>")
    return path


def box(frame: object, left: object, *actions: str, outside: int = 0) -> str:
    inside = "".join(f'<attribute name="action">{each}</attribute>' for each in actions)
    sides = f'xtl="{left}" ytl="10" xbr="100" ybr="50"'
    return f'<box frame="{frame}" outside="{outside}" occluded="1" keyframe="1" {sides}>{inside}</box>'


def track(*boxes: str, name: str = "3", label: str = "person") -> str:
    return f'<track id="{name}" label="{label}">{"".join(boxes)}</track>'


def read(path: Path, *, seconds: float = 1.0, fps: float | None = 10) -> Read:
    about = {"film": Listed(fps=fps)} if fps else {}
    return cvat_rows(read_task(path, "action"), NAMES, about, classes=2, keyframe_seconds=seconds)


def rows(found: Read) -> list[tuple]:
    (only,) = found.rows
    return [
        (
            only.timestamp[i],
            None if only.empty[i] else round(only.boxes_xyxy[i, 0] * 200, 6),
            None if only.empty[i] else int(only.action[i]),
        )
        for i in only.good()
    ]


def faults(found: Read) -> list[str]:
    return [str(problem) for problem in found.rows[0].faults.problems()]


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


def test_exports_of_every_frame_and_of_set_boxes_give_the_same(tmp_path: Path) -> None:
    short = rows(read(write(tmp_path, track(box(0, 0, "walk"), box(99, 99, "walk")))))
    every = rows(read(write(tmp_path, track(*(box(frame, frame, "walk") for frame in range(100))))))
    assert short == every


def test_several_actions_in_one_attribute(tmp_path: Path) -> None:
    found = read(write(tmp_path, track(box(0, 0, "sit down, walk,walk,none"), box(10, 0, outside=1))))
    assert rows(found)[:3] == [(0.0, 0.0, 2), (0.0, 0.0, 1), (1.0, None, None)]


def test_a_person_without_an_action_is_no_row_and_its_keyframe_is_kept(tmp_path: Path) -> None:
    found = read(write(tmp_path, track(box(0, 0, "__undefined__"))))
    assert [left for _, left, _ in rows(found)] == [None] * 10


def test_without_the_attribute_a_tracks_label_is_its_action(tmp_path: Path) -> None:
    labels = "<label><name>walk</name></label><label><name>sit_down</name></label>"
    path = write(tmp_path, track(box(0, 0), label="sit_down"), labels=labels)
    assert read_task(path, "action").names == ["walk", "sit_down"]
    assert rows(read(path))[0] == (0.0, 0.0, 2)


def test_an_attribute_of_the_whole_track(tmp_path: Path) -> None:
    given = '<attribute name="action">sit_down</attribute>'
    assert rows(read(write(tmp_path, track(given, box(0, 0)))))[0] == (0.0, 0.0, 2)


def test_frames_are_counted_by_the_films_own_rate(tmp_path: Path) -> None:
    path = write(tmp_path, track(box(0, 0, "walk"), box(99, 99, "walk")))
    assert [left for _, left, _ in rows(read(path, fps=29.97))] == [14, 44, 74]
    assert [left for _, left, _ in rows(read(path, fps=10, seconds=2))] == [10, 30, 50, 70, 90]
    assert [left for _, left, _ in rows(read(path, fps=25, seconds=0.5))] == [6, 18, 31, 43, 56, 68, 81, 93]
    in_meta = write(tmp_path, track(box(0, 0, "walk"), box(99, 99, "walk")), more="<fps>50</fps>")
    assert [left for _, left, _ in rows(read(in_meta, fps=None))] == [25, 75]


def test_a_task_of_a_part_of_the_film_names_only_its_keyframes(tmp_path: Path) -> None:
    more = "<start_frame>40</start_frame><stop_frame>68</stop_frame><frame_filter>step=2</frame_filter>"
    path = write(tmp_path, track(box(40, 0, "walk")), more=more)
    assert [second for second, _, _ in rows(read(path))] == [4.0, 5.0, 6.0]


def test_a_class_may_hold_commas(tmp_path: Path) -> None:
    talk = "talk to (e.g., self, a person)"
    path = write(
        tmp_path,
        track(box(0, 0, "walk"), box(10, 0, talk), box(20, 0, "walk, sit down"), box(29, 0, outside=1)),
        labels=ATTRIBUTE.format(f"walk\n{talk}\nsit down"),
    )
    task = read_task(path, "action")
    assert task.names == ["walk", talk, "sit down"]
    names = ClassNames([Label(i, name, "action") for i, name in enumerate(task.names, start=1)])
    found = cvat_rows(task, names, {"film": Listed(fps=10)}, classes=3, keyframe_seconds=1.0)
    assert faults(found) == []
    assert [action for _, _, action in rows(found) if action] == [1, 2, 1, 3]
    text = ATTRIBUTE.format("walk,sit").replace("<values>", "<input_type>text</input_type><values>")
    assert read_task(write(tmp_path, "", labels=text), "action").names == ["walk", "sit"]


def test_the_source_names_the_video(tmp_path: Path) -> None:
    path = write(tmp_path, "", more="<source>C:\\films\\my_film.v2.mp4</source>")
    assert read_task(path, "action").video_id == "my_film.v2"


def test_bad_boxes_and_unknown_actions_cost_their_rows(tmp_path: Path) -> None:
    found = read(
        write(
            tmp_path,
            track(
                box("x", 0, "walk"), box(0, "left", "walk"), box(0, 150, "walk"), box(10, 0, "wlak"), box(20, 0, "walk")
            ),
        )
    )
    assert faults(found) == [
        "film.xml: track 3, box 1: found frame 'x', xtl '0', ytl '10', xbr '100', ybr '50', expected the number of a "
        "frame and four sides",
        "film.xml: track 3, box 2: found frame '0', xtl 'left', ytl '10', xbr '100', ybr '50', expected the number of "
        "a frame and four sides",
        "film.xml: track 3, frame 15: found action 'wlak', expected a class of the label map: walk, sit down (is it "
        "'walk'?)",
    ]
    assert [second for second, left, _ in rows(found) if left is not None] == [0.0, *map(float, range(2, 10))]


def test_a_box_up_to_a_pixel_outside_is_brought_to_the_edge(tmp_path: Path) -> None:
    assert rows(read(write(tmp_path, track(box(0, -0.6, "walk")))))[0] == (0.0, 0.0, 1)
    assert "coordinates from 0 to 1" in faults(read(write(tmp_path, track(box(0, -1.5, "walk")))))[0]


def test_what_ends_the_run(tmp_path: Path) -> None:
    path = write(tmp_path, track(box(0, 0, "walk")))

    def refusal(text: str | None = None, **options) -> str:
        if text is not None:
            path.write_text(text)
        with pytest.raises(InputError) as error:
            read(path, **options)
        return str(error.value)

    assert refusal(fps=None) == (
        f"{path}: counts frames of video film, and nothing says how many a second has: expected a videos.csv with the "
        "columns video_id,fps"
    )
    assert refusal("<annotations><meta><task><size>9</size></task></meta></annotations>") == (
        f"{path}: holds pixels of video film, and nothing says its size: expected a videos.csv with the columns "
        "video_id,width,height"
    )
    assert refusal("<annotations><meta></meta><image id='0'/></annotations>") == (
        f"{path}: was exported as 'CVAT for images', expected 'CVAT for video 1.1' (tracks)"
    )
    assert refusal("<annotations><meta><task/><task/></meta></annotations>") == (
        f"{path}: holds 2 tasks, expected one: export each by itself"
    )
    assert refusal("<annotations><meta><task/></meta></annotations>") == (
        f"{path}: <meta> has no <size> and no <stop_frame>, expected the task's count of frames"
    )
    assert refusal("<VOC/>") == f"{path}: the root is <VOC>, expected CVAT's <annotations> with <meta>"
    assert refusal("<annotations>") == f"{path}: not XML: no element found: line 1, column 13"


LAUGHS = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "{}">]><annotations>&c;</annotations>'.format("&b;" * 1000)
HOSTILE = {
    "billion laughs": LAUGHS,
    "a file of the system": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotations>&b;</annotations>',
    "a remote description": '<!DOCTYPE a SYSTEM "http://example.com/a.dtd"><annotations/>',
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_xml_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "film.xml"
    path.write_text(HOSTILE[kind])
    with pytest.raises(InputError) as error:
        read_task(path, "action")
    assert str(error.value) == (
        f"{path}: declares a document type or an entity, which annotations do not need: refused"
    )


def test_endless_nesting_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "film.xml"
    path.write_text("<a>" * 100_000)
    with pytest.raises(InputError, match="elements are nested more than 64 deep"):
        read_task(path, "action")


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
    found = at_frame(Track("1", "walk", [Box(at, (left, 0, 100, 1), out, None) for at, left, out in boxes]), frame)
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
    assert found[0][0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<fps>25<", "<fps>-1<", r"a\.xml: video a has -1 frames a second, expected 0\.001 to 100000; a videos\.csv"),
        ("<fps>25<", "<fps>1e-300<", r"a\.xml: video a has 1e-300 frames a second, expected 0\.001 to 100000"),
        (">99<", ">999999999<", r"a\.xml: <meta> tells frames 0 to 999999999, expected from 0 on, and below 8000000"),
        ("<start_frame>0<", "<start_frame>-5<", r"a\.xml: <meta> tells frames -5 to 99, expected from 0 on"),
    ],
)
def test_numbers_that_would_make_endless_keyframes_are_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in CVAT
    (tmp_path / "a.xml").write_text(CVAT.replace(old, new))
    with pytest.raises(InputError, match=message):
        import_source(tmp_path, SourceOptions(classes=3))


def test_a_keyframe_every_microsecond_is_too_many(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(CVAT)
    with pytest.raises(InputError, match=r"make 4e\+06 keyframes, one every 1e-06 s \(dataset\.keyframe_seconds\)"):
        import_source(tmp_path, SourceOptions(classes=3, keyframe_seconds=1e-6))


@pytest.mark.parametrize("encoding", ["no-such", "rot13", "shift_jis", "utf-7"])
def test_an_encoding_that_is_not_read_is_named(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.xml").write_bytes(f"<?xml version='1.0' encoding='{encoding}'?>{CVAT}".encode())
    with pytest.raises(InputError, match=r"a\.xml: not XML"):
        import_source(tmp_path, SourceOptions(classes=3))


def test_utf_16_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(f"<?xml version='1.0' encoding='utf-16'?>{CVAT}".encode("utf-16"))
    assert import_source(tmp_path, SourceOptions(classes=3)).annotations.num_rows
