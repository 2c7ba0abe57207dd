import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.video.size import clip_sizes, scaled_size, sizes_in_words


def test_sizes_are_those_of_upstream() -> None:
    assert scaled_size(360, 640, 256) == (256, 455)
    assert scaled_size(400, 300, 256) == (341, 256)
    assert scaled_size(263, 491, 256) == (256, 478)


# The sizes that AlphAction's resizing gave; its long side is at most 464.
@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ((360, 640), (256, 455)),
        ((360, 480), (256, 341)),
        ((480, 360), (341, 256)),
        ((240, 320), (256, 341)),
        ((256, 400), (256, 400)),
        ((360, 865), (193, 463)),
    ],
)
def test_a_long_side_may_be_limited(frame: tuple[int, int], expected: tuple[int, int]) -> None:
    assert scaled_size(*frame, 256, 464) == expected
    assert list(clip_sizes({"a": frame}, 256, 464)) == [expected]


@given(
    sizes=st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1),
    short_side=st.integers(1, 50),
)
def test_films_stand_under_the_size_of_their_clips(sizes: dict[str, tuple[int, int]], short_side: int) -> None:
    found = clip_sizes(sizes, short_side)
    assert {name: size for size, names in found.items() for name in names} == {
        name: scaled_size(*size, short_side) for name, size in sizes.items()
    }
    assert all(min(size) == short_side for size in found)
    counts = [len(names) for names in found.values()]
    assert counts == sorted(counts, reverse=True)


def test_sizes_in_words_have_the_width_first_and_three_of_each() -> None:
    assert sizes_in_words({(96, 171): ["a", "b"], (171, 96): ["c"]}) == "171x96 (a, b), 96x171 (c)"
    many = {(height, 9): list("abcd") for height in range(1, 5)}
    assert sizes_in_words(many) == "9x1 (a, b, c, ...), 9x2 (a, b, c, ...), 9x3 (a, b, c, ...), ..."
