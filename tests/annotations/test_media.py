import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.annotations.media import MEDIA, media_stem

STEM = st.text("ab.-_ 1", min_size=1, max_size=8).map(str.strip).filter(lambda stem: stem.strip(". "))


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.mp4", "a"),
        (" a.MP4\n", "a"),
        ("C:\\films\\a.mov", "a"),
        ("films/a.b.mkv", "a.b"),
        ("frame_000001.png", "frame_000001"),
        ("Dr. No", "Dr. No"),
        ("a.mp4.zip", "a.mp4.zip"),
        ("clip.v2", "clip.v2"),
    ],
)
def test_an_ending_goes_where_it_is_one_of_a_film_or_picture(name: str, stem: str) -> None:
    assert media_stem(name) == stem


@given(folder=st.sampled_from(["", "x/", "x\\y\\", "/x/"]), stem=STEM, ending=st.sampled_from(MEDIA))
def test_one_ending_and_all_folders_go(folder: str, stem: str, ending: str) -> None:
    assert media_stem(f"{folder}{stem}{ending}") == stem
