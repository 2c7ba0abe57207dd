"""Stored features grouped by keyframe, and heads that score them: no frame is read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.bank.reader import Bank
from pipeline.bank.rows import Rows
from pipeline.datasets.keyframes import KeyframeBoxes
from pipeline.distributed import gather
from pipeline.inference.detections import ScoredKeyframe
from pipeline.inference.windows import WindowOf
from pipeline.models.heads.head import HeadContext
from pipeline.numerics import compute_precision
from pipeline.ranks import share

# Keyframes per call of a head: enough to keep a GPU busy, and flat in memory.
SCORING_BATCH = 256


@dataclass(frozen=True)
class KeyframeRows:
    """Features of K keyframes' boxes: those of keyframe k are rows starts[k] to starts[k + 1]."""

    keyframes: Sequence[KeyframeBoxes]  # K
    starts: NDArray[np.int64]  # [K + 1]
    features: Tensor  # [N, C] as stored
    boxes_xyxy: NDArray[np.float64]  # [N, 4], normalised
    labels: Tensor | None = None  # [N, classes] float32, in training

    def select(self, index: NDArray[np.int64]) -> tuple[NDArray[np.int64], Tensor]:
        """Rows of the keyframes `index`, and for each its place in `index` (the clip index of a batch)."""
        counts = self.starts[index + 1] - self.starts[index]
        ends = np.cumsum(counts)
        within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
        rows = np.repeat(self.starts[index], counts) + within
        return rows, torch.from_numpy(np.repeat(np.arange(len(index)), counts))


def keyframe_rows(
    bank: Bank,
    keyframes: Sequence[KeyframeBoxes],
    choose: Callable[[KeyframeBoxes, Rows, Rows], tuple[Rows, NDArray[np.float32]]],
) -> KeyframeRows:
    """Rows of a bank grouped by keyframe.

    Args:
        bank: any bank, or loose parts.
        keyframes: sorted by video_id; one whose film is not in the bank has no rows.
        choose: gets a keyframe with its detected and its annotated rows, and returns the rows to take and the
            labels of each ([n, classes], or [n, 0] where there are none).
    """
    taken: list[Rows] = []
    labels: list[NDArray[np.float32]] = []
    empty = _no_rows(bank)
    video_id, detected, annotated = None, empty, empty
    for each in keyframes:
        if each.keyframe.video_id != video_id:
            video_id = each.keyframe.video_id
            detected, annotated = (
                bank.rows(video_id, name) if bank.has_rows(video_id, name) else empty
                for name in ("detections", "ground_truth")
            )
        at = each.keyframe.timestamp
        rows, classes = choose(each, _at(detected, at), _at(annotated, at))
        taken.append(rows)
        labels.append(classes)
    features = np.concatenate([empty.features, *(rows.features for rows in taken)])
    width = labels[0].shape[1] if labels else 0
    return KeyframeRows(
        keyframes,
        np.cumsum([0, *(len(rows) for rows in taken)]),
        torch.from_numpy(features),
        np.concatenate([empty.boxes_xyxy, *(rows.boxes_xyxy for rows in taken)]),
        torch.from_numpy(np.concatenate(labels)) if width else None,
    )


def _no_rows(bank: Bank) -> Rows:
    return Rows(np.empty((0, bank.channels), bank.dtype), np.empty(0), np.empty((0, 4)), np.empty(0, np.float32))


def _at(rows: Rows, timestamp: float) -> Rows:
    first, last = np.searchsorted(rows.timestamp, [timestamp, np.nextafter(timestamp, np.inf)])
    return rows.take(np.arange(first, last))


def scoring_rows(
    bank: Bank,
    keyframes: Sequence[KeyframeBoxes],
    row_set: str,
    *,
    box_threshold: float,
    lower_threshold: bool = False,
) -> KeyframeRows:
    """Rows to be scored: `detections` from a score on (see `above`), or all of `ground_truth`."""
    nothing = np.empty((0, 0), np.float32)

    def choose(_: KeyframeBoxes, detected: Rows, annotated: Rows) -> tuple[Rows, NDArray[np.float32]]:
        if row_set == "ground_truth":
            return annotated, nothing
        return above(detected, box_threshold, lower_threshold=lower_threshold), nothing

    return keyframe_rows(bank, keyframes, choose)


def above(rows: Rows, box_threshold: float, *, lower_threshold: bool = False) -> Rows:
    """Rows with a score of at least the threshold, compared in the type that scores are stored in.

    Args:
        rows: rows without scores are all taken.
        box_threshold: least score.
        lower_threshold: where no row reaches it, take those of the best score.
    """
    if rows.score is None:
        return rows
    least = np.float32(box_threshold)
    if lower_threshold and len(rows):
        least = min(least, rows.score.max())
    return rows.take(np.flatnonzero(rows.score >= least))


def score_rows(
    head: nn.Module,
    rows: KeyframeRows,
    window_of: WindowOf | None,
    *,
    device: torch.device,
    compute_dtype: str,
    scores_of: Callable[[Tensor], Tensor] = torch.sigmoid,
) -> list[ScoredKeyframe]:
    """Scores of every row; ranks share the batches.

    Args:
        head: in evaluation mode, on `device`.
        rows: see `scoring_rows`.
        window_of: for keyframes (video ids, timestamps), the window [B, L, C_bank] and its mask [B, L]; None for
            a head that reads no bank.
        device: where the head runs.
        compute_dtype: fp32, tf32 or bf16.
        scores_of: logits [R, columns] to scores [R, classes], e.g. `action_scores` of a kind of labels.

    Returns:
        One per keyframe of `rows`, in their order; none on other ranks than 0.
    """
    batches: list[list[ScoredKeyframe]] = []
    for first in share(range(0, len(rows.keyframes), SCORING_BATCH)):
        index = np.arange(first, min(first + SCORING_BATCH, len(rows.keyframes)))
        keyframes = [rows.keyframes[i] for i in index.tolist()]
        places, clip_index = rows.select(index)
        context = batch_context(keyframes, clip_index, window_of, device)
        with torch.no_grad(), compute_precision(device, compute_dtype):
            logits = head(rows.features[places].to(device).float(), context)
        scores = scores_of(logits.float()).cpu().numpy()
        bounds = rows.starts[index[0] : index[-1] + 2]
        batches.append(
            [
                ScoredKeyframe(
                    each.keyframe,
                    rows.boxes_xyxy[start:end],
                    scores[start - bounds[0] : end - bounds[0]],
                )
                for each, start, end in zip(keyframes, bounds[:-1], bounds[1:], strict=True)
            ]
        )
    return [each for batch in gather(batches) for each in batch]


def batch_context(
    keyframes: Sequence[KeyframeBoxes], clip_index: Tensor, window_of: WindowOf | None, device: torch.device
) -> HeadContext:
    """The context of a batch of keyframes."""
    window, mask = (None, None)
    if window_of is not None:
        window, mask = window_of(
            [each.keyframe.video_id for each in keyframes],
            np.array([each.keyframe.timestamp for each in keyframes]),
        )
        window, mask = window.to(device), mask.to(device)
    return HeadContext(clip_index=clip_index.to(device), window=window, window_mask=mask)
