import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.randomness import rng_of
from pipeline.video.clip_indices import clip_indices

PIPELINE = Path(__file__).resolve().parent.parent / "fixtures" / "parity" / "mmaction2" / "data_pipeline.json"
UPSTREAM: dict[str, Any] = json.loads(PIPELINE.read_text())


@pytest.mark.parametrize("case", UPSTREAM["ava_test_mode"], ids=lambda case: f"{case['dataset']} {case['timestamp']}")
def test_indices_are_those_of_upstream(case: dict[str, Any]) -> None:
    start, end = case["shot_info"]
    expected = case.get("frame_inds_1based_file_number") or case["frame_inds"]
    # AVA's files are counted from 1, whatever start_index says.
    first_file = 1 if "frame_inds_1based_file_number" in case else start
    indices = clip_indices(
        case["timestamp"] - case["timestamp_start"],
        fps=case["fps"],
        frames=case["clip_len"],
        interval=case["frame_interval"],
        total=end - start,
        offset_frames={"AVADataset": 1, "AVAKineticsDataset": -1, "MultiSports": 0}[case["dataset"].split(" ")[0]],
    )
    assert indices.tolist() == [number - first_file for number in expected]
    assert indices.dtype == np.int64


def test_training_moves_each_frame_by_half_an_interval() -> None:
    plain = clip_indices(30, fps=30, frames=4, interval=16, total=1800)
    moved = np.stack([clip_indices(30, fps=30, frames=4, interval=16, total=1800, rng=rng_of(k)) for k in range(400)])
    assert set((moved - plain).ravel().tolist()) == set(range(-8, 8))
    again = clip_indices(30, fps=30, frames=4, interval=16, total=1800, rng=rng_of(7))
    assert np.array_equal(again, moved[7])
    odd = np.stack([clip_indices(30, fps=30, frames=4, interval=3, total=1800, rng=rng_of(k)) for k in range(100)])
    assert set((odd - clip_indices(30, fps=30, frames=4, interval=3, total=1800)).ravel().tolist()) == {-2, -1, 0, 1}


def test_training_jitter_is_that_of_upstream() -> None:
    drawn = rng_of("jitter").integers(-16 // 2, 17 // 2, size=4)
    plain = clip_indices(30, fps=30, frames=4, interval=16, total=1800)
    moved = clip_indices(30, fps=30, frames=4, interval=16, total=1800, rng=rng_of("jitter"))
    assert np.array_equal(moved, plain + drawn)


@given(
    time=st.floats(-5, 100), fps=st.sampled_from([7.5, 15, 29.97, 30]), frames=st.integers(1, 64),
    interval=st.integers(1, 32), total=st.integers(1, 3000), seed=st.none() | st.integers(0, 9),
)  # fmt: skip
def test_indices_lie_in_the_film(
    time: float, fps: float, frames: int, interval: int, total: int, seed: int | None
) -> None:
    rng = None if seed is None else rng_of(seed)
    indices = clip_indices(time, fps=fps, frames=frames, interval=interval, total=total, rng=rng)
    assert indices.shape == (frames,)
    assert 0 <= indices.min() <= indices.max() < total
    if seed is None:
        assert (np.diff(indices) >= 0).all()
