"""Clips of one part have one size, boxes move as they are told, and those of objects go where a clip shows them."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from pipeline.base.randomness import rng_of
from pipeline.tables.keyframes import Keyframe, KeyframeBoxes
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import ANNOTATIONS, KEYFRAMES
from pipeline.tables.split_tables import Tables
from pipeline.training import clip_steps
from pipeline.training.clip_steps import (
    ClipData,
    Sample,
    jittered,
    moved_edges,
    moved_evenly,
    size_numbers,
    training_sample,
)
from pipeline.training.steps import Stretch
from pipeline.video.clip_input import ClipInput
from pipeline.video.store import FrameStore
from tests.training.settings import training_settings

SIZES = {"a": (90, 160), "b": (180, 320), "c": (160, 90), "d": (96, 128), "e": (36, 86)}
PUBLISHED = (0.2, 0.1, 0.1, 0.05)
STILL = {"short_side": (96, 96), "crop": "none", "flip": 0.0, "colour": 0.0, "box_jitter": 0.0, "max_boxes": 32}


def numbers(videos: str, *, bn_batch: int = 4, long_side: int | None = None, **changes: Any) -> list[int] | None:
    store: Any = SimpleNamespace(size=SIZES.__getitem__)
    clip: Any = SimpleNamespace(long_side=long_side, shape="film")
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


def test_edges_move_evenly_and_boxes_stay() -> None:
    given = BEFORE.copy()
    moved = (
        np.concatenate([jittered(BEFORE[:1], (0.1, 0.25), 96, 64, rng_of(seed)) for seed in range(300)]) - BEFORE[:1]
    )
    np.testing.assert_allclose(moved.min(axis=0), [-4, -8, -4, -13], atol=0.3)
    np.testing.assert_allclose(moved.max(axis=0), [4, 13, 4, 4], atol=0.3)
    np.testing.assert_allclose(np.abs(moved[:, 0]).mean(), 2, rtol=0.1)
    assert np.array_equal(given, BEFORE)
    # numpy's draws of ACAR-Net, for a box in shares of its picture.
    draw = np.random.RandomState(0).random_sample((1, 4))
    found = moved_evenly(np.array([[0.1, 0.2, 0.5, 0.8]]), (0.075, 0.075), 1, 1, draw)
    np.testing.assert_allclose(found, [[0.10292881, 0.21936704, 0.50616622, 0.80403949]], atol=1e-6)


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
        labels=np.eye(12, dtype=bool), proposals_xyxy=corners[:proposals], objects_xyxy=None,
    )  # fmt: skip
    store: Any = Store()
    clip: Any = SimpleNamespace(
        frames=1, interval=1, offset_frames=0, long_side=None, shape="film", mean=(0, 0, 0), std=(1, 1, 1)
    )  # fmt: skip
    settings = training_settings(**changes)
    sample = training_sample(store, keyframe, clip=clip, settings=settings, unmatched=True, rng=rng_of(0))
    return len(sample.boxes_xyxy), float(sample.labels.sum())


def test_boxes_of_a_keyframe_are_limited_and_may_be_the_annotated_ones_alone() -> None:
    assert boxes_of(3) == (15, 15)
    assert boxes_of(3, match_iou="none") == (12, 12)
    few = {"augmentation": {**STILL, "short_side": (32, 32), "max_boxes": 10}}
    assert boxes_of(3, **few) == (10, 10)


class Film:
    """A film of black frames with a bright square, which the object's box surrounds."""

    fps = 4.0

    def grid_frames(self, video_id: str) -> int:
        return 12

    def read_clip(self, video_id: str, indices: np.ndarray) -> np.ndarray:
        frames = np.zeros((len(indices), 40, 60, 3), np.uint8)
        frames[:, 10:20, 40:50] = 255
        return frames


def keyframe(*objects: list[float]) -> KeyframeBoxes:
    person = np.array([[0.0, 0.0, 1.0, 1.0]])
    found = KeyframeBoxes(Keyframe("a", 1, 1), person, np.ones((1, 1), bool), person[:0], np.empty(0))
    return replace(found, objects_xyxy=np.array(objects)) if objects else found


SQUARE, NONE = [40 / 60, 10 / 40, 50 / 60, 20 / 40], [np.nan] * 4
PLAIN = ClipInput(frames=2, interval=1, short_side=40, mean=(0, 0, 0), std=(1, 1, 1))


def samples(each: KeyframeBoxes, *, flip_objects: bool) -> list[Sample]:
    augmentation = {"short_side": (40, 60), "crop": 30, "flip": 0.5, "colour": 0.0, "box_jitter": 0.1, "max_boxes": 32}
    settings = training_settings(augmentation=augmentation)
    store = cast("FrameStore", Film())
    return [
        training_sample(
            store, each, clip=PLAIN, settings=settings, unmatched=False, flip_objects=flip_objects, rng=rng_of(seed)
        )
        for seed in range(40)
    ]


def distance(sample: Sample) -> float | None:
    """How far the edges of the first box are from what is bright in the clip; None if the clip does not show it."""
    assert sample.objects_xyxy is not None
    ys, xs = np.nonzero(sample.clip[0, 0].numpy() > 127)
    if not len(xs):
        return None
    return float(np.abs(sample.objects_xyxy[0] - [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]).max())


def test_objects_go_with_the_crop_the_scale_and_the_flip_and_are_not_jittered() -> None:
    found = samples(keyframe(SQUARE, NONE), flip_objects=True)
    distances = [each for sample in found if (each := distance(sample)) is not None]
    assert len(distances) > 20
    assert max(distances) <= 1.5
    for sample in found:
        assert sample.objects_xyxy is not None
        assert np.isnan(sample.objects_xyxy[1]).all()


def test_as_published_objects_stay_unflipped_and_nothing_else_changes() -> None:
    flipped, unflipped = (samples(keyframe(SQUARE, NONE), flip_objects=each) for each in (True, False))
    moved = 0
    for one, other in zip(flipped, unflipped, strict=True):
        assert torch.equal(one.clip, other.clip)
        assert np.array_equal(one.boxes_xyxy, other.boxes_xyxy)
        assert one.objects_xyxy is not None
        assert other.objects_xyxy is not None
        mirrored = [30 - one.objects_xyxy[0, 2], 30 - one.objects_xyxy[0, 0]]
        assert other.objects_xyxy[0, ::2].tolist() in (one.objects_xyxy[0, ::2].tolist(), mirrored)
        moved += other.objects_xyxy[0, ::2].tolist() != one.objects_xyxy[0, ::2].tolist()
    assert 10 < moved < 30


def test_objects_change_no_draw_and_are_loaded_only_if_read() -> None:
    for one, other in zip(
        samples(keyframe(SQUARE), flip_objects=True), samples(keyframe(), flip_objects=True), strict=True
    ):
        assert torch.equal(one.clip, other.clip)
        assert np.array_equal(one.boxes_xyxy, other.boxes_xyxy)
        assert other.objects_xyxy is None


def test_a_batch_of_clips_has_the_objects_that_they_show(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = np.array([[1, 2, 3, 4], NONE], np.float32)
    sample = Sample(torch.zeros(3, 1, 4, 4), np.zeros((1, 4), np.float32), np.zeros((1, 1), np.float32), boxes)
    told = []

    def of_keyframe(*_: Any, flip_objects: bool, **__: Any) -> Sample:
        told.append(flip_objects)
        return sample

    monkeypatch.setattr(clip_steps, "training_sample", of_keyframe)
    store: Any = None
    tables: Any = None
    data = ClipData(store, PLAIN, [keyframe(SQUARE, NONE)] * 3, [], tables, flip_objects=False)
    settings = training_settings(global_batch=4, bn_batch=2)
    steps = clip_steps.clip_steps(data, Stretch(0, 0, 1), settings, unmatched=False, window_of=None, workers=1)
    first, second = (batch.object_boxes for step in steps for batch in step.parts)
    assert first is not None
    assert second is not None
    assert first.mask.tolist() == [[True, False]] * 2
    assert second.boxes_xyxy.tolist() == [[[1, 2, 3, 4], [0, 0, 0, 0]]]
    assert told == [False] * 3
