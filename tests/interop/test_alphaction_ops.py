import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base.errors import InputError
from pipeline.interop.alphaction_ops import check_operations, is_operations
from pipeline.interop.compare_fixture import ParityReport
from tests.interop.made_alphaction import FOLDER


def checked(folder: Path, change: Callable[[Any, dict[str, Any]], None]) -> ParityReport:
    facts = json.loads((FOLDER / "ops.json").read_text())
    with np.load(FOLDER / "ops.npz") as archive:
        arrays = dict(archive)
    change(facts, arrays)
    np.savez(folder / "ops.npz", **arrays)
    return check_operations(folder / "ops.json", facts)


def test_the_shipped_fixture_passes() -> None:
    facts = json.loads((FOLDER / "ops.json").read_text())
    assert is_operations(facts)
    assert not is_operations({"boxes": 1})
    report = check_operations(FOLDER / "ops.json", facts)
    assert report.passed
    assert (report.parameters, report.buffers) == (None, None)
    assert {each.tensor.split("/")[0] for each in report.differences} == {
        "roi_align", "losses", "softmax_focal", "sigmoid_focal", "sigmoid_focal_alpha25", "boxes", "object_top5",
        "resize", "frames0", "frames1", "frames2", "frames3", "frames4", "lr", "memory_penalty_read",
        "memory_eval_read",
    }  # fmt: skip


def test_every_number_is_compared(tmp_path: Path) -> None:
    def change(facts: Any, arrays: dict[str, Any]) -> None:
        for name in ("roi_align", "softmax_focal", "sigmoid_focal", "sigmoid_focal_alpha25", "memory_eval_read"):
            arrays[name] = arrays[name] + 0.01
        for name in ("extend_0p1_0p05", "clip_remove_empty", "flip_lr", "to_xywh", "resize_192_100"):
            facts["boxes"][name][0][0] += 0.1
        facts["object_top5"]["kept_in_this_order"].reverse()
        facts["resize"]["(360, 640)"] = [456, 256]
        facts["frame_indices"][2]["slow"][1] += 1
        facts["frame_indices"][3]["fast"][0] += 1
        facts["lr"]["ia_steps"]["70000"] *= 1.01
        facts["losses"]["total"] *= 1.01

    report = checked(tmp_path, change)
    assert {each.tensor for each in report.differences if not each.within} == {
        "roi_align", "roi_align/deterministic", "softmax_focal", "sigmoid_focal", "sigmoid_focal_alpha25",
        "memory_eval_read", "boxes/extend_0p1_0p05", "boxes/clip_remove_empty", "boxes/flip_lr", "boxes/to_xywh",
        "boxes/resize_192_100", "object_top5", "resize/(360, 640)", "frames2/slow", "frames3/fast", "lr/ia_steps",
        "losses/total",
    }  # fmt: skip


def test_other_inputs_than_the_shipped_ones_are_computed_from_what_the_fixture_says(tmp_path: Path) -> None:
    def change(facts: Any, arrays: dict[str, Any]) -> None:
        random = np.random.RandomState(9)
        facts["roi_align"] |= {
            "input": "RandomState(9).standard_normal((1,2,1,6,5))", "spatial_scale": 0.125, "output": [1, 1],
            "rois": [[0, 0, 0, 7.9, 7.9]],
        }  # fmt: skip
        # One sample in the middle of the first two by two cells: their mean.
        arrays["roi_align"] = random.standard_normal((1, 2, 1, 6, 5))[:, :, :, :2, :2].mean(axis=(3, 4), keepdims=True)
        facts["roi_align"]["rois"] = [[0, 0, 0, 8, 8]]
        facts["boxes"] = {"image_wh": [50, 40], "xyxy": [[10, 10, 19, 29]], "extend_0_1": [[10, 0, 19, 39]]}
        facts["resize"] = {"(128, 400)": [300, 96], "(100, 128)": [163, 128]}
        facts["resize_note"] = "short side 128, long side capped at 300"
        facts["object_top5"] = {"scores": [0.1, 0.3, 0.2], "kept_in_this_order": [0, 2, 1]}
        facts["frame_indices"] = [
            {"raw_frames": 4, "frame_num": 8, "rate": 1, "tau": 4, "alpha": 2, "slow": [0, 3], "fast": [0, 0, 2, 3]}
        ]

    report = checked(tmp_path, change)
    assert [each.tensor for each in report.differences if not each.within] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda facts, arrays: facts.update(nms=[]), "operation nms is not known here"),
        (lambda facts, arrays: arrays.update(nms=np.zeros(2)), "tensor nms is not known here"),
        (lambda facts, arrays: facts["boxes"].update(crop=[]), "boxes.crop is not known here"),
        (lambda facts, arrays: facts["roi_align"].update(input="ones"),
         "roi_align.input is 'ones', expected RandomState(N).standard_normal((...))"),
        (lambda facts, arrays: facts["roi_align"].update(sampling_ratio=2),
         "roi_align: expected a square output, sampling_ratio 0 and a whole stride"),
        (lambda facts, arrays: facts.update(resize_note=""),
         "resize_note: expected 'short side N, long side capped at N'"),
        (lambda facts, arrays: arrays.pop("memory_eval_read"),
         "not a whole fixture: KeyError 'memory_eval_read'"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(f'{tmp_path}/ops.json: {message}')}"):
        checked(tmp_path, change)
