from pipeline.playground.gestures import reversed_pairs, templates
from pipeline.tables.clip_labels import label_classes


def plain(template: str) -> str:
    return template.replace("[", "").replace("]", "")


def test_classes_are_sorted_and_distinct() -> None:
    names = [plain(each) for each in templates()]
    assert names == sorted(set(names))
    assert len(names) == 15


def test_every_class_but_the_still_ones_is_another_played_backwards() -> None:
    pairs = reversed_pairs()
    moving = {name for pair in pairs for name in pair}
    still = {plain(each) for each in templates()} - moving
    assert len(pairs) == 6
    assert len(moving) == 12
    assert still == {
        "Holding something",
        "Showing something next to something",
        "Showing something on top of something",
    }
    assert ("Pulling something from left to right", "Pushing something from right to left") in pairs


def test_flips_follow_from_the_names() -> None:
    names = [plain(each) for each in templates()]
    flips = label_classes(names).flips
    assert {names[one]: names[other] for one, other in flips.items() if one < other} == {
        "Pulling something from left to right": "Pulling something from right to left",
        "Pushing something from left to right": "Pushing something from right to left",
        "Turning something clockwise": "Turning something counterclockwise",
    }
