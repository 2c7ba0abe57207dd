from dataclasses import replace

import numpy as np
import pytest

from pipeline.inference.clips import ClipRequest, read_request
from pipeline.randomness import rng_of
from pipeline.training.clip_steps import training_sample
from tests.rank_jobs import CHANGES, CLIP, WatchedStore, keyframes, make_films


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> WatchedStore:
    folder = tmp_path_factory.mktemp("films")
    make_films(folder)
    return WatchedStore(folder / "frames")


@pytest.mark.parametrize(("offset", "expected"), [(0, [18, 20]), (1, [19, 21]), (-1, [17, 19]), (45, [59, 59])])
def test_a_clip_may_be_moved_in_inference(store: WatchedStore, offset: int, expected: list[int]) -> None:
    store.read.clear()
    read_request(store, "a", ClipRequest(2.0, np.zeros((0, 4))), replace(CLIP, offset_frames=offset))
    assert store.read == [["a", *expected]]


def test_a_clip_is_moved_by_as_much_in_training(store: WatchedStore) -> None:
    store.read.clear()
    for offset in (0, 1, -1):
        training_sample(
            store, keyframes()[2], settings=replace(CLIP, offset_frames=offset), augmentation=CHANGES, match_iou=0.9,
            rng=rng_of(1),
        )  # fmt: skip
    plain, late, early = (np.array(frames) for _, *frames in store.read)
    assert (late - plain).tolist() == [1, 1]
    assert (early - plain).tolist() == [-1, -1]
