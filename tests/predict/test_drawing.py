import numpy as np
import pytest

from pipeline.predict.drawing import (
    GREY,
    STRIP_SECONDS,
    WHITE,
    colour_of,
    draw_box,
    draw_scene,
    draw_text,
    pixel_box,
    strip_range,
    text_mask,
)
from pipeline.predict.moving import ShownAction, ShownFilm, ShownMoment, ShownPerson

BOX = (0.25, 0.25, 0.5, 0.75)


def blank(height: int = 120, width: int = 160) -> np.ndarray:
    return np.full((height, width, 3), 100, np.uint8)


def acting(track: int | None, box=BOX, score: float = 0.5) -> ShownPerson:
    return ShownPerson(
        track, [ShownMoment(float(second), box, (ShownAction(1, "wave", score),)) for second in range(4)]
    )


def test_each_person_has_a_colour_of_its_own() -> None:
    colours = [colour_of(track) for track in range(40)]
    assert len(set(colours)) == 40
    assert colour_of(3) == colours[3]
    assert colour_of(None) == GREY


def test_a_box_is_drawn_within_its_edges() -> None:
    frame = blank()
    draw_box(frame, BOX, (1, 2, 3), 2)
    changed = (frame != 100).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (30, 89, 40, 79)
    assert changed.sum() == 60 * 40 - 56 * 36


@pytest.mark.parametrize(
    "box", [(-0.5, -0.5, 1.5, 1.5), (0.0, 0.0, 0.0, 0.0), (0.99, 0.99, 1.0, 1.0), (1.2, 0, 1.4, 1)]
)
@pytest.mark.parametrize("size", [(120, 160), (1, 1), (17, 9)])
def test_any_box_fits_into_any_frame(box, size) -> None:
    frame = blank(*size)
    draw_scene(frame, ShownFilm([acting(1, box), acting(None, box)], 1.0), 0.5, 4.0)
    x1, y1, x2, y2 = pixel_box(frame, box)
    assert 0 <= x1 <= x2 <= size[1]
    assert 0 <= y1 <= y2 <= size[0]


def test_text_is_drawn_where_it_is_put_and_cut_at_the_edges() -> None:
    frame = blank()
    draw_text(frame, "wave", 30, 40, 16, WHITE)
    rows, columns = np.nonzero((frame != 100).any(axis=2))
    assert rows.min() >= 40
    assert columns.min() >= 30
    assert frame.max() == 255
    for x, y in ((-10, 50), (150, 50), (50, -8), (50, 115), (500, 500), (-500, -500)):
        draw_text(frame, "wave", x, y, 16, WHITE)
    assert text_mask("", 16).shape[1] == 0


def test_a_longer_bar_is_a_higher_score() -> None:
    def coloured(score: float) -> int:
        frame = blank(240, 320)
        draw_scene(frame, ShownFilm([acting(0, score=score)], 1.0), 1.0, 4.0)
        return int((frame[:60] == (np.array(colour_of(0)) * 0.55).astype(np.uint8)).all(axis=2).sum())

    assert 0 < coloured(0.2) < coloured(0.5) < coloured(0.9)


def test_the_strip_shows_presence_actions_and_the_present() -> None:
    person = ShownPerson(2, [ShownMoment(0.0, BOX, ()), ShownMoment(1.0, BOX, (ShownAction(1, "wave", 0.9),))])
    frame = blank(120, 160)
    draw_scene(frame, ShownFilm([person], 1.0), 0.25, 4.0)
    strip = frame[-2]
    bright = np.array(colour_of(2))
    assert (strip[round(0.25 / 4 * 159)] == WHITE).all()
    assert (strip[15] == bright // 3).all()
    assert (strip[40] == bright).all()
    assert (strip[100] == 35).all(), "nobody"


def test_the_strip_of_a_long_film_moves() -> None:
    assert strip_range(3.0, 10.0) == (0.0, 10.0)
    assert strip_range(3.0, 1000.0) == (0.0, STRIP_SECONDS)
    assert strip_range(500.0, 1000.0) == (500.0 - STRIP_SECONDS / 2, STRIP_SECONDS)
    assert strip_range(999.0, 1000.0) == (1000.0 - STRIP_SECONDS, STRIP_SECONDS)


def test_nothing_is_drawn_where_nobody_is() -> None:
    frame = blank()
    draw_scene(frame, ShownFilm([acting(1)], 1.0), 9.0, 10.0)
    assert (frame == 100).all()
