from dataclasses import replace

import numpy as np
import pytest

from pipeline.playground.noisy_boxes import OBJECT_LABELS, detect, detect_objects
from pipeline.playground.render import sky_boxes
from pipeline.playground.script import write_script
from pipeline.playground.write_files import describe_film


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:4], b[..., 2:4])
    common = np.prod(np.maximum(high - low, 0), -1)
    area = np.prod(a[..., 2:4] - a[..., :2], -1) + np.prod(b[..., 2:4] - b[..., :2], -1)
    return np.asarray(common / (area - common))


def test_the_detector_jitters_misses_invents_and_scores() -> None:
    truths, scores, overlaps, invented = 0, [], [], []
    seconds = 0
    for index in range(12):
        film = describe_film(write_script(1, "train", index, min_seconds=75, max_seconds=90), 1)
        seconds += film.script.seconds
        for second, (boxes, found) in enumerate(zip(film.boxes, film.proposals, strict=True)):
            assert found.dtype == np.float64
            assert found.shape == (len(found), 5)
            assert (np.diff(found[:, 4]) <= 0).all()
            assert (found >= 0).all()
            assert (found <= 1).all()
            assert (found[:, 2:4] > found[:, :2]).all()
            truth = boxes if second not in film.script.empty else boxes[:0]
            truths += len(truth)
            best = np.array([overlap(truth, row).max(initial=0) for row in found])
            near = best > 0.6
            scores += found[near, 4].tolist()
            overlaps += best[near].tolist()
            invented += found[~near, 4].tolist()
    # Shares of what JITTER, MISSED, UNSURE, FALSE_POSITIVES and SURE_FALSE_POSITIVES say, within their noise.
    assert 0.97 < len(scores) / truths < 0.995
    assert 0.02 < np.mean(np.array(scores) < 0.9) < 0.05
    assert np.mean(np.array(scores) >= 0.95) > 0.9
    share = [float(np.mean(np.array(overlaps) > each)) for each in (0.7, 0.8, 0.9, 0.95)]
    assert share[0] > 0.995
    assert share[1] > 0.95
    assert 0.5 < share[2] < 0.9
    assert 0.05 < share[3] < 0.4
    assert 0.2 < len(invented) / seconds < 0.35
    assert 0.02 < np.mean(np.array(invented) >= 0.9) < 0.16


def test_detections_do_not_depend_on_what_is_done() -> None:
    """The same true boxes give the same proposals, whoever does what in the film."""
    film = write_script(1, "train", 0, min_seconds=30, max_seconds=30)
    boxes = np.broadcast_to([0.2, 0.3, 0.5, 0.9], (30, 4, 4))
    again = detect(film, 1, boxes)
    assert all(np.array_equal(a, b) for a, b in zip(again, detect(film, 1, boxes), strict=True))
    jitter = [row[:4] - boxes[0, 0] for rows in again for row in rows if overlap(row, boxes[0, 0]) > 0.6]
    assert np.std(jitter, axis=0) == pytest.approx([0.3 * 0.025, 0.6 * 0.025] * 2, rel=0.3)


def test_the_detector_of_objects_jitters_misses_invents_and_scores() -> None:
    truths, scores, overlaps, invented, seconds = 0, [], [], [], 0
    for index in range(12):
        film = describe_film(write_script(1, "train", index, min_seconds=75, max_seconds=90), 1)
        seconds += film.script.seconds
        boxes, shown = sky_boxes(film.script, 1, np.arange(film.script.seconds) + 0.5)
        names = np.array([OBJECT_LABELS[each.kind] for each in film.script.sky])
        for truth, there, found in zip(boxes, shown, film.objects, strict=True):
            assert found.rows.shape == (len(found.labels), 5)
            assert (np.diff(found.rows[:, 4]) <= 0).all()
            assert ((found.rows >= 0) & (found.rows <= 1)).all()
            assert (found.rows[:, 2:4] > found.rows[:, :2]).all()
            truths += int(there.sum())
            for label, row in zip(found.labels, found.rows, strict=True):
                near = overlap(truth[there & (names == label)], row)
                if near.max(initial=0) > 0.6:
                    scores.append(row[4])
                    overlaps.append(near.max())
                else:
                    invented.append(row[4])
    assert 0.95 < len(scores) / truths < 1
    assert np.mean(np.array(scores) >= 0.9) > 0.93
    assert 0.5 < np.mean(np.array(overlaps) > 0.9) < 0.9
    assert 0.2 < len(invented) / seconds < 0.4
    assert 0.02 < np.mean(np.array(invented) >= 0.9) < 0.16


def test_objects_do_not_depend_on_what_is_done_nor_proposals_on_objects() -> None:
    film = write_script(1, "train", 0, min_seconds=30, max_seconds=30)
    idle = replace(film, figures=tuple(replace(each, actions=each.actions[:1]) for each in film.figures), empty=())
    found, again = (detect_objects(each, 1, *sky_boxes(each, 1, np.arange(30) + 0.5)) for each in (film, idle))
    assert all(a.labels == b.labels and np.array_equal(a.rows, b.rows) for a, b in zip(found, again, strict=True))
    one, other = (describe_film(each, 1).proposals for each in (film, replace(film, sky=())))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
