"""Settings for scoring keyframes, whether from stored rows or from frames."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.models.context import BankWindow, WindowOf
from pipeline.models.scores import action_scores
from pipeline.models.settings import Labels, LongTermHead
from pipeline.tables.keyframes import KeyframeBoxes
from pipeline.tables.select_boxes import ObjectRule

# A multiple of the values in the widest vector register of a CPU.
BLOCK_ROWS = 16


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

    def scores(self, logits: Tensor) -> Tensor:
        """Return the scores of logits [R, columns], float32.

        Rows are filled up to whole blocks: vector code rounds the last values of a tensor otherwise than those before
        them, so that a person's score would depend on how many persons are scored with it.
        """
        rows = len(logits)
        return self.scores_of(F.pad(logits.float(), (0, 0, 0, -rows % BLOCK_ROWS)))[:rows]

    def windows(self, keyframes: Sequence[KeyframeBoxes], clip_index: Tensor) -> BankWindow | None:
        """Make the windows of a batch of keyframes, on the device; `clip_index` [R] is the keyframe of each person."""
        if self.window_of is None:
            return None
        video_ids = [each.keyframe.video_id for each in keyframes]
        timestamps = np.array([each.keyframe.timestamp for each in keyframes])
        return self.window_of(video_ids, timestamps, clip_index).to(self.device)


def object_rule(head: LongTermHead) -> ObjectRule | None:
    """Return the rule that selects the objects of a keyframe; None for a head that reads none."""
    return ObjectRule(head.objects.per_keyframe, head.objects.score) if head.objects else None


def score_settings(
    labels: Labels, device: torch.device, compute_dtype: str, window_of: WindowOf | None = None
) -> ScoreSettings:
    """Return the settings that score the actions of a kind of labels; arguments as the fields of `ScoreSettings`."""
    return ScoreSettings(device, compute_dtype, window_of, partial(action_scores, kind=labels))
