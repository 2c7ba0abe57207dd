"""Places of segments; those of MMAction2 are compared in tests/interop/test_trn_pipeline.py."""

import numpy as np
import pytest

from pipeline.video import segments
from pipeline.video.segments import train_segments


@pytest.mark.parametrize(("frames", "parts"), [(1, 8), (3, 8), (7, 8), (8, 8), (15, 8), (45, 8), (45, 3), (5, 16)])
def test_every_frame_can_be_drawn_and_order_is_kept(frames: int, parts: int) -> None:
    rng = np.random.default_rng(0)
    drawn = np.stack([train_segments(frames, parts, rng) for _ in range(4000)])
    assert (np.diff(drawn, axis=1) >= 0).all()
    counts = np.bincount(drawn.ravel(), minlength=frames)
    # Each frame is drawn equally often: 4000 * parts / frames times, up to chance.
    assert counts == pytest.approx(np.full(frames, 4000 * parts / frames), rel=0.25)


def test_the_published_rule_never_takes_the_last_frames() -> None:
    rng = np.random.default_rng(0)
    drawn = np.stack([train_segments(15, 8, rng, "published") for _ in range(50)])
    assert (drawn == np.arange(8)).all()  # 15 // 8 is one frame a part: nothing is random
    assert train_segments(4, 8, rng, "published").tolist() == [0, 0, 1, 2, 2, 2, 3, 0]


def test_few_frames_draw_nothing_by_the_published_rule() -> None:
    rng, same = np.random.default_rng(0), np.random.default_rng(0)
    train_segments(4, 8, rng, "published")
    assert rng.random() == same.random()


def test_a_test_takes_the_middles_and_then_the_starts() -> None:
    assert segments.test_segments(16, 4).tolist() == [2, 6, 10, 14]
    assert segments.twice_segments(16, 4).tolist() == [2, 6, 10, 14, 0, 4, 8, 12]
    assert segments.test_segments(2, 4).tolist() == [0, 0, 1, 1]
