"""Change between two experiments, and its interval."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.analysis.bootstrap import draw_weights
from pipeline.analysis.compare_results import Experiment, compare_experiments
from pipeline.base.errors import InputError
from pipeline.evaluation.ava_map import match, score_matching
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import ANNOTATIONS, DETECTIONS, KEYFRAMES

LABELS = [Label(1, "sit", "posture"), Label(2, "stand", "posture"), Label(3, "wave", "gesture")]
VIDEOS = [f"v{index}" for index in range(6)]
RULES: dict[str, Any] = {"iou": 0.5, "protocol": "official", "cap": 50, "resamples": 200, "seed": 3}


def experiment(name: str, seed: int, skill: float) -> Experiment:
    """Boxes of three classes in six videos, whose detections score the better the greater the skill."""
    shared = np.random.default_rng(0)
    rng = np.random.default_rng(seed)
    truth, found, frames = [], [], []
    for video in VIDEOS:
        for second in range(902, 922):
            frames.append((video, float(second), second - 900.0, "val", "annotated"))
            left = shared.uniform(0, 0.5)
            box = (left, 0.0, left + 0.4, 1.0)
            action = int(shared.integers(1, 3))  # class 3 never occurs
            truth.append((video, float(second), second - 900.0, *box, action, 0))
            for class_id in (1, 2, 3):
                score = rng.uniform() + skill * (class_id == action)
                found.append((video, float(second), second - 900.0, *box, class_id, score))

    def table(schema: pa.Schema, rows: list[tuple]) -> pa.Table:
        return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)

    return Experiment(name, table(ANNOTATIONS, truth), table(KEYFRAMES, frames), LABELS, table(DETECTIONS, found))


def compared(a: Experiment, b: Experiment, **rules) -> Any:
    return compare_experiments(a, b, **rules)


@pytest.fixture(scope="module")
def pair():
    return experiment("A", 1, 0.1), experiment("B", 2, 0.6)


def test_changes(pair):
    result = compared(*pair, **RULES)
    scored = [
        score_matching(match(each.annotations, each.detections, class_ids=[1, 2, 3], keyframes=each.keyframes), 0.5)
        for each in pair
    ]
    assert result.videos == 6
    assert [each.name for each in result.classes] == ["sit", "stand", "wave"]
    for index, change in enumerate(result.classes[:2]):
        assert change.a == scored[0].ap[index]
        assert change.b == scored[1].ap[index]
        assert change.change == scored[1].ap[index] - scored[0].ap[index]
        assert 0 < change.low < change.change < change.high < 1
    wave = result.classes[2]
    assert (wave.examples, wave.a, wave.b, wave.change, wave.low, wave.high) == (0, None, None, None, None, None)
    assert [(each.name, each.examples) for each in result.groups] == [("posture", 120), ("gesture", 0)]
    assert result.groups[0].change == pytest.approx(np.mean([each.change for each in result.classes[:2]]))
    assert result.overall.change == pytest.approx(result.groups[0].change)


def test_interval_is_that_of_scoring_every_resample(pair):
    """The slow way: build the tables of each resample, and score them."""
    differences = []
    for weights in draw_weights(6, resamples=25, seed=3):
        means = []
        for each in pair:
            parts: dict[str, list[pa.Table]] = {"annotations": [], "detections": []}
            for video, weight in zip(VIDEOS, weights.astype(int), strict=True):
                for copy in range(weight):
                    for key, tables in parts.items():
                        mine = getattr(each, key)
                        mine = mine.filter(pc.equal(mine["video_id"], video))
                        tables.append(mine.set_column(0, "video_id", pa.array([f"{video}_{copy}"] * len(mine))))
            annotations, detections = (pa.concat_tables(tables) for tables in parts.values())
            means.append(score_matching(match(annotations, detections, class_ids=[1, 2, 3]), 0.5).map)
        differences.append(means[1] - means[0])
    result = compared(*pair, **(RULES | {"resamples": 25})).overall
    assert [result.low, result.high] == pytest.approx(np.percentile(differences, [2.5, 97.5]), abs=1e-12)


def test_pairing_and_seed(pair):
    a, b = pair
    same = compared(a, Experiment("C", a.annotations, a.keyframes, LABELS, a.detections), **RULES)
    assert (same.overall.change, same.overall.low, same.overall.high) == (0.0, 0.0, 0.0)
    assert compared(a, b, **RULES) == compared(a, b, **RULES)
    assert compared(a, b, **RULES) != compared(a, b, **(RULES | {"seed": 4}))
    back, there = compared(b, a, **RULES).overall, compared(a, b, **RULES).overall
    assert (back.change, back.low, back.high) == (-there.change, -there.high, -there.low)


def of_first_video(table: pa.Table) -> pa.Table:
    return table.filter(pc.equal(table["video_id"], VIDEOS[0]))


def test_no_interval_without_resamples_or_with_one_video(pair):
    assert compared(*pair, **(RULES | {"resamples": 0})).overall.low is None
    one = [
        Experiment(each.name, of_first_video(each.annotations), of_first_video(each.keyframes), LABELS, each.detections)
        for each in pair
    ]
    result = compared(*one, **RULES)
    assert result.videos == 1
    assert result.overall.low is None
    assert result.overall.change is not None


def test_a_class_that_a_protocol_leaves_out_has_no_change(pair):
    a, b = pair
    without = a.detections.filter(pc.not_equal(a.detections["action_id"], 1))
    a = Experiment("A", a.annotations, a.keyframes, LABELS, without)
    result = compared(a, b, **(RULES | {"protocol": "mmaction2_1x"}))
    sit = result.classes[0]
    assert sit.a is None
    assert sit.b is not None
    assert (sit.change, sit.low, sit.high) == (None, None, None)
    assert compared(a, b, **RULES).classes[0].a == 0.0


def test_other_ground_truth_is_refused(pair):
    a, b = pair
    other = Experiment("B", b.annotations.slice(1), b.keyframes, LABELS, b.detections)
    message = (
        r"^A and B have other annotations \(120 and 119 rows\), expected two experiments on the same ground truth$"
    )
    with pytest.raises(InputError, match=message):
        compared(a, other, **RULES)
    excluded = b.keyframes.set_column(4, KEYFRAMES.field("status"), pa.array(["excluded"] * 120))
    with pytest.raises(InputError, match=r"^A and B have other keyframes \(120 and 120 rows\)"):
        compared(a, Experiment("B", b.annotations, excluded, LABELS, b.detections), **RULES)
    with pytest.raises(InputError, match=r"^A and B have other classes, expected two experiments on the same classes$"):
        compared(a, Experiment("B", b.annotations, b.keyframes, LABELS[:2], b.detections), **RULES)


def test_order_of_rows_is_no_difference(pair):
    a, b = pair
    backwards = b.annotations.take(np.arange(len(b.annotations))[::-1])
    compared(a, Experiment("B", backwards, b.keyframes, LABELS, b.detections), **RULES)
