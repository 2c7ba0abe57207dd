from pipeline.models.settings import LabelGroup, Labels
from pipeline.predict.exclusive_groups import exclusive_groups
from pipeline.tables.label_map import Label

LISTED = [Label(1, "stand", "pose"), Label(2, "sit", "pose"), Label(3, "wave", "hands"), Label(4, "carry", "hands")]


def grouped(*groups: LabelGroup) -> Labels:
    return Labels(kind="grouped", groups=groups)


def test_groups_within_one_softmax() -> None:
    softmax, sigmoid = LabelGroup(classes=2, kind="softmax"), LabelGroup(classes=2, kind="sigmoid")
    assert exclusive_groups(grouped(softmax, sigmoid), LISTED) == ["pose"]
    assert exclusive_groups(grouped(sigmoid, softmax), LISTED) == ["hands"]
    assert exclusive_groups(grouped(softmax, softmax), LISTED) == ["pose", "hands"]
    assert exclusive_groups(
        grouped(LabelGroup(classes=3, kind="softmax"), LabelGroup(classes=1, kind="sigmoid")), LISTED
    ) == ["pose"]
    assert exclusive_groups(Labels(), LISTED) == []
    assert exclusive_groups(Labels(kind="single"), LISTED) == ["pose", "hands"]


def test_a_group_of_one_class_is_a_checkbox() -> None:
    assert exclusive_groups(Labels(kind="single"), LISTED[:3]) == ["pose"]
    assert exclusive_groups(Labels(kind="single"), []) == []
