"""The evaluator against results of the official code and of its copies."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.base.errors import InputError
from pipeline.evaluation.ava_csv import keyframes_table, read_detections, read_ground_truth, read_keyframe_list
from pipeline.evaluation.ava_map import evaluate, match, score_matching
from pipeline.evaluation.protocols import PROTOCOLS
from pipeline.tables.label_map import AVA_EVALUATED, read_label_map

FOLDER = Path(__file__).parents[1] / "fixtures" / "parity" / "ava_eval"
CASES = sorted(path.parent.name for path in FOLDER.glob("*/expected.json"))
EVALUATED = [label.id for label in AVA_EVALUATED]
CLASSES = {"60": EVALUATED, "80": list(range(1, 81))}


def load(case: str):
    folder = FOLDER / case
    truth, detections = read_ground_truth(folder / "gt.csv"), read_detections(folder / "det.csv")
    lists = {"empty": truth.keyframes}
    if (folder / "excluded.csv").exists():
        lists["excluded"] = read_keyframe_list(folder / "excluded.csv")
    return (
        truth.boxes,
        detections.boxes,
        keyframes_table(**lists),
        json.loads((folder / "expected.json").read_text()),
    )


def assert_ap(result, expected: dict, ties: dict | None = None) -> None:
    """Equal AP and mAP; where scores tie, those of the pessimistic order."""
    ties = ties or {}
    for class_id, ap in zip(result.class_ids, result.ap, strict=True):
        wanted = expected["ap"][str(class_id)]
        wanted = ties.get("ap_range", {}).get(str(class_id), [wanted])[0]
        assert ap == pytest.approx(math.nan if wanted is None else wanted, abs=1e-9, nan_ok=True), class_id
    assert result.map == pytest.approx(ties.get("map_pessimistic", expected["map"]), abs=1e-9)


def test_cases_are_there():
    assert len(CASES) == 10


@pytest.mark.parametrize("classes", ["60", "80"])
@pytest.mark.parametrize("case", CASES)
def test_official(case, classes):
    truth, detections, keyframes, expected = load(case)
    result = evaluate(truth, detections, keyframes=keyframes, class_ids=CLASSES[classes])
    wanted = expected["official"][classes]
    assert_ap(result, wanted, expected.get("ties", {}).get(classes))
    for name, values in (
        ("num_gt", result.num_gt),
        ("num_detections_kept", result.num_detections),
        ("num_true_positives", result.num_true_positives),
    ):
        assert {str(c): int(v) for c, v in zip(result.class_ids, values, strict=True)} == wanted[name]


@pytest.mark.parametrize("case", CASES)
def test_official_groups(case):
    truth, detections, keyframes, expected = load(case)
    if expected["scores_tie"]:
        pytest.skip("the groups' values are not pessimistic")
    result = evaluate(truth, detections, keyframes=keyframes, class_ids=EVALUATED)
    groups = {label.id: label.group.upper() for label in AVA_EVALUATED}
    for group, wanted in expected["group_map_60"].items():
        members = [ap for c, ap in zip(result.class_ids, result.ap, strict=True) if groups[int(c)] == group]
        assert np.nanmean(members) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("classes", ["60", "80"])
@pytest.mark.parametrize("case", CASES)
def test_official_without_cap(case, classes):
    truth, detections, keyframes, expected = load(case)
    result = evaluate(truth, detections, keyframes=keyframes, class_ids=CLASSES[classes], cap=0)
    wanted = expected["without_cap"][classes]
    assert_ap(result, wanted, expected.get("ties", {}).get(f"without_cap_{classes}"))
    if "num_detections_kept" in wanted:
        kept = {str(c): int(v) for c, v in zip(result.class_ids, result.num_detections, strict=True)}
        assert kept == wanted["num_detections_kept"]


@pytest.mark.parametrize("iou", [0.3, 0.75])
@pytest.mark.parametrize("case", CASES)
def test_official_other_iou(case, iou):
    truth, detections, keyframes, expected = load(case)
    matching = match(truth, detections, keyframes=keyframes, class_ids=EVALUATED)
    result = score_matching(matching, iou)
    assert_ap(result, expected["other_iou_60"][str(iou)], expected.get("ties", {}).get(f"iou_{iou}"))


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name != "official"])
@pytest.mark.parametrize("case", CASES)
def test_copies(case, protocol):
    truth, detections, keyframes, expected = load(case)
    wanted = expected["copies_60"][protocol]
    if wanted.get("error") == "ValueError" and "map" not in wanted:
        with pytest.raises(InputError, match=rf"found a fraction .* which protocol {protocol} reads"):
            evaluate(truth, detections, keyframes=keyframes, class_ids=EVALUATED, protocol=protocol)
        return
    if wanted.get("error") == "ValueError":
        with pytest.raises(InputError, match=r"^detections: j_cCNHzeN9Q,923: box is 0.5,0.1,0.1,0.5, expected x1 <="):
            evaluate(truth, detections, keyframes=keyframes, class_ids=EVALUATED, protocol=protocol)
        detections = detections.filter(pc.less_equal(detections["x1"], detections["x2"]))
    result = evaluate(truth, detections, keyframes=keyframes, class_ids=EVALUATED, protocol=protocol)
    if expected["scores_tie"]:
        # The copies' own value lies between the orders of tied rows; ours is the lowest.
        assert result.map <= wanted["map"] <= expected["ties"]["without_cap_60"]["map_optimistic"]
        if protocol != "pyslowfast":  # whose true positives depend on the order of the file
            assert result.map == pytest.approx(expected["ties"]["without_cap_60"]["map_pessimistic"], abs=1e-9)
        return
    assert result.map == pytest.approx(wanted["map"], abs=1e-9)
    official = expected["official"]["60"]["ap"]
    for class_id, ap in zip(result.class_ids.tolist(), result.ap, strict=True):
        value = wanted["differs"].get(str(class_id), [None, official[str(class_id)]])[1]
        value = math.nan if value in (None, "absent") else value
        assert ap == pytest.approx(value, abs=1e-6, nan_ok=True), class_id


def test_mmaction2_on_its_own_sample(real, fixtures):
    expected = json.loads((fixtures / "parity" / "mmaction2" / "dataset_eval.json").read_text())["ava_eval"]
    folder = real / "eval_detection"
    truth, detections = read_ground_truth(folder / "gt.csv"), read_detections(folder / "pred.csv")
    class_ids = [label.id for label in read_label_map(folder / "action_list.txt")]
    for case, chosen in (expected[0], class_ids), (expected[2], [2]):
        result = evaluate(truth.boxes, detections.boxes, class_ids=chosen, protocol="mmaction2_1x")
        assert result.map == pytest.approx(case["result"]["overall"], abs=1e-9)
        assert [f"AP: {ap:.4f}" for ap in result.ap] == [line[-11:-1] for line in case["per_class"]]


@pytest.mark.parametrize("case", ["no exclusion", "with exclude file", "custom classes [1,20]"])
def test_mmaction2_on_synthetic_data(case, fixtures, tmp_path):
    data = json.loads((fixtures / "parity" / "mmaction2" / "dataset_eval.json").read_text())["ava_eval_synthetic"]
    expected = next(each for each in data["cases"] if each["case"] == case)["result"]
    for name in ("gt_csv", "pred_csv", "exclude_csv"):
        (tmp_path / name).write_text(data[name])
    keyframes = (
        None if case == "no exclusion" else keyframes_table(excluded=read_keyframe_list(tmp_path / "exclude_csv"))
    )
    class_ids = [1, 20] if "custom" in case else [class_id for class_id, _ in data["label_map"]]
    truth, detections = read_ground_truth(tmp_path / "gt_csv"), read_detections(tmp_path / "pred_csv")
    result = evaluate(truth.boxes, detections.boxes, keyframes=keyframes, class_ids=class_ids, protocol="mmaction2_1x")
    assert result.map == pytest.approx(expected["overall"], abs=1e-9)
    movement = [ap for class_id, ap in zip(result.class_ids, result.ap, strict=True) if class_id < 15]
    assert np.nanmean(movement) == pytest.approx(expected["person_movement"], abs=1e-9)


def boxes(rows: list[tuple], last: str) -> pa.Table:
    names = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id", last]
    kinds = [pa.string(), *[pa.float64()] * 5, pa.int32(), pa.float64()]
    columns = list(zip(*rows, strict=True)) or [()] * 8
    return pa.table([pa.array(list(column), kind) for column, kind in zip(columns, kinds, strict=True)], names)


BOX = (0.1, 0.1, 0.5, 0.5)


def test_nothing_to_find_is_undefined_and_nothing_found_is_zero():
    truth = boxes([("a", 902, *BOX, 1, 0)], "person_id")
    nothing = evaluate(truth.slice(0, 0), boxes([], "score"), class_ids=[1])
    assert math.isnan(nothing.map)
    assert evaluate(truth, boxes([], "score"), class_ids=[1]).map == 0.0
    assert math.isnan(evaluate(truth, boxes([], "score"), class_ids=[1], protocol="mmaction2_1x").map)


def test_refusals():
    truth, found = (
        boxes([("a", 902, *BOX, 1, 0)], "person_id"),
        boxes([("a", 902, *BOX, 1, math.nan)], "score"),
    )
    with pytest.raises(InputError, match=r"^detections: row 1: score is not a number$"):
        evaluate(truth, found, class_ids=[1])
    with pytest.raises(InputError, match=r"^classes to be scored are \[\], expected ids from 1 on$"):
        evaluate(truth, found, class_ids=[])
    with pytest.raises(
        InputError, match=r"^protocol is 'coco', expected one of official, mmaction2_1x, mmaction2_0x, "
    ):
        evaluate(truth, found, class_ids=[1], protocol="coco")
