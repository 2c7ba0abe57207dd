import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.annotations.outlines import around, clipped, ellipse, turned

SIDE = st.floats(-1000, 1000)


def test_right_angles_are_exact() -> None:
    assert turned((100, 100, 200, 120), 90) == (140, 60, 160, 160)
    assert turned((100, 100, 200, 120), 270) == turned((100, 100, 200, 120), -90) == (140, 60, 160, 160)
    assert turned((100, 100, 200, 120), 180) == (100, 100, 200, 120)
    assert turned((0.1, 0.2, 0.3, 0.4), 360) == (0.1, 0.2, 0.3, 0.4)
    # Clockwise where y points down: about its upper left corner a wide box comes to stand to the left and below.
    assert turned((100, 100, 200, 120), 90, (100, 100)) == (80, 100, 100, 200)


def test_other_shapes() -> None:
    assert around([(3, 4), (1, 9), (2, 2)]) == (1, 2, 3, 9)
    assert ellipse((10, 20), (5, 2), 0) == (5, 18, 15, 22)
    assert ellipse((10, 20), (5, 2), 90) == pytest.approx((8, 15, 12, 25))
    assert ellipse((10, 20), (5, 5), 33) == pytest.approx((5, 15, 15, 25))
    assert clipped((-5, 2, 300, 90), (200, 80)) == (0, 2, 200, 80)


@given(x=SIDE, y=SIDE, width=st.floats(0.1, 500), height=st.floats(0.1, 500), degrees=st.floats(-720, 720))
def test_the_box_around_a_turned_one(x: float, y: float, width: float, height: float, degrees: float) -> None:
    x1, y1, x2, y2 = turned((x, y, x + width, y + height), degrees)
    assert (x1 + x2) / 2 == pytest.approx(x + width / 2, abs=1e-6)
    assert (y1 + y2) / 2 == pytest.approx(y + height / 2, abs=1e-6)
    area, diagonal = (x2 - x1) * (y2 - y1), width**2 + height**2
    assert area >= width * height * (1 - 1e-9)
    assert (x2 - x1) ** 2 <= diagonal * (1 + 1e-9)
    # Turned back and forth is what it was, for an ellipse as for its box.
    a1, b1, a2, b2 = ellipse((x, y), (width, height), degrees)
    assert max(width, height) * 2 * (1 + 1e-9) >= max(a2 - a1, b2 - b1) >= min(width, height) * 2 * (1 - 1e-9)
