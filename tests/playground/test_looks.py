import colorsys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.playground.chance import stream
from pipeline.playground.looks import HATS, SKINS, draw_colour, draw_look


@given(seed=st.integers(0, 1000), low=st.floats(0.1, 0.5), high=st.floats(0.5, 1))
def test_a_colour_keeps_its_ranges(seed: int, low: float, high: float) -> None:
    colour = draw_colour(stream(seed), saturation=(low, high), value=(low, high))
    _, saturation, value = colorsys.rgb_to_hsv(*(part / 255 for part in colour))
    assert low - 1e-9 <= saturation <= high + 1e-9
    assert low - 1e-9 <= value <= high + 1e-9


def test_every_hat_and_skin_is_worn_and_all_looks_differ() -> None:
    looks = [draw_look(stream("looks", each)) for each in range(200)]
    assert {look.hat for look in looks} == set(HATS)
    assert {look.skin for look in looks} == set(SKINS)
    assert {look.long_sleeves for look in looks} == {False, True}
    assert all(0.9 <= look.girth <= 1.2 for look in looks)
    assert len(set(looks)) == len(looks)
    assert draw_look(stream("looks", 0)) == looks[0]


@pytest.mark.parametrize("part", ["skin", "shirt", "trousers", "hair", "hat_colour"])
def test_colours_are_from_0_to_255(part: str) -> None:
    looks = [draw_look(stream("looks", each)) for each in range(50)]
    assert all(0 <= channel <= 255 for look in looks for channel in getattr(look, part))
