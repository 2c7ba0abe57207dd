"""The tests of `explain_rows` compare with what heads got; here what they cannot reach."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from pipeline.bank.reader import open_bank
from pipeline.features.windows import WindowOptions, WindowSource, window_source
from pipeline.models.attention import Looker
from pipeline.predict.past_windows import PastWindows
from pipeline.predict.seen_places import EMPTY, OBJECT, ROW, object_boxes_seen, scene_of
from pipeline.scoring.detections import ScoredKeyframe
from pipeline.tables.keyframes import Keyframe, KeyframeBoxes, pack_keyframes
from tests.bank.banks import make_rows, write_small_bank
from tests.windows import window_of

NOBODY = (np.empty((0, 4)), np.empty((0, 3), bool), np.empty((0, 4)), np.empty(0))


def test_what_comes_after_the_keyframe_is_empty_for_a_camera(tmp_path: Path) -> None:
    bank = open_bank(write_small_bank(tmp_path / "val.zarr", {"v": make_rows({0.0: 1, 1.0: 1, 2.0: 1})}))
    whole = window_source([bank], window_of(3, 1), device=torch.device("cpu"), options=WindowOptions("streamed"))
    past = WindowSource(PastWindows(whole.windows, 1), whole.window, banks=whole.banks)
    scored = [ScoredKeyframe(Keyframe("v", 1.0, 5.0), np.empty((0, 4)), np.empty((0, 3), np.float32))]
    kinds, times = [], []
    for source in (whole, past):
        seen = scene_of(scored, source, None).seen_by(Looker("M", 1))
        kinds.append(seen.kind.tolist())
        times.append(seen.time_seconds.tolist())
    assert kinds == [[[ROW, ROW, ROW]], [[ROW, ROW, EMPTY]]]
    assert times[0] == [[4.0, 5.0, 6.0]]
    assert times[1][0][:2] == [4.0, 5.0]
    later = scene_of(scored, whole, None).seen_by(Looker("future", 1, first_slot=1))
    assert later.time_seconds.tolist() == [[5.0, 6.0]]


def test_objects_that_go_with_clips() -> None:
    objects = np.array([[0.1, 0.2, 0.3, 0.4], [np.nan] * 4])
    somebody = (*NOBODY[:2], np.array([[0.1, 0.1, 0.9, 0.9]]), np.ones(1))
    keyframes = pack_keyframes(
        [KeyframeBoxes(Keyframe("v", at, at - 0.5), *boxes) for at, boxes in ((0.5, NOBODY), (1.0, somebody))]
    )
    seen = object_boxes_seen(replace(keyframes, objects_xyxy=np.stack([objects[::-1], objects])))
    assert seen is not None
    assert seen.kind.tolist() == [[OBJECT, EMPTY]]
    assert seen.boxes_xyxy[0, 0].tolist() == objects[0].tolist()
    assert seen.time_seconds[0, 0] == 0.5
    assert object_boxes_seen(keyframes) is None
