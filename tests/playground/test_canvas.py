import numpy as np

from pipeline.playground.canvas import HIDDEN, draw_capsule


def test_a_capsule_covers_its_area_and_nothing_else() -> None:
    stack = np.zeros((3, 2, 40, 60), np.float32)
    # Off the pixels' centres; in the second frame it is outside.
    start, end = np.array([[20.3, 20.4], [70, 90]]), np.array([[30.3, 20.4], [70, 90]])
    draw_capsule(stack, start, end, radius=np.array([4.8, 4.8]), colour=np.array([100.0, 200.0, 50.0]))
    assert not stack[:, 1].any()
    cover = stack[1, 0] > 0.25 * 200  # half of a pixel of the rim
    rows, columns = np.nonzero(cover)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (16, 35, 16, 25)
    assert abs(cover.sum() - (10 * 9.6 + np.pi * 4.8**2)) < 6
    assert stack[:, 0, 20, 25].tolist() == [100, 200, 50]
    assert stack[1, 0, 16, 25] < 0.6 * 200  # the rim is dark
    before = stack.copy()
    draw_capsule(stack, start, end, radius=np.array([HIDDEN, HIDDEN]), colour=np.ones(3))
    assert np.array_equal(stack, before)
