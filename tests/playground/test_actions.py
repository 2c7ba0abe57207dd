from pipeline.playground.actions import CLASSES, DANCE_ID, JUMP_IDS, MOMENTARY, MOTION_ID, POINT_IDS, SIGNALS, WAVE_IDS


def test_ids_run_from_1_and_names_stand_once() -> None:
    assert [each.id for each in CLASSES] == [*range(1, len(CLASSES) + 1)]
    assert len({each.name for each in CLASSES}) == len(CLASSES)


def test_every_label_that_is_not_momentary_belongs_to_one_motion() -> None:
    momentary = [each for each in CLASSES if each.group == "momentary"]
    assert [each.id for each in momentary] == [MOTION_ID[motion] for motion in MOMENTARY]
    others = [*WAVE_IDS, *POINT_IDS, *DANCE_ID.values(), *JUMP_IDS]
    assert sorted(others) == [each.id for each in CLASSES if each.group != "momentary"]


def test_a_dance_has_a_label_for_each_signal() -> None:
    names = {each.id: each.name for each in CLASSES}
    assert DANCE_ID.keys() == set(SIGNALS)
    assert names[DANCE_ID["raise"]] == "dance after raised arms"
    assert names[DANCE_ID["hands_on_head"]] == "dance after hands on head"
