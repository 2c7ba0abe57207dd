"""Random small films against an evaluation in plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation.ava_map import score_matching
from pipeline.evaluation.multisports.frame_ap import match_frames
from pipeline.evaluation.multisports.video_ap import TUBE_IOUS, evaluate_tubes
from tests.evaluation.multisports import reference
from tests.evaluation.multisports.tables import annotations, detections, keyframes

FILMS, FRAMES, CLASSES = ("a", "b"), range(7), (3, 5, 8)
# Whole numbers, so that overlaps are exact and often at a threshold or tied; few scores for the same reason.
SHIFTS = st.sampled_from([0, 0, 1, 2, 3, 5, 8])
PLACES = st.sampled_from([(0, 0, 10, 10), (0, 0, 10, 20), (20, 0, 30, 10), (5, 0, 15, 10)])
SCORES = st.sampled_from([0.001, 0.004, 0.25, 0.25, 0.5, 0.5, 0.75, 1.0])


@st.composite
def runs(draw):
    """(video, class, [(frame, box)]): a box that drifts, now and then with a frame missing."""
    video, label = draw(st.sampled_from(FILMS)), draw(st.sampled_from((3, 3, 5, 9)))
    start, length = draw(st.sampled_from(FRAMES)), draw(st.sampled_from((1, 3, 5, 7)))
    hole = draw(st.sampled_from((None, None, 2)))
    x1, y1, x2, y2 = draw(PLACES)
    boxes = []
    for frame in range(start, min(start + length, len(FRAMES))):
        shift = draw(SHIFTS)
        if frame - start != hole:
            boxes.append((frame, (float(x1 + shift), float(y1), float(x2 + shift), float(y2))))
    return video, label, boxes


@st.composite
def cases(draw):
    truth = [
        (video, frame, label, box, person)
        for person, (video, label, boxes) in enumerate(draw(st.lists(runs(), min_size=1, max_size=4)))
        for frame, box in boxes
    ]
    found = [
        (video, frame, label, box, draw(SCORES))
        for video, label, boxes in draw(st.lists(runs(), min_size=1, max_size=7))
        for frame, box in boxes
    ]
    # Half of the time some boxes are the annotated ones, so that something is found.
    found += [(*row[:4], draw(SCORES)) for row in truth if draw(st.booleans())]
    return truth, draw(st.permutations(found)), draw(st.lists(st.sampled_from(FRAMES), max_size=1))


@pytest.mark.parametrize("slip", [False, True])
@pytest.mark.parametrize("step", [1.0, 0.04])
@settings(max_examples=150, deadline=None)
@given(case=cases(), min_frames=st.sampled_from([1, 2, 3]), pixel=st.sampled_from([0.0, 1.0]))
def test_ap_equals_that_of_plain_loops(case, min_frames: int, pixel: float, step: float, slip: bool) -> None:
    truth, found, excluded = case
    named = [(film, frame, "excluded" if frame in excluded else "empty") for film in FILMS for frame in FRAMES]
    tables = annotations(truth, step), keyframes(named, step), detections(found, step)
    counted, shown = [[row for row in rows if row[1] not in excluded] for rows in (truth, found)]

    frames = score_matching(match_frames(*tables, CLASSES), 0.5)
    np.testing.assert_allclose(frames.ap, reference.frame_ap(counted, shown, CLASSES), rtol=0, atol=1e-12)

    tubes = evaluate_tubes(
        *tables,
        CLASSES,
        protocol="mmaction2_1x" if slip else "official",
        pixels=dict.fromkeys(FILMS, (pixel, pixel)),
        min_frames=min_frames,
    )
    last = [(*row[:4], found[-1][4]) for row in shown] if slip else shown
    wanted = reference.truth_tubes(counted)
    linked = reference.link([row for row in last if row[2] in CLASSES], pixel=pixel, min_frames=min_frames)
    assert tubes.num_gt.tolist() == [len(wanted.get(label, [])) for label in CLASSES]
    assert tubes.num_detections.tolist() == [len(linked.get(label, [])) for label in CLASSES]
    for name, thresholds in TUBE_IOUS.items():
        expected = reference.video_ap(counted, last, CLASSES, thresholds, pixel=pixel, min_frames=min_frames, slip=slip)
        np.testing.assert_allclose(tubes.ap[name], expected, rtol=0, atol=1e-12)
