"""Segments: choose one frame of each of S equal parts of a film.

All rules are one: place u in [0, 1) of part i of a film of N frames is frame floor((i + u) * N / S). Training draws u,
a test takes the middle (u = 1/2), and a test that samples twice also takes the starts (u = 0). So every frame can be
drawn in training, each equally often, and frames stay in order where a film has fewer frames than parts.

The published rule of training (MMAction2 1.2.0, `SampleFrames`) is another one: parts of N // S whole frames, so that
no frame from S * (N // S) on is ever drawn; and for N < S rounded places, of which one may be N and become frame 0.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Sampling = Literal["whole", "published"]
Indices = NDArray[np.int64]


def train_segments(frames: int, segments: int, rng: np.random.Generator, rule: Sampling = "whole") -> Indices:
    """Draw a frame of each part.

    Args:
        frames: N, number of frames of the film.
        segments: S, number of parts.
        rng: one vector of S numbers is drawn from it; by the published rule none where N < S.
        rule: see the module.

    Returns:
        [S], in [0, N); ascending by the rule `whole`.
    """
    if rule == "published":
        return published_segments(
            frames, segments, None if frames < segments else rng.integers(frames // segments, size=segments)
        )
    return _places(frames, segments, rng.random(segments))


def published_segments(frames: int, segments: int, draws: NDArray[np.integer] | None) -> Indices:
    """Compute the frames that upstream's training takes.

    Args:
        frames: N, number of frames of the film.
        segments: S, number of parts.
        draws: [S], each in [0, N // S); None where N < S, for which nothing is drawn.

    Returns:
        [S], in [0, N).
    """
    starts = np.arange(segments)
    if draws is None:
        return np.around(starts * (frames / segments)).astype(np.int64) % frames
    return starts * (frames // segments) + np.asarray(draws, np.int64)


def test_segments(frames: int, segments: int) -> Indices:
    """Compute the frames in the middle of each part, as upstream's validation and test: [S], in [0, N), ascending."""
    return _places(frames, segments, np.full(segments, 0.5))


def twice_segments(frames: int, segments: int) -> Indices:
    """Compute the frames in the middle of each part, and then those at the starts: [2 S], in [0, N)."""
    return np.concatenate([test_segments(frames, segments), _places(frames, segments, np.zeros(segments))])


def _places(frames: int, segments: int, places: NDArray[np.float64]) -> Indices:
    # In upstream's order of roundings, so that its indices are met for every number of parts.
    part = frames / segments
    found = np.floor(np.arange(segments) * part + places * part).astype(np.int64)
    return found.clip(0, frames - 1)
