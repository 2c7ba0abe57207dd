"""Clips of one batch have one size, and the boxes of objects go where a clip shows them."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.base.randomness import rng_of
from pipeline.tables.keyframes import Keyframe, KeyframeBoxes
from pipeline.training import clip_steps
from pipeline.training.clip_steps import ClipData, Sample, check_clip_sizes, training_sample
from pipeline.training.settings import Augmentation
from pipeline.video.clip_input import ClipInput
from pipeline.video.store import FrameStore
from tests.training.settings import training_settings

SIZES = {"a": (90, 160), "b": (180, 320), "c": (160, 90), "d": (96, 128), "e": (98, 128), "f": (120, 160)}


class Store:
    """The sizes of stored frames, and nothing else."""

    folder = Path("data/x/frames")

    def size(self, video_id: str) -> tuple[int, int]:
        return SIZES[video_id]


def check(videos: str, *, bn_batch: int = 16, **changes: Any) -> None:
    values: dict[str, Any] = {"short_side": (96, 96), "crop": "none", "flip": 0.5, "colour": 0.0, "box_jitter": 0.0}
    store = cast("FrameStore", Store())
    check_clip_sizes(
        store, videos, Augmentation(**values | changes), bn_batch=bn_batch, block="head_train.augmentation"
    )


def test_films_of_one_shape_need_no_crop() -> None:
    check("aabb")
    check("df")
    check("acd", crop=96)
    check("acd", bn_batch=1)


def test_films_of_several_shapes_are_named_with_the_key() -> None:
    with pytest.raises(InputError) as error:
        check("aabcde")
    assert str(error.value) == (
        "data/x/frames: films differ in shape: clips of 171x96 (a, b), 96x171 (c), 128x96 (d), ..., and those of one "
        "batch have one size; set head_train.augmentation.crop to at most 96 (head_train.augmentation.short_side), so "
        "that each is cut to a random square"
    )


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
    augmentation = {"short_side": (40, 60), "crop": 30, "flip": 0.5, "colour": 0.0, "box_jitter": 0.1}
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
    steps = clip_steps.clip_steps(data, 0, settings, unmatched=False, window_of=None, workers=1)
    first, second = (batch.object_boxes for step in steps for batch in step.parts)
    assert first is not None
    assert second is not None
    assert first.mask.tolist() == [[True, False]] * 2
    assert second.boxes_xyxy.tolist() == [[[1, 2, 3, 4], [0, 0, 0, 0]]]
    assert told == [False] * 3
