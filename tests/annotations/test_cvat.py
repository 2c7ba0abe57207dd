from pathlib import Path

import pytest

from pipeline.annotations.archives import Member
from pipeline.annotations.class_ids import ClassNames
from pipeline.annotations.cvat import read_task
from pipeline.annotations.drafts import DraftsRead
from pipeline.annotations.drawn_tracks import AnnotationTask, task_rows
from pipeline.annotations.listed import Listed
from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.errors import InputError
from pipeline.tables.label_map import Label

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


def task_of(path: Path, wanted: str | list[str] = "action") -> AnnotationTask:
    return read_task(Member(path, path.name), wanted)


def read(path: Path, *, seconds: float = 1.0, fps: float | None = 10) -> DraftsRead:
    about = {"film": Listed(fps=fps)} if fps else {}
    return task_rows([task_of(path)], NAMES, about, classes=2, keyframe_seconds=seconds)


def rows(found: DraftsRead) -> list[tuple]:
    (only,) = found.rows
    return [
        (
            only.timestamp[i],
            None if only.empty[i] else round(only.boxes_xyxy[i, 0] * 200, 6),
            None if only.empty[i] else int(only.action[i]),
        )
        for i in only.good()
    ]


def faults(found: DraftsRead) -> list[str]:
    return [str(problem) for problem in found.rows[0].faults.problems()]


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
    assert task_of(path).chosen.names == ("walk", "sit_down")
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
    assert [second for second, _, _ in rows(read(path))] == [4.4, 5.4, 6.4]  # frames 44, 54 and 64, which it has


def test_a_class_may_hold_commas(tmp_path: Path) -> None:
    talk = "talk to (e.g., self, a person)"
    path = write(
        tmp_path,
        track(box(0, 0, "walk"), box(10, 0, talk), box(20, 0, "walk, sit down"), box(29, 0, outside=1)),
        labels=ATTRIBUTE.format(f"walk\n{talk}\nsit down"),
    )
    task = task_of(path)
    assert task.chosen.names == ("walk", talk, "sit down")
    names = ClassNames([Label(i, name, "action") for i, name in enumerate(task.chosen.names, start=1)])
    found = task_rows([task], names, {"film": Listed(fps=10)}, classes=3, keyframe_seconds=1.0)
    assert faults(found) == []
    assert [action for _, _, action in rows(found) if action] == [1, 2, 1, 3]
    text = ATTRIBUTE.format("walk,sit").replace("<values>", "<input_type>text</input_type><values>")
    assert task_of(write(tmp_path, "", labels=text)).chosen.names == ("walk", "sit")


def test_the_source_names_the_video(tmp_path: Path) -> None:
    path = write(tmp_path, "", more="<source>C:\\films\\my_film.v2.mp4</source>")
    assert task_of(path).video_id == "my_film.v2"


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
        f"{path}: image '' names no frame of a film, expected frame_000012, as 'CVAT for images 1.1' of a video task "
        "has them; export a task of images as COCO-like JSON, AVA CSV or VIA CSV (docs/datasets.md)"
    )
    assert refusal("<annotations><meta><task/><task/></meta></annotations>") == (
        f"{path}: holds 2 tasks, expected one: export each by itself"
    )
    assert refusal("<annotations><meta><task/></meta></annotations>") == (
        f"{path}: <meta> has no <size> and no <stop_frame>, expected the task's count of frames"
    )
    assert refusal("<VOC/>") == f"{path}: the root is <VOC>, expected CVAT's <annotations> with <meta>"
    assert refusal("<annotations>") == f"{path}: not XML: no element found: line 1, column 13"


SHAPES = {
    "polygon": '<polygon frame="0" outside="0" points="10,20;60,10;40,90">{}</polygon>',
    "ellipse": '<ellipse frame="0" outside="0" cx="50" cy="50" rx="40" ry="10" rotation="90">{}</ellipse>',
    "mask": '<mask frame="0" outside="0" rle="1,2" left="10" top="20" width="30" height="40">{}</mask>',
    "cuboid": '<cuboid frame="0" outside="0" xtl1="10" ytl1="10" xbl1="10" ybl1="50" xtr1="30" ytr1="10" xbr1="30" '
    'ybr1="50" xtl2="20" ytl2="5" xbl2="20" ybl2="40" xtr2="45" ytr2="5" xbr2="45" ybr2="40">{}</cuboid>',
    "skeleton": '<skeleton frame="0">{}<points label="1" outside="0" points="20,30"/><points label="2" outside="1" '
    'points="90,90"/><points label="3" outside="0" points="70,40"/></skeleton>',
}
AROUND = {
    "polygon": (10, 10, 60, 90),
    "ellipse": (40, 10, 60, 90),
    "mask": (10, 20, 40, 60),
    "cuboid": (10, 5, 45, 50),
    "skeleton": (20, 30, 70, 40),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["track", "image"])
def test_the_box_around_a_shape(tmp_path: Path, shape: str, kind: str) -> None:
    drawn = SHAPES[shape].format('<attribute name="action">walk</attribute>')
    if kind == "track":
        path = write(tmp_path, track(drawn))
    else:
        path = write(tmp_path, f'<image id="0" name="frame_000000" width="200" height="100">{drawn}</image>')
    (found,) = read(path).rows
    good = [i for i in found.good() if not found.empty[i]]
    assert len(good) == (10 if kind == "track" else 1)
    box = [side / length for side, length in zip(AROUND[shape], (200, 100, 200, 100), strict=True)]
    assert found.boxes_xyxy[good[0]].tolist() == pytest.approx(box)


def test_shapes_without_an_inside_are_told_and_their_keyframes_are_not_empty(tmp_path: Path) -> None:
    line = '<polyline frame="0" outside="0" points="1,2;3,4"><attribute name="action">walk</attribute></polyline>'
    gone = '<points frame="20" outside="1" points="1,2"/>'
    dots = '<points frame="0" outside="0" points="1,2"><attribute name="action">walk</attribute></points>'
    found = read(write(tmp_path, track(line, name="1") + track(dots, gone, name="2")))
    assert rows(found) == []
    assert len(faults(found)) == 12
    assert faults(found)[0] == (
        "film.xml: track 1, frame 5: found a shape of polyline, expected a box, or a shape with an inside (polygon, "
        "ellipse, mask, skeleton, cuboid)"
    )
    broken = '<polygon frame="0" outside="0" points="1,2;x"/>'
    assert faults(read(write(tmp_path, track(broken) + track(box(0, 0, "walk")))))[0] == (
        "film.xml: track 3, polygon 1: found frame '0', points '1,2;x', expected the number of a frame and four sides"
    )


def every(frames: range, *, keyframe: int = 0, gone: int | None = None) -> str:
    listed = "".join(box(frame, frame, "walk").replace('keyframe="1"', f'keyframe="{keyframe}"') for frame in frames)
    return listed + ("" if gone is None else box(gone, 0, outside=1))


def test_deleted_frames_in_the_middle_and_at_the_end(tmp_path: Path) -> None:
    """10 frames a second, frames 20 to 44 and 70 to 99 deleted."""
    found = read(write(tmp_path, track(every(range(20)), every(range(45, 70)))))
    assert [second for second, _, _ in rows(found)] == [0.0, 1.0, 4.0, 5.0, 6.0]
    assert [(each.kind, each.count) for each in found.notices] == [("frames-deleted", 5)]
    # Where another person is seen the frame was not deleted: the first track has a hole of its own.
    both = track(every(range(20)), every(range(45, 70)), name="1") + track(every(range(100)), name="2")
    found = read(write(tmp_path, both))
    assert [second for second, _, _ in rows(found)] == sorted([0, 1, 4, 5, 6, *range(10)])
    assert found.notices == []


def test_a_step_that_nothing_tells_is_seen_in_the_boxes(tmp_path: Path) -> None:
    """A project's export: every third frame from 10 on is listed, and there is no frame_filter."""
    path = write(tmp_path, track(every(range(10, 100, 3))))
    assert [(second, left) for second, left, _ in rows(read(path))] == [
        (1.6, 16), (2.5, 25), (3.4, 34), (4.6, 46), (5.5, 55), (6.4, 64), (7.6, 76), (8.5, 85), (9.4, 94),
    ]  # fmt: skip


def test_a_step_with_blanks_and_empty_frames(tmp_path: Path) -> None:
    more = "<start_frame>5</start_frame><stop_frame>95</stop_frame><frame_filter>step = 10</frame_filter>"
    found = read(write(tmp_path, track(box(15, 0, "walk"), box(25, 0, outside=1)), more=more))
    assert rows(found)[0] == (1.5, 0, 1)
    assert [second for second, left, _ in rows(found)[1:]] == [0.5, *(n + 0.5 for n in range(2, 10))]


def test_tracks_without_the_attributes_are_told(tmp_path: Path) -> None:
    labels = ATTRIBUTE.format("walk") + "<label><name>car</name></label>"
    found = read(write(tmp_path, track(box(0, 0), label="car") + track(box(0, 0, "walk")), labels=labels))
    (notice,) = found.notices
    assert (notice.kind, notice.count) == ("label-without-attribute", 1)
    assert str(notice.problem) == "film.xml: 1 tracks: found label car, expected the attribute action"


def test_cvat_for_images_of_a_film(tmp_path: Path) -> None:
    def images(*names: str) -> str:
        drawn = box(0, 20, "walk").replace("<box", '<box label="person"')
        return "".join(
            f'<image id="{n}" name="{each}" width="400" height="100">{drawn}</image>' for n, each in enumerate(names)
        )

    found = read(
        write(tmp_path, images("frame_000005", "frame_000012.PNG", "frame_000014") + '<image name="frame_000031"/>')
    )
    # Of two images of a second the one next to its middle is taken; an image without a person is an empty keyframe.
    assert rows(found) == [(0.5, 10, 1), (1.4, 10, 1), (3.1, None, None)]
    assert found.format == "CVAT for images 1.1"
    assert found.sizes == {"film": {(400, 100)}}
    tagged = '<image name="frame_000001"><tag label="walk"/></image>'
    assert [each.kind for each in read(write(tmp_path, tagged)).notices] == ["without-box"]


def test_frames_and_rates_that_cannot_be(tmp_path: Path) -> None:
    def refusal(more: str, **options) -> str:
        with pytest.raises(InputError) as error:
            read(write(tmp_path, track(box(0, 0, "walk")), more=more), **options)
        return str(error.value).replace(f"{tmp_path}/", "")

    assert refusal("<stop_frame>99999999</stop_frame>") == (
        "film.xml: the task has frames 0 to 99999999, expected frames from 0 on, below 10000000"
    )
    assert refusal("<start_frame>50</start_frame><stop_frame>3</stop_frame>").startswith(
        "film.xml: the task has frames 50 to 3"
    )
    for wrong in ("-25", "0.001"):
        assert refusal(f"<fps>{wrong}</fps>", fps=None) == (
            f"film.xml: <fps> is {wrong}, expected frames per second, from 0.01 to 10000"
        )
    assert refusal("<stop_frame>9999999</stop_frame>", fps=1e-3) == (
        "film.xml: frame 9999999 at 0.001 frames per second is 1e+10 s into video film, expected at most 1000000 "
        "keyframes (dataset.keyframe_seconds 1)"
    )


def test_accents_are_compared_however_they_are_stored(tmp_path: Path) -> None:
    labels = ATTRIBUTE.format("u\u0308ben\nsit")
    write(tmp_path, track(box(0, 20, "\u00fcben")), labels=labels)
    (tmp_path / "videos.csv").write_text("video_id,fps\nfilm,10\n")
    found = import_source(tmp_path, SourceOptions(classes=2))
    assert found.annotations["action_id"].to_pylist() == [1] * 10
    assert not found.problems


def test_two_shapes_of_a_track_at_one_frame(tmp_path: Path) -> None:
    path = write(tmp_path, track(box(0, 20, "walk"), box(0, 40, "walk"), box(50, 20, "walk", outside=1)))
    (bad,) = (each for rows in read(path).rows for each in rows.faults.problems())
    assert str(bad) == (
        "film.xml: track 3, box 2: found a second shape at frame 0, expected one shape of a track at a frame"
    )
    # A track that ends and begins again at a frame, and one that is written twice.
    path = write(
        tmp_path, track(box(0, 20, "walk"), box(20, 20, "walk", outside=1), box(20, 20, "walk"), box(20, 20, "walk"))
    )
    assert not [each for rows in read(path).rows for each in rows.faults.problems()]


def test_a_last_stretch_of_one_frame_at_the_end_of_the_film_is_one_frame(tmp_path: Path) -> None:
    """CVAT refuses a box behind the last frame, so that nothing says that such a person is gone."""
    single = (box(5, 0, "walk"), box(6, 0, "walk", outside=1))
    at_end = write(tmp_path, track(*single, box(99, 20, "walk")))
    assert rows(read(at_end)) == [(0.5, 0.0, 1), (9.9, 20.0, 1)]
    longer = write(tmp_path, track(*single, box(90, 20, "walk"), box(99, 20, "walk")))
    assert (9.0, 20.0, 1) in rows(read(longer))  # a stretch: keyframes in the middles of seconds
    assert len(rows(read(longer))) == 10
