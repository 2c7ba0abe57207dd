"""Random small cases against an evaluation in plain loops."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation.ava_map import match, score_matching
from pipeline.evaluation.protocols import PROTOCOLS
from tests.evaluation import reference

CLASSES = [3, 7]
FRAMES = [("a", 902), ("a", 903), ("b", 902), ("c", 1000)]
frames = st.sampled_from(FRAMES)
class_ids = st.sampled_from([3, 3, 7, 9])
# Few values, so that boxes repeat and overlaps tie; tenths are no binary fractions.
coordinates = st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.6, 0.75, 1.0])
scores = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5])


def box_of(numbers: tuple[float, float, float, float], inverted: bool) -> tuple[float, float, float, float]:
    x1, x2, y1, y2 = numbers
    return (x1, y1, x2, y2) if inverted else (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))


@st.composite
def cases(draw, protocol: str):
    person_ids = st.sampled_from([0.0, 1.0, None, None])
    # A handful of boxes that both sides draw from, half of the time with two that a third overlaps alike.
    numbers = st.tuples(coordinates, coordinates, coordinates, coordinates)
    pool = draw(st.lists(numbers, min_size=1, max_size=3))
    pool += draw(st.sampled_from([[], [(0.0, 0.5, 0.0, 1.0), (0.25, 0.75, 0.0, 1.0), (0.125, 0.625, 0.0, 1.0)]]))
    shapes = st.sampled_from(pool)
    few = st.sampled_from(FRAMES[: draw(st.sampled_from([1, 1, 2, 4]))])
    upright = shapes.map(lambda box: box_of(box, False))
    truth = draw(st.lists(st.tuples(few, class_ids, upright, person_ids), min_size=1, max_size=10))
    # MMAction2 1.x stops at inverted detections.
    either = st.tuples(shapes, st.sampled_from([True, False, False, False])).map(lambda each: box_of(*each))
    shown = upright if protocol == "mmaction2_1x" else either
    found = draw(st.lists(st.tuples(few | few | frames, class_ids, shown, scores), min_size=2, max_size=20))
    return {
        "truth": truth,
        "detections": found,
        "protocol": protocol,
        "empty": draw(st.lists(frames, max_size=2)),
        "excluded": draw(st.just([]) | st.lists(frames, max_size=1)),
        "cap": draw(st.sampled_from([0, 0, 1, 3, 5])),
        "iou": draw(st.sampled_from([0.3, 0.5, 0.75, 1.0])),
    }


def table(rows, value: str) -> pa.Table:
    columns = {
        "video_id": pa.array([row[0][0] for row in rows], pa.string()),
        "timestamp": pa.array([row[0][1] for row in rows], pa.float64()),
        **{
            name: pa.array([row[2][index] for row in rows], pa.float64())
            for index, name in enumerate(("x1", "y1", "x2", "y2"))
        },
        "action_id": pa.array([row[1] for row in rows], pa.int32()),
        value: pa.array([row[3] for row in rows], pa.float64()),
    }
    return pa.table(columns)


def matched(case):
    listed = [(*frame, "empty") for frame in case["empty"]] + [(*frame, "excluded") for frame in case["excluded"]]
    keyframes = pa.table(
        {
            "video_id": pa.array([each[0] for each in listed], pa.string()),
            "timestamp": pa.array([each[1] for each in listed], pa.float64()),
            "status": pa.array([each[2] for each in listed], pa.string()),
        }
    )
    return match(
        table(case["truth"], "person_id"),
        table(case["detections"], "score"),
        class_ids=CLASSES,
        keyframes=keyframes,
        protocol=case["protocol"],
        cap=case["cap"],
    )


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_every_protocol(protocol, data):
    case = data.draw(cases(protocol))
    result = score_matching(matched(case), case["iou"])
    expected = reference.evaluate(**case, class_ids=CLASSES)
    assert result.ap.tolist() == pytest.approx(list(expected.values()), abs=1e-12, nan_ok=True)


@st.composite
def crowds(draw):
    """Frames far above the cap, with most scores tied."""
    upright = st.tuples(coordinates, coordinates, coordinates, coordinates).map(lambda box: box_of(box, False))
    shapes = st.sampled_from(draw(st.lists(upright, min_size=2, max_size=6)))
    few = st.sampled_from(FRAMES[:2])
    found = st.tuples(few, class_ids, shapes, st.sampled_from([0.1, 0.2, 0.3]))
    truth = st.tuples(few, class_ids, shapes, st.none())
    return {
        "truth": draw(st.lists(truth, min_size=1, max_size=8)),
        "detections": draw(st.lists(found, min_size=10, max_size=40)),
        "protocol": "official",
        "empty": [],
        "excluded": [],
        "cap": draw(st.integers(1, 12)),
        "iou": 0.3,
    }


# Neighbours overlap a box between them alike: which is claimed depends on the order of the ground truth alone.
steps = st.integers(0, 6).map(lambda step: (step / 8, 0.0, step / 8 + 0.5, 1.0))
one_frame = st.just(FRAMES[0])


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
@settings(max_examples=100, deadline=None)
@given(
    truth=st.lists(st.tuples(one_frame, st.just(3), steps, st.sampled_from([None, None, 0.0])), min_size=2, max_size=6),
    found=st.lists(st.tuples(one_frame, st.just(3), steps, scores), min_size=2, max_size=6),
)
def test_equal_overlaps(protocol, truth, found):
    case = {
        "truth": truth,
        "detections": found,
        "protocol": protocol,
        "empty": [],
        "excluded": [],
        "cap": 0,
        "iou": 0.3,
    }
    expected = reference.evaluate(**case, class_ids=CLASSES)
    assert score_matching(matched(case), 0.3).ap.tolist() == pytest.approx(list(expected.values()), nan_ok=True)
