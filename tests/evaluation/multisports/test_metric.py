"""Films whose frame-mAP and video-mAP are done by hand."""

import math

import pyarrow as pa
import pytest

from pipeline.base.errors import InputError
from pipeline.evaluation.multisports.metric import UNSCORED, evaluate_multisports, scored_classes
from pipeline.evaluation.multisports.video_ap import TUBE_IOUS
from pipeline.tables.label_map import Label
from tests.evaluation.multisports.tables import annotations, detections, keyframes

LABELS = [Label(2, "volleyball spike", "volleyball"), Label(1, "football pass", "football"), Label(3, "x", "x")]
A, B, FAR = (0.0, 0.0, 0.2, 0.5), (0.5, 0.0, 0.7, 0.5), (0.8, 0.6, 0.9, 0.9)


def run(video: str, frames: range, label: int, box: tuple[float, ...], value: float) -> list[tuple]:
    return [(video, frame, label, box, value) for frame in frames]


def score(truth: list[tuple], found: list[tuple], excluded: tuple = (), **options) -> dict:
    named = keyframes([("a", at, "excluded" if at in excluded else "annotated") for at in range(100)])
    return evaluate_multisports(annotations(truth), named, detections(found), LABELS, **options)


def test_what_is_found_as_it_is_has_ap_1() -> None:
    truth = run("a", range(1, 21), 1, A, 0) + run("a", range(1, 21), 1, B, 1) + run("a", range(40, 60), 2, A, 0)
    found = [(*row[:4], 0.5 + 0.01 * row[1]) for row in truth]
    result = score(truth, found)
    assert result["frame_map"] == 1
    assert result["video_map"] == pytest.approx(dict.fromkeys(TUBE_IOUS, 1.0))
    assert list(result["per_class"]) == [1, 2, 3]
    assert {name: result["per_class"][1][name] for name in ("boxes", "tubes", "detected_boxes", "detected_tubes")} == {
        "boxes": 40,
        "tubes": 2,
        "detected_boxes": 40,
        "detected_tubes": 2,
    }
    assert math.isnan(result["per_class"][3]["frame_ap"])
    assert math.isnan(result["per_class"][3]["video_ap"]["0.5"])


def test_a_class_without_detections_has_ap_0_and_one_without_truth_none() -> None:
    truth = run("a", range(20), 1, A, 0) + run("a", range(20), 2, B, 0)
    result = score(truth, run("a", range(20), 1, A, 0.5) + run("a", range(20), 3, A, 0.9))
    assert result["frame_map"] == 0.5
    assert result["video_map"]["0.5"] == 0.5
    assert result["per_class"][2]["video_ap"]["0.2"] == 0
    nothing = score([], run("a", range(20), 1, A, 0.5))
    assert math.isnan(nothing["frame_map"])
    assert all(math.isnan(value) for value in nothing["video_map"].values())
    assert score(truth, [])["video_map"]["0.2"] == 0


def test_of_equal_scores_the_wrong_ones_come_first() -> None:
    truth = run("a", range(20), 1, A, 0)
    tied = run("a", range(20), 1, A, 0.5) + run("a", range(40, 60), 1, FAR, 0.5)
    assert score(truth, tied)["video_map"]["0.2"] == 0.5
    assert score(truth, tied)["frame_map"] == pytest.approx(0.5)
    assert score(truth, tied[::-1])["video_map"] == score(truth, tied)["video_map"]


def test_nothing_in_an_excluded_keyframe_counts() -> None:
    truth = run("a", range(0, 20), 1, A, 0)
    found = run("a", range(0, 20), 1, A, 0.5)
    result = score(truth, found, excluded=tuple(range(0, 4)))
    assert result["per_class"][1]["boxes"] == result["per_class"][1]["detected_boxes"] == 16
    assert result["video_map"]["0.5"] == 1
    assert score(truth, found, excluded=(10,))["per_class"][1]["tubes"] == 2


def test_sizes_give_upstreams_pixel_to_the_suppression_alone() -> None:
    side = 64
    near = [(0.0, 0.0, 8 / side, 8 / side), (2 / side, 0.0, 10 / side, 8 / side)]  # 0.6 without, 7 / 11 with the pixel
    truth = run("a", range(20), 1, near[0], 0) + run("a", range(20), 1, near[1], 1) + run("a", range(40, 60), 1, B, 0)
    found = run("a", range(20), 1, near[0], 0.9) + run("a", range(20), 1, near[1], 0.8)
    found += run("a", range(40, 60), 1, FAR, 0.5)
    assert score(truth, found)["video_map"]["0.2"] == pytest.approx(2 / 3)
    # The second box loses 7 / 11 of its score, and a wrong tube goes before it.
    sizes = {"a": (side, side)}
    assert score(truth, found, sizes=sizes)["video_map"]["0.2"] == pytest.approx((1 + 2 / 3) / 3)
    assert score(truth, found, sizes=sizes)["frame_map"] == score(truth, found)["frame_map"]


def test_six_classes_do_not_count() -> None:
    names = [name.replace(" ", "_") if i % 2 else name.title() for i, name in enumerate(UNSCORED)]
    labels = [Label(i + 1, name, "sport") for i, name in enumerate([*names, "aerobic push up", "basketball pass"])]
    assert [label.id for label in scored_classes(labels[::-1])] == [7, 8]


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(InputError, match=r"^detections: row 2: score is not a number$"):
        score(run("a", range(3), 1, A, 0), [("a", 0, 1, A, 0.5), ("a", 1, 1, A, math.nan)])


def test_a_dictionary_encoded_video_id_is_as_good() -> None:
    truth = run("a", range(20), 1, A, 0)
    found = detections(run("a", range(20), 1, A, 0.5))
    coded = found.set_column(0, "video_id", found["video_id"].dictionary_encode())
    chunked = pa.concat_tables([coded.slice(0, 3), coded.slice(3)])
    named = keyframes([("a", at, "annotated") for at in range(20)])
    plain = evaluate_multisports(annotations(truth), named, found, LABELS[1:2])
    assert evaluate_multisports(annotations(truth), named, chunked, LABELS[1:2]) == plain
