"""What CVAT's importer asks for, and which keyframes are read from it again."""

from xml.etree import ElementTree

import pytest

from pipeline.annotations.frame_times import Clock
from pipeline.base.errors import InputError
from pipeline.predict.marks import Classes, Mark, MarkedFilm, classes_of
from pipeline.predict.write_cvat import attributes_of, cvat_text, form_of, label_definition
from pipeline.tables.label_map import Label
from tests.predict.made import LABELS

CLASSES = classes_of(LABELS, [])


def film(*marks: Mark, frames: int = 100, clock: Clock | None = None) -> MarkedFilm:
    return MarkedFilm("a", "a.mp4", frames, (100, 200), clock or Clock(25.0), marks)


def mark(time: float, *actions: int, person: int = 0, box: tuple = (0.1, 0.2, 0.3, 0.4)) -> Mark:
    return Mark(float(int(time)), time, box, person, actions)


def boxes(text: str) -> list[tuple[int, int, int]]:
    """Track, frame and `outside` of every box."""
    return [
        (int(track.get("id", "")), int(box.get("frame", "")), int(box.get("outside", "")))
        for track in ElementTree.fromstring(text).iter("track")
        for box in track
    ]


def test_every_box_is_a_keyframe_with_every_attribute() -> None:
    text = cvat_text(film(mark(0.5, 1, 4), mark(1.5), mark(3.5, 2, person=7)), CLASSES, "tracks")
    root = ElementTree.fromstring(text)
    declared = [each.findtext("name") for each in root.iter("attribute") if each.find("name") is not None]
    assert declared == ["stand", "wave", "carry/hold (an object)"]
    found = list(root.iter("box"))
    assert len(found) == 5
    assert {box.get("keyframe") for box in found} == {"1"}
    assert all([each.get("name") for each in box] == declared for box in found)
    assert [[each.text for each in box] for box in found][:3] == [
        ["true", "false", "true"],
        ["false"] * 3,
        ["false"] * 3,
    ]
    first = {name: found[0].get(name) for name in ("xtl", "ytl", "xbr", "ybr")}
    assert first == {"xtl": "10.00", "ytl": "40.00", "xbr": "30.00", "ybr": "80.00"}
    assert root.findtext("meta/task/source") == "a.mp4"
    assert root.findtext("meta/task/size") == "100"


def test_tracks_end_half_a_second_after_their_last_box_and_within_the_film() -> None:
    one = [mark(0.5), mark(1.5), mark(3.5)]
    assert boxes(cvat_text(film(*one), CLASSES, "tracks")) == [
        (0, 12, 0), (0, 37, 0), (0, 50, 1), (0, 87, 0), (0, 99, 1),
    ]  # fmt: skip
    last = cvat_text(film(mark(3.5), frames=88), CLASSES, "tracks")
    assert boxes(last) == [(0, 87, 0)]  # of the last frame: CVAT refuses a box behind it
    assert boxes(cvat_text(film(mark(3.5), frames=90), CLASSES, "tracks")) == [(0, 87, 0), (0, 89, 1)]


def test_single_boxes_are_gone_on_the_next_frame() -> None:
    one = [mark(0.5), mark(0.54), mark(1.5), mark(3.96)]
    assert boxes(cvat_text(film(*one), CLASSES, "single")) == [
        (0, 12, 0), (0, 13, 0), (0, 14, 1), (0, 37, 0), (0, 38, 1), (0, 99, 0),
    ]  # fmt: skip
    assert boxes(cvat_text(film(mark(8.0)), CLASSES, "single")) == [(0, 99, 0)]  # no frame behind the last


def form(*marks: Mark, frames: int = 100, clock: Clock | None = None, every_second: bool = False) -> str:
    return form_of(film(*marks, frames=frames, clock=clock), every_second=every_second)


def test_tracks_only_where_the_middle_of_each_second_was_looked_at() -> None:
    full = [mark(n + 0.5) for n in range(4)]
    assert form(*full) == form(*full, mark(1.5, person=2)) == "tracks"
    # Read as tracks, a second without a box would be one that shows nobody.
    assert form(*full[1:]) == form(*full, frames=113) == "single"
    assert form(*full[1:], every_second=True) == form(*full, frames=113, every_second=True) == "tracks"
    assert form(*full, mark(1.0)) == form(*full, mark(1.0), every_second=True) == "single"
    slow = Clock(0.1)  # ten seconds have their middle in one frame
    assert form(mark(0.0), frames=1, clock=slow) == form(mark(0.0), frames=1, clock=slow, every_second=True) == "single"
    assert form(*full, frames=40, clock=Clock(20, ((0, 0.0), (20, 3.0), (40, 4.0)))) == "tracks"


def test_an_exclusive_group_is_a_select() -> None:
    hands = classes_of(LABELS, ["hands"])
    names = [LABELS[1].name, LABELS[2].name]
    assert attributes_of(hands) == [("hands", ["none", *names]), ("stand", [])]
    text = cvat_text(film(mark(0.5, 1, 4), mark(1.5, 2)), hands, "single")
    values = [[each.text for each in box] for box in ElementTree.fromstring(text).iter("box")]
    assert values[::2] == [[names[1], "true"], [names[0], "false"]]
    assert label_definition(hands) == [
        {
            "name": "person",
            "attributes": [
                {"name": "hands", "input_type": "select", "mutable": True, "values": ["none", *names],
                 "default_value": "none"},
                {"name": "stand", "input_type": "checkbox", "mutable": True, "values": ["false"],
                 "default_value": "false"},
            ],
        }
    ]  # fmt: skip


def test_names_of_selects_that_would_be_read_as_something_else() -> None:
    labels = [Label(1, "walk", "action"), Label(2, "run", "action"), Label(3, "talk", "Talk")]
    assert [name for name, _ in attributes_of(classes_of(labels, ["action", "Talk"]))] == ["one action", "one Talk"]
    assert [name for name, _ in attributes_of(classes_of(labels[:2], ["action"]))] == ["action"]


def test_names_that_cvat_or_the_reader_cannot_take_are_refused() -> None:
    with pytest.raises(InputError) as error:
        attributes_of(Classes([Label(1, "x" * 65, "g")]))
    assert str(error.value) == f"class '{'x' * 65}': the name has 65 characters, CVAT takes at most 64"
    with pytest.raises(InputError) as error:
        attributes_of(Classes([Label(1, "Activity", "g"), Label(2, "walk", "g")]))
    assert str(error.value) == (
        "class 'Activity': a checkbox of this name would be read as the one attribute of all actions; expected another "
        "name, or --format via"
    )
    assert attributes_of(Classes([Label(1, "Activity", "g")])) == [("Activity", [])]


def test_names_are_escaped() -> None:
    odd = Classes([Label(1, 'say "a & b" <now>', "g")])
    root = ElementTree.fromstring(cvat_text(film(mark(0.5, 1)), odd, "single"))
    assert [each.get("name") for each in root.iter("attribute") if each.get("name")] == ['say "a & b" <now>'] * 2
