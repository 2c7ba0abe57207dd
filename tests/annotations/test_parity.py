"""The tables of the real sample equal those of MMAction2's AVADataset (parity/mmaction2/dataset_eval.json)."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.annotations.ava import import_ava
from pipeline.boxes.importing import import_boxes
from pipeline.tables.keyframes import group_keyframes
from pipeline.tables.select_boxes import BoxRule

CASES = (
    "excluded, thr 0.9",
    "no exclusion, thr 0.9",
    "no exclusion, thr 0.99 (falls back to the best box)",
    "no exclusion, thr 0",
)


@pytest.mark.parametrize("name", CASES)
def test_keyframes_labels_and_proposals_are_upstreams(tmp_path: Path, real: Path, fixtures: Path, name: str) -> None:
    cases = json.loads((fixtures / "parity/mmaction2/dataset_eval.json").read_text())["ava_dataset_sample"]
    case = next(case for case in cases if case["case"] == name)
    sample = real / "ava_dataset"
    source = tmp_path / "annotations"
    source.mkdir()
    shutil.copy(sample / "ava_sample.csv", source / "train.csv")
    shutil.copy(real / "label_maps/ava_action_list_v2.1_for_activitynet_2018.pbtxt", source / "labelmap.pbtxt")
    if "exclude_file" in case["kwargs"]:
        shutil.copy(sample / case["kwargs"]["exclude_file"], source / "excluded_train.csv")
    (tmp_path / "proposals").mkdir()
    shutil.copy(sample / "ava_proposals_sample.pkl", tmp_path / "proposals")

    found = import_ava(source, classes=80)
    boxes = import_boxes(tmp_path / "proposals", found.timelines, min_score=0.0)
    assert found.problems == boxes.problems == []
    grouped = group_keyframes(
        found.annotations,
        found.keyframes,
        boxes.boxes,
        split="train",
        classes=80,
        rule=BoxRule(case["kwargs"].get("person_det_score_thr", 0.9), lower=True),
    )
    assert len(grouped) == len(case["items"])
    for each, expected in zip(grouped, case["items"], strict=True):
        assert (each.keyframe.video_id, each.keyframe.timestamp) == (expected["video_id"], expected["timestamp"])
        assert each.ground_truth_xyxy.tolist() == expected["gt_bboxes"]
        labels = [(np.flatnonzero(row) + 1).tolist() for row in each.labels]
        assert labels == expected["gt_positive_labels"]
        proposals = list(zip(each.scores.tolist(), each.proposals_xyxy.tolist(), strict=True))
        theirs = list(zip(expected["scores"], expected["proposals"], strict=True))
        assert proposals == sorted(theirs, reverse=True)
