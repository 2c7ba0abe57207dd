"""Clips of one batch have one size; what cannot have it is refused before a frame is read."""

from pathlib import Path
from typing import Any, cast

import pytest

from pipeline.base.errors import InputError
from pipeline.training.clip_steps import check_clip_sizes
from pipeline.training.settings import Augmentation
from pipeline.video.store import FrameStore

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
