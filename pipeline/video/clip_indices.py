"""Choose the frames of a clip on the grid, by the arithmetic of MMAction2 1.2.0 (`SampleAVAFrames`)."""

import numpy as np
from numpy.typing import NDArray


def clip_indices(
    time_seconds: float,
    *,
    fps: float,
    frames: int,
    interval: int,
    total: int,
    rng: np.random.Generator | None = None,
    offset_frames: int = 0,
) -> NDArray[np.int64]:
    """Compute the grid indices of the clip around a time.

    The frame at `frames // 2` is the one at `time_seconds`. Indices outside the film repeat its first or last frame.

    Args:
        time_seconds: the clip's centre, from the start of the film.
        fps: grid frames per second.
        frames: T of a clip TxS.
        interval: S, in grid frames.
        total: number of grid frames of the film.
        rng: for training: moves each frame by up to half an interval; `frames` integers are drawn.
        offset_frames: shifts the clip, before indices are limited to the film. 1 reproduces upstream on AVA, which
            counts the first frame's number twice; -1 reproduces it on AVA-Kinetics, where that number is not counted.

    Returns:
        [frames], in [0, total).
    """
    centre = int(np.floor(time_seconds * fps + 0.5))
    indices = centre + (np.arange(frames) - frames // 2) * interval + offset_frames
    if rng is not None:
        indices = indices + rng.integers(-interval // 2, (interval + 1) // 2, size=frames)
    return indices.clip(0, total - 1).astype(np.int64)
