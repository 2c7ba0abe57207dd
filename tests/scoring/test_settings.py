from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.models.context import BankWindow
from pipeline.scoring.settings import ScoreSettings
from pipeline.tables.keyframes import Keyframe, KeyframeBoxes

NOBODY = (np.empty((0, 4)), np.empty((0, 3), bool), np.empty((0, 4)), np.empty(0))
KEYFRAMES = [KeyframeBoxes(Keyframe("a", 900.0, 0.0), *NOBODY), KeyframeBoxes(Keyframe("b", 903.5, 3.5), *NOBODY)]
CLIPS = torch.tensor([0, 1, 1])


def test_windows_are_asked_for_by_keyframe_and_come_to_the_device() -> None:
    asked: list[object] = []

    def window_of(video_ids: Sequence[str], timestamps: NDArray[np.float64], clip_index: torch.Tensor) -> BankWindow:
        asked.extend([video_ids, timestamps.tolist(), clip_index])
        return BankWindow(torch.zeros(2, 5, 4), torch.zeros(2, 5, dtype=torch.bool), clip_index)

    window = ScoreSettings(torch.device("meta"), "fp32", window_of).windows(KEYFRAMES, CLIPS)
    assert asked == [["a", "b"], [900.0, 903.5], CLIPS]
    assert window is not None
    assert {each.device.type for each in (window.rows, window.mask, window.owner)} == {"meta"}


def test_a_head_without_a_bank_gets_no_window() -> None:
    assert ScoreSettings(torch.device("cpu"), "fp32").windows(KEYFRAMES, CLIPS) is None
