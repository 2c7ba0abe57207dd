import pytest

from pipeline.base.errors import InputError
from pipeline.models.label_groups import count_groups
from pipeline.models.settings import LabelGroup, Labels
from pipeline.tables.label_map import AVA_EVALUATED, AVA_GROUPS, Label


def grouped(*classes: int | str) -> Labels:
    return Labels(
        "grouped",
        groups=tuple(
            LabelGroup(classes=each, kind="sigmoid" if number else "softmax", weight=number + 1.0)
            for number, each in enumerate(classes)
        ),
    )


def listed(text: str) -> list[Label]:
    """Classes with the groups of the letters, from id 1 on; a dot is an id that is not listed."""
    return [Label(number, f"c{number}", group) for number, group in enumerate(text, 1) if group != "."]


def refusal(labels: Labels, of: list[Label], classes: int) -> str:
    with pytest.raises(InputError) as error:
        count_groups(labels, of, classes=classes)
    return str(error.value)


def test_the_map_of_avas_60_classes_gives_the_groups_of_all_80() -> None:
    assert count_groups(grouped(*AVA_GROUPS), AVA_EVALUATED, classes=80) == grouped(14, 49, 17)


def test_ids_that_are_not_listed_belong_to_their_neighbours() -> None:
    assert count_groups(grouped("a", "b"), listed(".a.abb."), classes=8) == grouped(4, 4)
    assert count_groups(grouped("a"), listed("a"), classes=3) == grouped(3)


def test_figures_and_other_kinds_stay_as_they_are() -> None:
    assert count_groups(grouped(2, 1), listed("aab"), classes=3) == grouped(2, 1)
    assert count_groups(Labels(), listed("ab"), classes=2) == Labels()


def test_figures_that_do_not_add_up_are_refused() -> None:
    assert refusal(grouped(14, 49, 16), [], 80) == (
        "labels.groups: 14 + 49 + 16 are 79 classes, expected the 80 of dataset.classes"
    )


@pytest.mark.parametrize(
    ("names", "text", "found"),
    [
        ("ab", "aba", "a 1, b 2, a 3"),
        ("ba", "aabb", "a 1-2, b 3-4"),
        ("a", "ab", "a 1, b 2"),
        ("abc", "ab", "a 1, b 2"),
    ],
)
def test_groups_in_pieces_or_in_another_order_are_refused(names: str, text: str, found: str) -> None:
    assert refusal(grouped(*names), listed(text), len(text)) == (
        f"labels.groups: found {', '.join(names)}, expected those of the label map in order of id, each in one piece; "
        f"it has {found}"
    )


def test_ids_above_the_classes_are_refused() -> None:
    assert refusal(grouped("a", "b"), listed("abb"), 2) == (
        "labels.groups: the label map has a 1, b 2-3, expected ids up to dataset.classes 2"
    )


def test_ids_between_two_groups_are_refused() -> None:
    assert refusal(grouped("a", "b"), listed("aa..b"), 5) == (
        "labels.groups: ids 3 to 4 are in no group: the label map, which has a 1-2, b 5, lists none of them; give "
        "numbers of classes instead of names"
    )
