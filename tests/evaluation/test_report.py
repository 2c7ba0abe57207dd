"""What `evaluate` writes."""

import csv
import json
import shutil
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.base.errors import InputError
from pipeline.base.files import digest_tree
from pipeline.evaluation.ava_map import evaluate
from pipeline.evaluation.multisports.metric import evaluate_multisports
from pipeline.evaluation.multisports.video_ap import TUBE_IOUS
from pipeline.evaluation.report import write_report
from pipeline.evaluation.settings import EvaluationSettings
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import ANNOTATIONS, DETECTIONS, KEYFRAMES

LABELS = [Label(7, "wave", "momentary"), Label(2, "sit, or kneel", "momentary"), Label(9, "sit", "order")]
LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)


def table(schema: pa.Schema, rows: list[tuple]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)


ANNOTATED = table(
    ANNOTATIONS,
    [
        ("a", 902.0, 2.0, *LEFT, 7, 0),
        ("a", 902.0, 2.0, *RIGHT, 2, 1),
        ("b", 903.0, 3.0, *LEFT, 7, 0),
        ("b", 904.0, 4.0, *LEFT, 7, None),
    ],
)
FRAMES = table(
    KEYFRAMES,
    [
        ("a", 902.0, 2.0, "val", "annotated"),
        ("a", 903.0, 3.0, "val", "empty"),
        ("b", 903.0, 3.0, "val", "annotated"),
        ("b", 904.0, 4.0, "val", "excluded"),
    ],
)
FOUND = table(
    DETECTIONS,
    [
        ("a", 902.0, 2.0, *LEFT, 7, 0.9),
        ("a", 903.0, 3.0, *LEFT, 7, 0.8),
        ("b", 903.0, 3.0, *LEFT, 7, 0.7),
        ("b", 904.0, 4.0, *LEFT, 7, 0.95),
        ("a", 902.0, 2.0, *LEFT, 2, 0.6),
    ],
)
PERFECT = table(
    DETECTIONS,
    [(*row[:7], row[7], 0.5) for row in ([*each.values()] for each in ANNOTATED.to_pylist())],
)


def report(folder, **changes):
    arguments = {
        "annotations": ANNOTATED,
        "keyframes": FRAMES,
        "detections": {"detected": FOUND, "ground_truth": PERFECT},
        "labels": LABELS,
        "extra": {"checkpoint": "abc", "bank": {"rows": 3}},
    }
    settings: dict[str, Any] = {
        "metric": "ava", "boxes": "detected", "protocol": "official", "iou": 0.5, "more_ious": [0.75, 0.3, 0.5],
        "cap": 50, "decode": "all", "box_threshold": 0.0, "lower_threshold": False, "action_threshold": 0.0,
        "classes": "labelmap", "compute_dtype": "fp32",
    }  # fmt: skip
    given = {key: changes.pop(key) for key in [*changes] if key in settings}
    return write_report(folder, settings=EvaluationSettings(**settings | given), **(arguments | changes))


def rows_of(path) -> list[dict]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_metrics(tmp_path):
    report(tmp_path)
    found = json.loads((tmp_path / "metrics.json").read_text())
    # Class 7: true, false (an empty keyframe), true; the excluded keyframe counts for nothing. Class 2: missed.
    wave = (1 + 2 / 3) / 2
    assert found == {
        "map": wave / 2,
        "boxes": "detected",
        "protocol": "official",
        "iou": 0.5,
        "cap": 50,
        "counts": {
            "videos": 2,
            "keyframes": 3,
            "excluded_keyframes": 1,
            "examples": 3,
            "classes": 3,
            "classes_with_examples": 2,
        },
        "detected": {
            "map": wave / 2,
            "official_map": wave / 2,
            "groups": {"momentary": wave / 2, "order": None},
            "ious": {"iou_30": wave / 2, "iou_50": wave / 2, "iou_75": wave / 2},
            "num_detections": 4,
            "num_true_positives": 2,
        },
        "ground_truth": {
            "map": 1.0,
            "official_map": 1.0,
            "groups": {"momentary": 1.0, "order": None},
            "ious": {"iou_30": 1.0, "iou_50": 1.0, "iou_75": 1.0},
            "num_detections": 3,
            "num_true_positives": 3,
        },
        "checkpoint": "abc",
        "bank": {"rows": 3},
    }


def test_tables(tmp_path):
    report(tmp_path)
    assert (tmp_path / "per_class.csv").read_text() == (
        "id,class,group,examples,ap_detected,ap_ground_truth\n"
        '2,"sit, or kneel",momentary,1,0.0,1.0\n'
        "7,wave,momentary,2,0.8333333333333333,1.0\n"
        "9,sit,order,0,,\n"
    )
    assert [row["iou"] for row in rows_of(tmp_path / "per_iou.csv")] == ["0.3", "0.5", "0.75"]
    curves = rows_of(tmp_path / "pr_curves.csv")
    assert list(curves[0]) == ["recall", "mean", "sit, or kneel", "wave"]
    assert len(curves) == 101
    at = {row["recall"]: row for row in curves}
    assert [at[recall]["wave"] for recall in ("0.0", "0.5", "0.51", "1.0")] == [
        "1.0",
        "1.0",
        "0.6666666666666666",
        "0.6666666666666666",
    ]
    assert at["0.5"]["mean"] == "0.5"
    assert {row["sit, or kneel"] for row in curves} == {"0.0"}


def test_classes_of_one_name_have_columns_of_their_own(tmp_path):
    labels = [Label(2, "mean", "g"), Label(7, "mean", "g"), Label(9, "x", "g")]
    report(tmp_path, labels=labels)
    assert list(rows_of(tmp_path / "pr_curves.csv")[0]) == ["recall", "mean", "mean (2)", "mean (7)"]


def test_the_same_bytes_twice(tmp_path):
    report(tmp_path / "one")
    shuffled = {"extra": {"bank": {"rows": 3}, "checkpoint": "abc"}, "labels": LABELS[::-1]}
    report(tmp_path / "two", **shuffled)
    assert digest_tree(tmp_path / "one") == digest_tree(tmp_path / "two")
    shutil.rmtree(tmp_path / "two")
    report(tmp_path / "two", boxes="ground_truth")
    assert digest_tree(tmp_path / "one") != digest_tree(tmp_path / "two")


def test_no_detections(tmp_path):
    metrics = report(tmp_path, detections={"detected": FOUND.slice(0, 0), "ground_truth": PERFECT})
    assert metrics["map"] == 0.0
    assert rows_of(tmp_path / "per_class.csv")[1]["ap_detected"] == "0.0"


def test_no_ground_truth(tmp_path):
    report(tmp_path, annotations=ANNOTATED.slice(0, 0), keyframes=FRAMES.slice(0, 0))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["map"] is None
    assert metrics["detected"]["groups"] == {"momentary": None, "order": None}
    assert metrics["counts"]["keyframes"] == 0
    assert list(rows_of(tmp_path / "pr_curves.csv")[0]) == ["recall", "mean"]


def test_another_protocol_has_the_official_value_beside_it(tmp_path):
    metrics = report(tmp_path, protocol="mmaction2_1x")
    # Two of class 7's three boxes are found: the third is in the excluded keyframe and counts as missed there.
    # The empty keyframe is skipped, so nothing is false.
    assert metrics["map"] == pytest.approx((2 / 3 + 0) / 2)
    assert metrics["detected"]["official_map"] == evaluate(ANNOTATED, FOUND, class_ids=[2, 7, 9], keyframes=FRAMES).map
    assert metrics["counts"]["examples"] == 4


def test_extra_entries_replace_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"extra entries \['map'\] are the report's own"):
        report(tmp_path, extra={"map": 1})


SPORTS = [Label(1, "football pass", "football"), Label(2, "football shoot", "football"), Label(3, "x", "basketball")]
SPORTS.append(Label(4, "basketball save", "basketball"))
FILM = [
    ("a", float(at), 0.0, *box, action, person)
    for at in range(20)
    for box, action, person in ((LEFT, 1, 0), (RIGHT, 2, 1), (RIGHT, 4, 2))
]
LINKED = table(
    DETECTIONS,
    [(*row[:7], row[7], 0.5 + row[1] / 100) for row in FILM if row[1] < 16]
    + [("a", float(at), 0.0, *LEFT, 2, 0.9) for at in range(16)],
)


def multisports(folder, **changes):
    arguments = {
        "annotations": table(ANNOTATIONS, FILM),
        "keyframes": table(KEYFRAMES, [("a", float(at), 0.0, "val", "annotated") for at in range(20)]),
        "detections": {"detected": LINKED, "ground_truth": LINKED.filter(pc.less(LINKED["score"], 0.9))},
        "labels": SPORTS,
        "metric": "multisports",
    }
    return report(folder, **(arguments | changes))


def test_multisports_has_frame_map_as_headline_and_video_map_beside_it(tmp_path):
    multisports(tmp_path)
    found = json.loads((tmp_path / "metrics.json").read_text())
    # Class 1: 16 of 20 frames, one tube of 15 / 19 of the time (0.789: found at 0.1 to 0.7, and at 0.5 to 0.75).
    # Class 2: the same, and as many wrong ones before them.
    video = {"0.2": 0.75, "0.5": 0.75, "0.05:0.45": 0.75, "0.10:0.90": 0.75 * 7 / 9, "0.50:0.95": 0.75 * 6 / 10}
    assert found == {
        "map": pytest.approx((0.8 + 0.4) / 2),
        "video_map": pytest.approx(video),
        "metric": "multisports",
        "boxes": "detected",
        "protocol": "official",
        "iou": 0.5,
        "counts": {
            "videos": 1,
            "keyframes": 20,
            "excluded_keyframes": 0,
            "examples": 40,
            "classes": 3,
            "classes_with_examples": 2,
            "tubes": 2,
        },
        "detected": {
            "map": pytest.approx(0.6),
            "video_map": pytest.approx(video),
            "num_tubes": 3,
            "groups": {"football": pytest.approx(0.6), "basketball": None},
            "ious": pytest.approx({"iou_30": 0.6, "iou_50": 0.6, "iou_75": 0.6}),
            "num_detections": 48,
            "num_true_positives": 32,
        },
        "ground_truth": {
            "map": pytest.approx(0.8),
            "video_map": pytest.approx({name: value / 0.75 for name, value in video.items()}),
            "num_tubes": 2,
            "groups": {"football": pytest.approx(0.8), "basketball": None},
            "ious": pytest.approx({"iou_30": 0.8, "iou_50": 0.8, "iou_75": 0.8}),
            "num_detections": 32,
            "num_true_positives": 32,
        },
        "checkpoint": "abc",
        "bank": {"rows": 3},
    }


def test_the_table_of_classes_has_their_tubes(tmp_path):
    multisports(tmp_path)
    rows = rows_of(tmp_path / "per_class.csv")
    kinds = ("detected", "ground_truth")
    assert list(rows[0]) == [
        *("id", "class", "group", "examples", "ap_detected", "ap_ground_truth", "tubes"),
        *(f"video_ap_{name}_{kind}" for kind in kinds for name in TUBE_IOUS),
    ]
    assert [row["class"] for row in rows] == ["football pass", "football shoot", "x"]
    assert [row["tubes"] for row in rows] == ["1", "1", "0"]
    assert [row["video_ap_0.5_detected"] for row in rows] == ["1.0", "0.5", ""]
    assert [row["video_ap_0.5_ground_truth"] for row in rows] == ["1.0", "1.0", ""]


def test_the_report_says_what_the_evaluation_gives(tmp_path):
    for protocol in ("official", "mmaction2_1x"):
        metrics = multisports(tmp_path, protocol=protocol)
        arguments = table(ANNOTATIONS, FILM), table(KEYFRAMES, []), LINKED, SPORTS
        expected = evaluate_multisports(*arguments, protocol=protocol)
        assert (metrics["map"], metrics["video_map"]) == (expected["frame_map"], expected["video_map"])


def test_multisports_knows_two_protocols(tmp_path):
    with pytest.raises(
        InputError, match=r"^protocol of multisports is 'pyslowfast', expected official or mmaction2_1x$"
    ):
        multisports(tmp_path, protocol="pyslowfast")
