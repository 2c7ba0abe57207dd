"""Measure how well two simple classifiers guess a label from anything but what defines it.

Only rows with the same motion are compared. Which second label a row has may depend only on other persons, objects, the
past and the future. Everything else is a channel here, and must not show the label: so must the detected objects, but
of pointing, whose label they are.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.playground.actions import DANCE_ID, JUMP_IDS, POINT_IDS, WAVE_IDS
from pipeline.playground.backdrop import draw_backdrop
from pipeline.playground.canvas import WORLD_HEIGHT
from pipeline.playground.chance import stream
from pipeline.playground.looks import HATS
from pipeline.playground.noisy_boxes import OBJECT_LABELS, FoundObjects, detect_objects
from pipeline.playground.render import camera, keyframe_boxes, shots, sky_boxes
from pipeline.playground.script import Figure, Script, Split, write_script

MOTIONS = {
    "dance": tuple(DANCE_ID.values()),
    "wave": WAVE_IDS,
    "point": POINT_IDS,
    "jump": JUMP_IDS,
}
NEIGHBOURS = 25
Channels = dict[str, list[float]]


@dataclass(frozen=True)
class Rows:
    """Rows of one motion: a table per channel [N, columns] and the second label of each row [N]."""

    channels: dict[str, np.ndarray]
    labels: np.ndarray


def _look(figure: Figure) -> list[float]:
    look = figure.look
    colours = [*look.skin, *look.shirt, *look.trousers, *look.hair, *look.hat_colour]
    return [*colours, look.girth, look.long_sleeves, figure.size, *(look.hat == each for each in HATS)]


def _pictures(film: Script, seed: int) -> list[list[float]]:
    """Per second: statistics of the background, and what passes in front and above."""
    pictures = [
        draw_backdrop(stream(seed, film.split, film.index, "backdrop", shot), width=64, height=48)
        for shot in range(len(shots(film)))
    ]
    begins = np.array([begin for begin, _, _ in shots(film)])
    found = []
    for second in range(film.seconds):
        shot = int(np.searchsorted(begins, second + 0.5, side="right")) - 1
        picture = pictures[shot].picture
        kites = sum(each.kind == "kite" and 0 <= second - each.start < each.seconds for each in film.sky)
        statistics = [*picture.mean((1, 2)), *picture.std((1, 2)), *picture[:, -1].mean(1)]
        found.append([*statistics, pictures[shot].pan, len(pictures[shot].occluders), kites])
    return found


def _objects(found: FoundObjects) -> list[float]:
    """Of each class: how many there are, and the best one's score and place."""
    numbers: list[float] = []
    for name in OBJECT_LABELS.values():
        mine = found.rows[[label == name for label in found.labels]]
        numbers += [len(mine), *(mine[0, [4, 0, 1]].tolist() if len(mine) else [0.0] * 3)]
    return numbers


def _film_rows(seed: int, split: Split, index: int) -> list[tuple[str, int, Channels]]:
    film = write_script(seed, split, index, min_seconds=75, max_seconds=90)
    times = np.arange(film.seconds) + 0.5
    boxes, moved = keyframe_boxes(film, seed, times), camera(film, seed, times)
    pictures = _pictures(film, seed)
    objects = [_objects(each) for each in detect_objects(film, seed, *sky_boxes(film, seed, times))]
    found = []
    for second in range(film.seconds):
        for number, action_ids in film.labels(second):
            figure = film.figures[number]
            (action,) = (each for each in figure.actions if 0 <= second - each.event.start < each.event.seconds)
            motion = action.event.motion
            if motion not in MOTIONS:
                continue
            (label,) = set(action_ids) & set(MOTIONS[motion])
            x1, y1, x2, y2 = boxes[second, number]
            last_cut = max((cut for cut in film.cuts if cut <= second), default=0)
            channels: Channels = {
                "box": [x1, y1, x2, y2, x2 - x1, y2 - y1, (x2 - x1) / (y2 - y1), (x1 + x2) / 2],
                "time": [second, second / film.seconds, film.seconds, film.fps, second - last_cut, second % 29],
                "look": _look(figure),
                "place": [figure.lane_x, figure.foot_y / WORLD_HEIGHT, len(film.figures), number, *moved[second]],
                "manner": [action.facing, action.tempo, action.phase, action.strength, second - action.event.start],
                "background": pictures[second],
            }
            if motion != "point":
                channels["objects"] = objects[second]
            found.append((motion, label, channels))
    return found


def draw_rows(seed: int, split: Split, films: int) -> dict[str, Rows]:
    """The rows of every motion of `films` scripts; nothing is rendered."""
    found = [row for index in range(films) for row in _film_rows(seed, split, index)]
    rows = {}
    for motion in MOTIONS:
        chosen = [(label, channels) for each, label, channels in found if each == motion]
        names = chosen[0][1]
        tables = {name: np.array([channels[name] for _, channels in chosen], float) for name in names}
        rows[motion] = Rows(tables, np.array([label for label, _ in chosen]))
    return rows


def average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """Mean of the precision at every positive, by falling score."""
    hits = positive[np.argsort(-scores, kind="stable")]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def _nearest(train: np.ndarray, val: np.ndarray, positive: np.ndarray) -> np.ndarray:
    distance = (val**2).sum(1)[:, None] + (train**2).sum(1)[None] - 2 * val @ train.T
    return np.asarray(positive[np.argpartition(distance, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]].mean(1))


def _linear(train: np.ndarray, val: np.ndarray, positive: np.ndarray) -> np.ndarray:
    ridge = np.eye(train.shape[1])
    return np.asarray(val @ np.linalg.solve(train.T @ train + ridge, train.T @ (positive - positive.mean())))


def guessed(train: Rows, val: Rows) -> dict[str, float]:
    """By channel: how far the better classifier's mean AP lies above the rate that the motion alone gives."""
    channels = list(train.channels)
    every = [np.hstack([each.channels[name] for name in channels]) for each in (train, val)]
    tables = {name: (train.channels[name], val.channels[name]) for name in channels} | {"all": (every[0], every[1])}
    # Ties must not be broken by the order of the rows.
    order = stream("ties").permutation(len(val.labels))
    labels = val.labels[order]
    above = {}
    for name, (known, asked) in tables.items():
        mean, deviation = known.mean(0), known.std(0) + 1e-9
        known, asked = (known - mean) / deviation, (asked[order] - mean) / deviation
        gains = []
        for classifier in (_nearest, _linear):
            gain = [
                average_precision(classifier(known, asked, train.labels == label), labels == label)
                - float((labels == label).mean())
                for label in np.unique(train.labels)
            ]
            gains.append(float(np.mean(gain)))
        above[name] = max(gains)
    return above
