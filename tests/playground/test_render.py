"""Figures, poses, pictures and film files of the playground."""

from dataclasses import replace

import numpy as np

from pipeline.playground.canvas import new_canvas
from pipeline.playground.figures import figure_capsules
from pipeline.playground.render import _draw_sky, camera, keyframe_boxes, render, shots, sky_boxes
from pipeline.playground.script import Script
from tests.playground.conftest import SEED


def test_balls_and_flags_come_and_go_as_early_as_motions_blend(film: Script) -> None:
    """A fifth of a second before a whole second, so that no clip of another keyframe sees them."""
    only_balls = replace(film, sky=tuple(each for each in film.sky if each.kind == "ball"))
    begins = [each.start for each in only_balls.sky]
    shown = {second for start in begins for second in (start, start + 1)}
    assert len(begins) > 8
    times = np.arange(0, film.seconds, 0.05) + 0.025
    canvas = new_canvas(times, camera(film, SEED, times), width=64, height=48)
    _draw_sky(canvas, only_balls)
    seen = canvas.frames.any(axis=(0, 2, 3))
    assert seen.tolist() == [int(np.floor(time + 0.2)) in shown for time in times]
    radii = figure_capsules(film.figures[film.conductor], times).radii
    signalling = {second for start, _ in film.signals for second in range(start, start + 5)}
    flags = (radii > 0).sum(1) > (radii > 0).sum(1).min()
    assert flags.tolist() == [int(np.floor(time + 0.2)) in signalling for time in times]


def test_shots_change_with_cuts_and_show_nobody_in_empty_seconds(film: Script) -> None:
    begins = {begin: persons for begin, _, persons in shots(film)}
    ends = [end for _, end, _ in shots(film)]
    assert [*begins][1:] == ends[:-1]
    assert ends[-1] == film.seconds
    for second in film.empty:
        assert not begins[second - 0.2 if second else 0.0]
    for cut in film.cuts:
        assert cut - 0.2 in begins
    for second in set(range(film.seconds)) - set(film.empty):
        assert [persons for begin, end, persons in shots(film) if begin <= second + 0.5 < end] == [True]


def test_frames_show_persons_where_the_boxes_are(short: Script) -> None:
    """Outside the boxes neighbouring frames differ by noise; inside walking figures they move."""
    frames = np.concatenate(list(render(short, seed=SEED, width=160, height=120)))
    assert frames.shape == (20 * short.fps, 120, 160, 3)
    assert frames.dtype == np.uint8
    boxes = keyframe_boxes(short, SEED, np.arange(20) + 0.5)
    inside, outside = [], []
    for second in set(range(20)) - set(short.empty):
        frame = frames[int((second + 0.5) * short.fps)].astype(float)
        rim = np.hypot(*np.gradient(frame.mean(-1)))
        mask = np.zeros((120, 160), bool)
        for x1, y1, x2, y2 in boxes[second] * [160, 120, 160, 120]:
            mask[int(y1) : int(y2) + 1, int(x1) : int(x2) + 1] = True
        inside.append(rim[mask].mean())
        outside.append(rim[~mask].mean())
    assert np.mean(inside) > 2 * np.mean(outside)
    assert frames.std(axis=(1, 2, 3)).min() > 10


def test_an_empty_second_shows_nobody(short: Script) -> None:
    (second,) = short.empty
    frames = np.concatenate(list(render(short, seed=SEED, width=96, height=72))).astype(float)
    rims = np.array([np.hypot(*np.gradient(frame.mean(-1)))[20:60].mean() for frame in frames])
    at = np.arange(len(frames)) / short.fps
    alone = (at >= second - 0.1) & (at < second + 0.7)
    others = (at < second - 0.3) | (at > second + 1)
    assert rims[alone].max() < 0.8 * rims[others].min()


def test_objects_are_where_they_are_drawn(film: Script) -> None:
    """The box of each thing is the part of the frame that drawing it alone changes, to a pixel."""
    width, height = 320, 240
    times = np.arange(film.seconds) + 0.5
    boxes, shown = sky_boxes(film, SEED, times)
    assert {each.kind for each in film.sky} == {"ball", "kite"}
    assert boxes.shape == (film.seconds, len(film.sky), 4)
    for number, each in enumerate(film.sky):
        canvas = new_canvas(times, camera(film, SEED, times), width=width, height=height)
        _draw_sky(canvas, replace(film, sky=(each,)))
        drawn = canvas.frames.max(axis=0) > 0
        assert drawn.any(axis=(1, 2)).tolist() == shown[:, number].tolist()
        for second in np.flatnonzero(shown[:, number]):
            rows, columns = np.nonzero(drawn[second])
            edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert np.abs(boxes[second, number] * [width, height, width, height] - edges).max() < 1.5
