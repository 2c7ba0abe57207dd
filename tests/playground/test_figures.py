import numpy as np
import pytest

from pipeline.playground.actions import SIGNALS
from pipeline.playground.canvas import new_canvas
from pipeline.playground.figures import Capsules, capsule_boxes, figure_capsules
from pipeline.playground.render import _draw_body, camera, keyframe_boxes
from pipeline.playground.script import Script, write_script
from tests.playground.conftest import SEED


def test_flags_show_only_in_signals(film: Script) -> None:
    conductor = film.figures[film.conductor]
    times = np.arange(film.seconds) + 0.5
    plain = min(figure_capsules(figure, times).radii.shape[1] for figure in film.figures)
    body = figure_capsules(conductor, times)
    flags = (body.radii > 0).sum(1) - (body.radii > 0).sum(1).min()
    signalling = [any(start <= second < start + 5 for start, _ in film.signals) for second in range(film.seconds)]
    assert flags.tolist() == [2 if each else 0 for each in signalling]
    assert body.radii.shape[1] >= plain + 2 * len(SIGNALS) - 1
    assert (capsule_boxes(body)[:, 2:] > capsule_boxes(body)[:, :2]).all()


@pytest.mark.parametrize(("width", "height"), [(160, 120), (96, 72), (214, 120)])
def test_boxes_are_tight_around_what_is_drawn(width: int, height: int) -> None:
    film = write_script(SEED, "val", 0, min_seconds=20, max_seconds=20, world_width=120 * width / height)
    times = np.arange(20) + 0.5
    moved = camera(film, SEED, times)
    boxes = keyframe_boxes(film, SEED, times)
    for number, figure in enumerate(film.figures):
        body = figure_capsules(figure, times)
        canvas = new_canvas(times, moved, width=width, height=height)
        white = Capsules(body.ends, body.radii, np.full_like(body.colours, 255))
        _draw_body(canvas, white, np.arange(20))
        for second in range(20):
            # Where at least half of a pixel of the dark rim is covered.
            rows, columns = np.nonzero(canvas.frames[0, second] > 0.25 * 255)
            drawn = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            box = boxes[second, number] * [width, height, width, height]
            assert np.abs(drawn - box).max() <= 1.0
