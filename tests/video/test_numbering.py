import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.video.numbering import find_pictures


@given(st.lists(st.text("xyuvimg_0123456789.jpn", max_size=12), max_size=12))
def test_any_names(names: list[str]) -> None:
    found = find_pictures("img", names)
    if found is not None and not found.fault:
        assert set(found.names.values()) <= set(names)
        assert list(found.names) == sorted(found.names)


@pytest.mark.parametrize(
    ("folder", "names", "taken"),
    [
        ("a", ["img_1.jpg", "x_1.jpg", "y_1.jpg"], "img_1.jpg"),
        ("a", ["img_1.jpg", "flow_x_1.jpg", "flow_y_1.jpg", "mask_1.png"], "img_1.jpg"),
        ("a", ["a_1.jpg", "depth_1.png"], "a_1.jpg"),
        ("a", ["1.jpg", "u1.jpg", "v1.jpg"], "1.jpg"),
        ("a", ["x_1.jpg"], "x_1.jpg"),
        ("a", ["frame1.jpg", "seg_1.jpg", "Thumbs.db", "cover.jpg"], "frame1.jpg"),
    ],
)
def test_which_pictures_are_frames(folder: str, names: list[str], taken: str) -> None:
    found = find_pictures(folder, names)
    assert found is not None
    assert (list(found.names.values()), found.fault) == ([taken], "")


def test_no_numbers_no_film() -> None:
    assert find_pictures("a", ["cover.jpg", "list.txt", "1.txt"]) is None
