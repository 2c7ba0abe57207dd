import pytest

from pipeline.annotations.notices import without_action


@pytest.mark.parametrize(
    ("places", "where"),
    [
        (["track 1", "track 2", "track 3"], "track 1, track 2, track 3"),
        (["track 1", "track 2", "track 3", "track 4"], "track 1, track 2, track 3, ..."),
    ],
)
def test_the_first_boxes_without_an_action_are_named_and_all_are_counted(places: list[str], where: str) -> None:
    (notice,) = without_action("film.xml", places)
    assert (notice.kind, notice.count) == ("without-action", len(places))
    assert str(notice.problem) == (
        f"film.xml: {where}: found {len(places)} boxes without an action, expected an action of every person who does "
        "one"
    )


def test_no_such_box_is_no_notice() -> None:
    assert without_action("film.xml", []) == []
