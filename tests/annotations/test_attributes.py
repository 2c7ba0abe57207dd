from typing import Any

import pytest

from pipeline.annotations.attributes import ActionAttributes, Attribute, actions_of, choose, seen_attributes, typed
from pipeline.annotations.class_ids import ClassNames
from pipeline.base.errors import InputError
from pipeline.tables.label_map import Label

WALK, SIT, WAVE = (Attribute(name, "checkbox", (), frozenset(["person"])) for name in ("walk", "sit", "wave"))
POSTURE = typed("posture", "radio", ["sit", "stand", "other", "__undefined__"], frozenset(["person"]))
HANDS = typed("hands", "select", ["wave", "other", ""], frozenset(["person"]))


def names_of(*names: str) -> ClassNames:
    return ClassNames([Label(i, name, "action") for i, name in enumerate(names, start=1)])


def pick(*attributes: Attribute, labels: tuple[str, ...] = ("person",), wanted="auto", known=None) -> ActionAttributes:
    return choose("a.xml", attributes, labels, wanted, known)


def refused(*attributes: Attribute, **options) -> str:
    with pytest.raises(InputError) as error:
        pick(*attributes, **options)
    return str(error.value)


def test_one_checkbox_per_action_and_what_is_none() -> None:
    others = [
        typed("occluded", "checkbox", ["false"]),
        typed("id", "number", ["0", "9", "1"]),
        typed("note", "text", []),
    ]
    chosen = pick(WALK, *others, SIT, WAVE)
    assert chosen.names == ("walk", "sit", "wave")
    assert chosen.ignored == ("occluded", "id", "note")
    (notice,) = chosen.notices("a.xml")
    assert (notice.kind, notice.count) == ("attribute-ignored", 3)
    assert notice.problem.found == ("occluded, id, note, which are not read; actions are read from walk, sit, wave")
    names = names_of(*chosen.names)
    assert actions_of({"walk": "true", "sit": "false", "wave": "True"}, "person", chosen, names) == ["walk", "wave"]
    assert actions_of({"walk": True, "sit": False, "wave": 1}, "person", chosen, names) == ["walk", "wave"]
    assert actions_of({"walk": "false", "sit": "", "wave": None}, "person", chosen, names) == []
    assert actions_of({"walk": "perhaps"}, "person", chosen, names) == ["walk: perhaps"]  # no class: a bad row


def test_two_choices_and_options_that_both_have() -> None:
    chosen = pick(POSTURE, HANDS)
    assert chosen.names == ("sit", "stand", "posture: other", "wave", "hands: other")
    names = names_of(*chosen.names)
    assert actions_of({"posture": "sit", "hands": "other"}, "person", chosen, names) == ["sit", "hands: other"]
    assert actions_of({"posture": "__undefined__", "hands": ["wave"]}, "person", chosen, names) == ["wave"]
    assert actions_of({"posture": "other"}, "person", chosen, names_of("other")) == ["other"]  # a label map's own


@pytest.mark.parametrize("name", ["action", "Action", "ACTIONS", "Activity"])
def test_an_attribute_called_action_goes_before_others(name: str) -> None:
    chosen = pick(typed(name, "select", ["walk", "sit"]), POSTURE)
    assert chosen.names == ("walk", "sit")
    assert chosen.ignored == ("posture",)
    assert len(chosen.notices("x")) == 1
    settled = pick(typed(name, "select", ["walk", "sit"]), POSTURE, wanted=[name])
    assert settled.names == chosen.names
    assert settled.notices("x") == []


def test_a_choice_between_yes_and_no_is_a_checkbox() -> None:
    fall = typed("fall", "radio", ["yes", "no"])
    assert fall.type == "checkbox"
    chosen = pick(fall, WALK)
    assert actions_of({"fall": "yes", "walk": "false"}, "", chosen, names_of("fall", "walk")) == ["fall"]
    assert actions_of({"fall": "no"}, "", chosen, names_of("fall", "walk")) == []
    assert typed("age", "select", ["1", "2", "3"]).type == "number"
    assert typed("action", "select", ["true", "fly"]).type == "choice"


def test_a_label_map_tells_which_attributes_are_actions() -> None:
    team = typed("team", "select", ["red", "blue"])
    assert pick(team, POSTURE, known=names_of("sit", "stand")).ignored == ("team",)
    assert pick(team, POSTURE).names == ("red", "blue", "sit", "stand", "other")
    note = typed("what", "text", ["walk"])
    assert pick(note, team, known=names_of("walk")).attributes == (note,)


def test_what_cannot_be_told_is_asked() -> None:
    quality = typed("quality", "select", ["good", "bad"], frozenset(["person"]))
    tail = (
        "set dataset.action_attribute to those that name actions (a list where there are several), or to none where "
        "the label is the action"
    )
    assert refused(quality, typed("who", "text", ["x"])) == (
        f"a.xml: found the attributes quality, who and the label person, and nothing tells which of them names "
        f"actions: {tail}"
    )
    speed = typed("speed", "select", ["slow", "fast"], frozenset(["walk", "run"]))
    assert refused(speed, labels=("walk", "run")) == (
        f"a.xml: found the labels run, walk and their attributes speed, and nothing tells whether a label or an "
        f"attribute is an action: {tail}"
    )
    assert pick(speed, labels=("walk", "run"), wanted="none").names == ("walk", "run")
    assert pick(speed, labels=("walk", "run"), wanted="speed").names == ("slow", "fast")
    assert pick(quality, wanted="quality").names == ("good", "bad")


def test_several_labels_are_actions_where_no_attribute_can_be_and_that_is_said() -> None:
    chosen = pick(typed("occluded", "checkbox", []), labels=("walk", "sit"))
    assert (chosen.attributes, chosen.names) == ((), ("walk", "sit"))
    assert chosen.notices("a.xml")[0].problem.found == "occluded, which are not read; actions are read from the label"
    assert actions_of({}, "sit", chosen, names_of("walk", "sit")) == ["sit"]
    assert actions_of({}, ("walk", "sit"), chosen, names_of("walk", "sit")) == ["walk", "sit"]


def test_attributes_by_their_values() -> None:
    rows: list[dict[str, Any]] = [
        {"walk": True, "posture": "sit", "size": 3, "doing": ["eat", "drink"], "box": {"talk": True, "hug": False}},
        {"walk": False, "posture": "stand,sit", "size": 2.5, "doing": [], "box": {"hug": 1}},
        {"posture": "stand"},
    ]
    assert [(each.name, each.type, each.options) for each in seen_attributes(rows)] == [
        ("box", "choice", ("hug", "talk")),
        ("doing", "choice", ("drink", "eat")),
        ("posture", "choice", ("sit", "stand")),
        ("size", "number", ()),
        ("walk", "checkbox", ()),
    ]


def test_what_is_asked_of_a_person_is_no_action() -> None:
    found = pick(WALK, Attribute("is_occluded", "checkbox"), Attribute("Is Crowd", "checkbox"))
    assert (found.names, found.ignored) == (("walk",), ("is_occluded", "Is Crowd"))


def test_an_attribute_of_two_labels_is_named_once() -> None:
    quality = [typed("quality", "select", ["good", "bad"], frozenset([label])) for label in ("walk", "sit")]
    assert pick(*quality, labels=("walk", "sit")).ignored == ("quality",)
    assert pick(*quality, labels=("walk", "sit"), wanted="none").ignored == ("quality",)


def test_numbers_0_and_1_are_checkboxes_where_they_are_said_to_be_actions() -> None:
    values: list[dict[str, Any]] = [{"walk": 1, "wave": 0, "count": 3}, {"walk": 0, "wave": 1.0, "count": 0}]
    seen = seen_attributes(values, ["person", "person"])
    assert "found the attributes count, walk, wave and the label person" in refused(*seen)
    for options in ({"wanted": ["walk", "wave"]}, {"known": names_of("walk", "wave")}):
        chosen = pick(*seen, **options)
        assert chosen.names == ("walk", "wave")
        names = names_of(*chosen.names)
        assert [actions_of(each, "person", chosen, names) for each in values] == [["walk"], ["wave"]]
