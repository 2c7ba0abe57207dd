import pytest
from hypothesis import given

from pipeline.tables.film_ids import VIDEO_SUFFIXES, composed, film_of, has_ending, is_id, names_beside
from tests.ids import IDS


@pytest.mark.parametrize(
    ("name", "film"),
    [
        ("a.mp4", "a"),
        ("A.MOV", "A"),
        ("clips/x/a b.ts", "a b"),
        ("a.b.mkv", "a.b"),
        ("a", "a"),
        ("x/a", "x/a"),
        (".mp4", ".mp4"),
        ("a.jpg", "a.jpg"),
        ("mp4", "mp4"),
    ],
)
def test_the_film_of_a_file(name: str, film: str) -> None:
    assert film_of(name) == film
    assert has_ending(name) == (film != name)


@given(IDS)
def test_any_id_with_any_ending_is_its_film(video_id: str) -> None:
    assert is_id(video_id)
    if not has_ending(video_id):
        assert film_of(video_id) == video_id
        assert {film_of(f"x/{video_id}{suffix}") for suffix in VIDEO_SUFFIXES} == {video_id}


def test_accents_are_composed() -> None:
    assert composed("Ku\u0308che") == "K\u00fcche"
    assert composed("plain") == "plain"


def test_a_guess_at_names_that_differ() -> None:
    def beside(theirs: list[str], mine: list[str]) -> str:
        return names_beside("the bank", theirs, mine)

    assert beside(["x", "B.mp4"], ["a", "b"]) == "'B.mp4' in the bank, 'b' in the annotations (is B.mp4 b?)"
    assert (
        beside(["my film"], ["my_film"]) == "'my film' in the bank, 'my_film' in the annotations (is my film my_film?)"
    )
    assert beside(["b_"], ["b"]) == "'b_' in the bank, 'b' in the annotations (is b_ b?)"
    assert beside(["Film-01.mp4"], ["film_01"]).endswith(" (is Film-01.mp4 film_01?)")
    assert beside(["1_11"], ["11_1"]) == "'1_11' in the bank, '11_1' in the annotations"
    assert beside(["y", "x"], ["a"]) == "'x' in the bank, 'a' in the annotations"
    assert beside([], ["a"]) == "'none' in the bank, 'a' in the annotations"
