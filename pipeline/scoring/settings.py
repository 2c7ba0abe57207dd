"""Settings for scoring keyframes, whether from stored rows or from frames."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.models.context import BankWindow, WindowOf
from pipeline.tables.keyframes import KeyframeBoxes


@dataclass(frozen=True)
class ScoreSettings:
    """Settings of scoring, besides the model and the keyframes."""

    device: torch.device
    "Device of the model."
    compute_dtype: str
    "fp32, tf32 or bf16."
    window_of: WindowOf | None = None
    "Windows of the bank; None for a head that reads none."
    scores_of: Callable[[Tensor], Tensor] = torch.sigmoid
    "Logits [R, columns] to scores [R, classes], e.g. `action_scores` of a kind of labels."

    def windows(self, keyframes: Sequence[KeyframeBoxes], clip_index: Tensor) -> BankWindow | None:
        """Make the windows of a batch of keyframes, on the device; `clip_index` [R] is the keyframe of each person."""
        if self.window_of is None:
            return None
        video_ids = [each.keyframe.video_id for each in keyframes]
        timestamps = np.array([each.keyframe.timestamp for each in keyframes])
        return self.window_of(video_ids, timestamps, clip_index).to(self.device)
