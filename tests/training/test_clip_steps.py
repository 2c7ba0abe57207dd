"""Clips of one part have one size, and boxes move as they are told."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from pipeline.base.randomness import rng_of
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import ANNOTATIONS, KEYFRAMES
from pipeline.tables.split_tables import Tables
from pipeline.training.clip_steps import ClipData, jittered, moved_edges, size_numbers, training_sample
from tests.training.settings import training_settings

SIZES = {"a": (90, 160), "b": (180, 320), "c": (160, 90), "d": (96, 128), "e": (36, 86)}
PUBLISHED = (0.2, 0.1, 0.1, 0.05)
STILL = {"short_side": (96, 96), "crop": "none", "flip": 0.0, "colour": 0.0, "box_jitter": 0.0, "max_boxes": 32}


def numbers(videos: str, *, bn_batch: int = 4, long_side: int | None = None, **changes: Any) -> list[int] | None:
    store: Any = SimpleNamespace(size=SIZES.__getitem__)
    clip: Any = SimpleNamespace(long_side=long_side)
    train: Any = [SimpleNamespace(keyframe=SimpleNamespace(video_id=each)) for each in videos]
    tables = Tables(ANNOTATIONS.empty_table(), KEYFRAMES.empty_table(), [Label(1, "walk", "x")], None)
    settings = training_settings(bn_batch=bn_batch, augmentation=STILL | changes)
    found = size_numbers(ClipData(store, clip, train, train, tables), settings)
    return None if found is None else found.tolist()


def test_keyframes_are_numbered_by_the_size_of_their_clips() -> None:
    assert numbers("abcda") == [0, 0, 1, 2, 0]
    assert numbers("aabb") is None
    assert numbers("") is None
    assert numbers("acd", crop=96) is None
    assert numbers("acd", bn_batch=1) is None


def test_a_limit_of_the_long_side_counts() -> None:
    assert numbers("ae") == [0, 1]
    assert numbers("ab", long_side=100) is None
    assert numbers("abd", long_side=100) == [0, 0, 1]


# What AlphAction made of its boxes in a clip of 96x64 pixels, and the numbers that torch.manual_seed(100) gives.
BEFORE = np.array([[10.0, 8, 50, 60], [40, 12, 90, 58], [2, 2, 30, 40]])
AFTER = [
    [3.1734704971313477, 6.5468268394470215, 49.1310920715332, 58.28839874267578],
    [42.28239822387695, 12.069350242614746, 85.55545043945312, 56.5079460144043],
    [0.0, 2.5103793144226074, 28.909849166870117, 42.35325241088867],
]


def test_edges_move_as_in_alphaction() -> None:
    torch.manual_seed(100)
    draw = torch.rand(4, 3).numpy().T.astype(np.float64)
    np.testing.assert_allclose(moved_edges(BEFORE, PUBLISHED, 96, 64, draw), AFTER, atol=1e-5)


def test_edges_stay_within_their_shares_and_the_clip() -> None:
    box = np.array([[20.0, 20, 39, 39]])
    moved = np.concatenate([jittered(box, PUBLISHED, 96, 64, rng_of(seed)) for seed in range(300)]) - box
    np.testing.assert_allclose(moved.min(axis=0), [-4, -2, -2, -1], atol=0.1)
    np.testing.assert_allclose(moved.max(axis=0), [2, 1, 4, 2], atol=0.1)
    corner = np.array([[0.0, 0, 96, 64]])
    assert jittered(corner, PUBLISHED, 96, 64, rng_of(3)).max() <= 95


def test_without_jitter_nothing_is_drawn() -> None:
    rng = rng_of(1)
    assert jittered(BEFORE, 0.0, 96, 64, rng) is BEFORE
    assert rng.random() == rng_of(1).random()
    spread = np.concatenate([jittered(BEFORE[:1], 0.1, 96, 64, rng_of(seed)) for seed in range(300)]) - BEFORE[:1]
    np.testing.assert_allclose(spread.std(axis=0), [4, 5.2, 4, 5.2], rtol=0.3)


class Store:
    """Grey frames."""

    fps = 1.0

    def grid_frames(self, video_id: str) -> int:
        return 9

    def read_clip(self, video_id: str, indices: Any) -> Any:
        return np.zeros((len(indices), 32, 32, 3), np.uint8)


def boxes_of(proposals: int, **changes: Any) -> tuple[int, float]:
    """The number of boxes, and the sum of the labels, of a keyframe with 12 boxes and proposals that match them."""
    corners = np.linspace(0, 0.5, 12)[:, None] + np.array([[0, 0, 0.5, 0.5]])
    keyframe: Any = SimpleNamespace(
        keyframe=SimpleNamespace(time_seconds=4.0, video_id="a"), ground_truth_xyxy=corners,
        labels=np.eye(12, dtype=bool), proposals_xyxy=corners[:proposals],
    )  # fmt: skip
    store: Any = Store()
    clip: Any = SimpleNamespace(frames=1, interval=1, offset_frames=0, long_side=None, mean=(0, 0, 0), std=(1, 1, 1))
    settings = training_settings(**changes)
    sample = training_sample(store, keyframe, clip=clip, settings=settings, unmatched=True, rng=rng_of(0))
    return len(sample.boxes_xyxy), float(sample.labels.sum())


def test_boxes_of_a_keyframe_are_limited_and_may_be_the_annotated_ones_alone() -> None:
    assert boxes_of(3) == (15, 15)
    assert boxes_of(3, match_iou="none") == (12, 12)
    few = {"augmentation": {**STILL, "short_side": (32, 32), "max_boxes": 10}}
    assert boxes_of(3, **few) == (10, 10)
