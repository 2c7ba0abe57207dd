import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.annotations.class_ids import ClassNames
from pipeline.annotations.drafts import DraftsRead
from pipeline.annotations.listed import Listed
from pipeline.annotations.via import read_via, via_header, via_rows
from pipeline.base.errors import InputError
from pipeline.tables.label_map import Label

NAMES = ClassNames([Label(1, "walk", "action"), Label(2, "sit", "action")])
LISTED = {"film": Listed(fps=10, width=200, height=100)}
OPTIONS = {"1": {"aname": "action", "options": {"0": "walk", "1": "sit"}}}
HEAD3 = (
    "# Exported using VIA\n# ATTRIBUTE = {}\n"
    "# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata\n"
)
HEAD2 = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"


def quoted(*cells: object) -> str:
    texts = [each if isinstance(each, str) else json.dumps(each) for each in cells]
    return ",".join('"' + each.replace('"', '""') + '"' for each in texts) + "\n"


def via3(folder: Path, *rows: str, options: dict | None = None) -> Path:
    path = folder / "film.csv"
    path.write_text(HEAD3.format(json.dumps(OPTIONS if options is None else options)) + "".join(rows))
    return path


def row3(time: object, box: object = (2, 20, 10, 40, 50), metadata: object = None, file: str = "film.mp4") -> str:
    return quoted("1_x", [file], "0", time, box, {"1": "0"} if metadata is None else metadata)


def via2(folder: Path, *rows: str) -> Path:
    path = folder / "film.csv"
    path.write_text(HEAD2 + "".join(rows))
    return path


def row2(name: str, shape: object = None, attributes: object = None, about: object = None) -> str:
    rect = {"name": "rect", "x": 20, "y": 10, "width": 40, "height": 50}
    shown = [rect if shape is None else shape, {"action": "walk"} if attributes is None else attributes]
    return quoted(name, "1", about or {}, "1", "0", *shown)


def read(path: Path, seconds: float = 1.0, listed: dict = LISTED) -> DraftsRead:
    return via_rows(read_via(path, "action"), NAMES, listed, classes=2, keyframe_seconds=seconds)


def rows(found: DraftsRead) -> list[tuple]:
    (only,) = found.rows
    return [
        (
            only.timestamp[i],
            only.boxes_xyxy[i].tolist() if not only.empty[i] else None,
            None if only.empty[i] else int(only.action[i]),
        )
        for i in only.good()
    ]


def faults(found: DraftsRead) -> list[str]:
    return [str(problem) for problem in found.rows[0].faults.problems()]


BOX = [0.1, 0.1, 0.3, 0.6]


def test_via_3_of_a_video(tmp_path: Path) -> None:
    found = read(
        via3(tmp_path, row3([1.2345]), row3([3.5], metadata={"1": "0,1"}), row3([4.5], box=[]), row3([0, 9], box=[]))
    )
    assert rows(found) == [(1.234, BOX, 1), (3.5, BOX, 1), (3.5, BOX, 2), (4.5, None, None)]
    assert found.times["film"].first_timestamp == 0
    assert "1 rows without a box" in found.told[0]


def test_via_3_of_images_and_of_the_older_header(tmp_path: Path) -> None:
    path = via3(
        tmp_path,
        row3([], file="film_000011.jpg", metadata={"1": "walk"}),
        row3([], file="film_000031.jpg", metadata={"1": "sit"}),
    )
    path.write_text(
        path.read_text().replace("# ATTRIBUTE = ", "# ATTRIBUTES = ").replace(json.dumps(OPTIONS), '{"1": "action"}')
    )
    assert rows(read(path))[1] == (3.0, BOX, 2)


def test_the_only_attribute_with_options_is_taken(tmp_path: Path) -> None:
    options = {"1": {"aname": "person", "options": {"0": "walk", "1": "sit"}}, "2": {"aname": "comment", "options": {}}}
    path = via3(tmp_path, row3([1]), options=options)
    assert rows(read(path)) == [(1.0, BOX, 1)]
    assert read_via(path, "action").chosen.names == ("walk", "sit")
    with pytest.raises(InputError) as error:
        read(via3(tmp_path, row3([1]), options={"1": {"aname": "comment"}}))
    assert str(error.value) == (
        f"{path}: found the attributes comment, and nothing tells which of them names actions: set "
        "dataset.action_attribute to those that name actions (a list where there are several), or to none where the "
        "label is the action"
    )


def test_via_2(tmp_path: Path) -> None:
    found = read(
        via2(
            tmp_path,
            row2("film_000001.jpg"),
            row2("film_000021.png", attributes={"action": {"walk": False, "sit": True}}),
            row2("film_000031.jpg", shape={}, attributes={}),
            row2("film_000041.jpg", about={"width": 400, "height": 100}),
        )
    )
    assert rows(found) == [(0.0, BOX, 1), (2.0, BOX, 2), (4.0, [0.05, 0.1, 0.15, 0.6], 1), (3.0, None, None)]


def test_names_of_options_and_of_checkboxes_may_hold_commas(tmp_path: Path) -> None:
    talk = "talk to (e.g., self, a person)"
    names = ClassNames([Label(1, "walk", "action"), Label(2, talk, "action")])

    def actions(path: Path) -> list[int]:
        found = via_rows(read_via(path, "action"), names, LISTED, classes=2, keyframe_seconds=1.0)
        assert faults(found) == []
        return [action for _, _, action in rows(found)]

    options = {"1": {"aname": "action", "options": {"0": "walk", "1": talk, "2": "none"}}}
    path = via3(
        tmp_path, *(row3([1], metadata={"1": chosen}) for chosen in ("1", "0,1", "1, 2", talk)), options=options
    )
    assert read_via(path, "action").chosen.names == ("walk", talk)
    assert actions(path) == [2, 1, 2, 2, 2]
    chosen = [{talk: True, "walk": True}, {talk: True, "walk": False}, talk, "walk, walk"]
    path = via2(tmp_path, *(row2("film_000001.jpg", attributes={"action": each}) for each in chosen))
    assert actions(path) == [2, 1, 2, 2, 1]


def test_of_several_labelled_frames_of_a_second_the_middle_one_is_taken(tmp_path: Path) -> None:
    path = via2(tmp_path, *(row2(f"film_{frame:06d}.jpg") for frame in (11, 14, 16, 20, 21)))
    assert [time for time, _, _ in rows(read(path))] == [1.5, 2.0]
    assert [time for time, _, _ in rows(read(path, seconds=0.5))] == [1.3, 1.9, 2.0]
    assert "3 rows of further frames" in read(path).told[0]


def test_bad_rows_cost_themselves(tmp_path: Path) -> None:
    found = read(
        via3(
            tmp_path,
            row3([1]),
            row3([1, 2]),
            row3("x"),
            row3([1], box=[5, 1, 2, 3, 4, 5]),
            row3([1], metadata="walk"),
            row3([1], metadata={"1": "fly"}),
            "a,b\n",
        )
    )
    assert rows(found) == [(1.0, BOX, 1)]
    assert faults(found) == [
        "film.csv: row 5: found temporal_coordinates '[1, 2]', expected one time [t] in seconds",
        "film.csv: row 6: found temporal_coordinates 'x', expected one time [t] in seconds",
        "film.csv: row 7: found a shape of line, expected a box, or a shape with an inside (polygon, ellipse, mask, "
        "skeleton, cuboid)",
        "film.csv: row 8: found metadata 'walk', expected an object of attributes",
        "film.csv: row 9: found action 'fly', expected a class of the label map: walk, sit",
        "film.csv: row 10: found 2 columns, expected metadata_id,file_list,flags,temporal_coordinates,"
        "spatial_coordinates,metadata",
    ]
    found = read(via2(tmp_path, row2("film_1.jpg"), row2("film_1.jpg", shape={"name": "circle", "cx": 1}), "x,y\n"))
    assert [fault.partition(": found ")[2].partition(", expected ")[2] for fault in faults(found)] == [
        "a rect, circle, ellipse or polygon with its numbers",
        HEAD2.strip(),
    ]


def test_what_ends_the_run(tmp_path: Path) -> None:
    def refusal(path: Path, listed: dict = LISTED) -> str:
        with pytest.raises(InputError) as error:
            read(path, listed=listed)
        return str(error.value)

    path = via2(tmp_path, row2("picture.jpg"))
    assert refusal(path) == f"{path}: row 2: image 'picture.jpg', expected <video>_<number of the frame>"
    path = via2(tmp_path, row2("film_7.jpg"))
    assert "expected a videos.csv with the columns video_id,fps" in refusal(path, {})
    assert "expected a videos.csv with the columns video_id,width,height" in refusal(path, {"film": Listed(fps=25)})


def test_other_csvs_are_not_vias() -> None:
    assert via_header("a,902,0.1,0.2,0.3,0.4,1\n") is None
    assert (
        via_header("# CSV_HEADER = metadata_id,file_list,temporal_segment_start,temporal_segment_end,metadata\n")
        is None
    )
    assert via_header("#" + HEAD2) is not None
    assert via_header("") is None


@settings(max_examples=60, deadline=None)
@given(
    cells=st.lists(
        st.sampled_from(["", "film_3.jpg", "[1]", "[2,1,2,3,4]", '{"1":"0"}', "[]", "{", "\x00", '"']), max_size=8
    )
)
def test_garbage_is_a_problem(scratch: Path, cells: list[str]) -> None:
    for path in (via3(scratch, row3([1]), quoted(*cells)), via2(scratch, row2("film_000011.jpg"), quoted(*cells))):
        try:
            found = read(path)
        except InputError:
            continue
        assert (1.0, BOX, 1) in rows(found)


def of_project(folder: Path, attributes: dict, *metadata: dict) -> Path:
    return via3(folder, *(row3([1 + n], metadata=each) for n, each in enumerate(metadata)), options=attributes)


def named(path: Path, wanted: str | list[str] = "auto") -> list[tuple[float, str]]:
    """(time, action) of every row, with the classes of the file itself."""
    via = read_via(path, wanted)
    labels = [Label(i, name, "action") for i, name in enumerate(via.chosen.names, start=1)]
    found = via_rows(via, ClassNames(labels), LISTED, classes=9, keyframe_seconds=1.0)
    assert faults(found) == []
    return [(time, labels[action - 1].name) for time, _, action in rows(found) if action]


def test_several_attributes_of_via_3(tmp_path: Path) -> None:
    posture = {"aname": "posture", "type": 3, "options": {"0": "walk", "1": "sit"}, "anchor_id": "FILE1_Z1_XY1"}
    hands = {"aname": "hands", "type": 2, "options": {"0": "wave", "1": "clap"}}
    weather = {"aname": "weather", "type": 4, "options": {"0": "rain"}, "anchor_id": "FILE1_Z0_XY0"}
    remark = {"aname": "remark", "type": 1, "options": {}}
    path = of_project(
        tmp_path, {"1": posture, "2": hands, "3": weather, "4": remark}, {"1": "1", "2": "0,1", "4": "x"}, {"1": "0"}
    )
    assert named(path) == [(1.0, "sit"), (1.0, "wave"), (1.0, "clap"), (2.0, "walk")]
    (notice,) = read_via(path, "auto").chosen.notices("film.csv")
    assert notice.problem.found == "remark, which are not read; actions are read from posture, hands"
    assert named(path, ["hands"]) == [(1.0, "wave"), (1.0, "clap")]


def test_one_checkbox_per_action_of_via_3(tmp_path: Path) -> None:
    boxes = {str(n): {"aname": name, "type": 2, "options": {"0": "yes"}} for n, name in enumerate(("walk", "sit"), 1)}
    path = of_project(tmp_path, boxes, {"1": "0", "2": "0"}, {"1": "", "2": "0"}, {"1": ""})
    assert named(path) == [(1.0, "walk"), (1.0, "sit"), (2.0, "sit")]


def test_attributes_of_via_2(tmp_path: Path) -> None:
    given = [
        {"doing": {"walk": True, "sit": True}, "name": "Anna"},
        {"doing": {"sit": True}, "name": "Ben"},
    ]
    path = via2(tmp_path, *(row2(f"film_00000{1 + 10 * n}.jpg", attributes=each) for n, each in enumerate(given)))
    assert named(path) == [(0.0, "walk"), (0.0, "sit"), (1.0, "sit")]
    assert read_via(path, "auto").chosen.ignored == ("name",)
    text = via2(tmp_path, row2("film_000001.jpg", attributes={"doing": "walk, sit"}))
    assert read_via(text, "auto").chosen.names == ()  # what was typed lists no classes: a label map must
    found = via_rows(read_via(text, "auto", NAMES), NAMES, LISTED, classes=2, keyframe_seconds=1.0)
    assert [action for _, _, action in rows(found)] == [1, 2]


def test_the_boxes_around_other_shapes(tmp_path: Path) -> None:
    shapes3 = [[7, 20, 10, 60, 20, 40, 60], [3, 40, 30, 10], [4, 40, 30, 20, 10], [1, 5, 5], [6, 1, 2, 3, 4]]
    found = read(via3(tmp_path, *(row3([1 + n], box=each) for n, each in enumerate(shapes3))))
    assert [box for _, box, _ in rows(found)] == [[0.1, 0.1, 0.3, 0.6], [0.15, 0.2, 0.25, 0.4], [0.1, 0.2, 0.3, 0.4]]
    assert [each.partition(": found ")[2][:19] for each in faults(found)] == [
        "a shape of point, e",
        "a shape of polyline",
    ]
    shapes2 = [
        {"name": "polygon", "all_points_x": [20, 60, 40], "all_points_y": [10, 20, 60]},
        {"name": "circle", "cx": 40, "cy": 30, "r": 10},
        {"name": "ellipse", "cx": 40, "cy": 30, "rx": 10, "ry": 20, "theta": 1.5707963267948966},
        {"name": "point", "cx": 5, "cy": 5},
        {"name": "polyline", "all_points_x": [20, 60, 40], "all_points_y": [10, 20, 60]},
    ]
    found = read(via2(tmp_path, *(row2(f"film_0000{1 + 10 * n}.jpg", shape=each) for n, each in enumerate(shapes2))))
    boxes = [[0.1, 0.1, 0.3, 0.6], [0.15, 0.2, 0.25, 0.4], [0.1, 0.2, 0.3, 0.4]]
    assert [box for _, box, _ in rows(found)] == [pytest.approx(each) for each in boxes]
    assert len(faults(found)) == 2
    assert len({time for time, _, _ in rows(found)}) == 3  # no keyframe of what was not read, so none that shows nobody


def test_frames_of_a_film_whose_rate_varies(tmp_path: Path) -> None:
    listed = {"film": Listed(width=200, height=100, knots=((0, 0.0), (10, 1.0), (20, 6.0)))}
    path = via2(tmp_path, *(row2(f"film_0000{n}.jpg", about={"width": 100, "height": 100}) for n in (11, 13)))
    found = read(path, listed=listed)
    assert [time for time, _, _ in rows(found)] == [1.0, 2.0]
    assert found.counted == {"film"}
    assert found.sizes == {"film": {(100.0, 100.0)}}


def test_actions_of_stretches_of_time_are_refused(tmp_path: Path) -> None:
    options = {"1": {"aname": "action", "anchor_id": "FILE1_Z2_XY0", "options": {"0": "walk"}}}
    path = via3(tmp_path, row3([0, 4], [], {"1": "0"}), row3([0.5], metadata={}), options=options)
    with pytest.raises(InputError) as error:
        read_via(path, "auto")
    assert str(error.value) == (
        f"{path}: found the attributes action, which belong to stretches of time or to files, expected attributes of "
        "regions (anchor_id FILE1_Z1_XY1): an action needs the box of the person who does it"
    )


def test_boxes_without_an_action_are_counted(tmp_path: Path) -> None:
    path = via3(tmp_path, row3([0.5]), row3([1.5], metadata={"1": ""}))
    (notice,) = via_rows(read_via(path, "action"), NAMES, LISTED, classes=2, keyframe_seconds=1).notices
    assert (notice.kind, notice.count, notice.problem.item) == ("without-action", 1, "row 5")


def test_frames_beside_the_keyframes_are_counted(tmp_path: Path) -> None:
    """Such as images that were taken once a second, under the rate of the film."""
    path = via3(tmp_path, *(row3([second]) for second in (0.1, 0.5, 0.6, 1.5)))
    (notice,) = via_rows(read_via(path, "action"), NAMES, LISTED, classes=2, keyframe_seconds=1).notices
    assert (notice.kind, notice.count) == ("boxes-unmet", 2)
    assert str(notice.problem) == (
        "film.csv: row 4, row 6: found 2 rows of further frames of a keyframe's 1 s, expected a labelled frame in 1 s "
        "(dataset.keyframe_seconds)"
    )


def test_the_person_is_the_number_of_an_attribute(tmp_path: Path) -> None:
    action = {"aname": "action", "type": 2, "options": {"0": "walk"}, "anchor_id": "FILE1_Z1_XY1"}
    person = {"aname": "Person_ID", "type": 1, "options": {}, "anchor_id": "FILE1_Z1_XY1"}
    values = ({"1": "0", "2": "12"}, {"1": "0", "2": "the left one"}, {"1": "0"})
    path = of_project(tmp_path, {"1": action, "2": person}, *values)
    via = read_via(path, "auto")
    assert via.chosen.ignored == ()
    (found,) = via_rows(via, NAMES, LISTED, classes=2, keyframe_seconds=1).rows
    assert [None if each != each else each for each in found.person.tolist()] == [12, None, None]
    given = [{"doing": "walk", "track_id": 4}, {"doing": "walk"}]
    path = via2(tmp_path, *(row2(f"film_00000{1 + 10 * n}.jpg", attributes=each) for n, each in enumerate(given)))
    via = read_via(path, "auto")
    assert via.chosen.attribute_names == {"doing"}
    assert via.chosen.ignored == ()
    (found,) = via_rows(via, NAMES, LISTED, classes=2, keyframe_seconds=1).rows
    assert [None if each != each else each for each in found.person.tolist()] == [4, None]
