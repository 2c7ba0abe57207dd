"""The clips of a split, for training and evaluation: labels, numbers of frames, and pictures out of the frame store."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.base.errors import InputError
from pipeline.base.randomness import rng_of
from pipeline.tables.clip_labels import ClipLabels, read_clip_labels
from pipeline.tables.schemas import CLIPS, VIDEOS, read_table
from pipeline.video.store import FrameStore

NO_LABEL = -1


@dataclass(frozen=True, eq=False)
class ClipSet:
    """The clips of a split, in the order of their ids. It can be pickled, so each worker can hold one."""

    video_ids: list[str]
    labels: NDArray[np.int64]
    "Class ids [clips]; NO_LABEL where the data set publishes none."
    first_frames: NDArray[np.int64]
    "First stored frame of each clip [clips]; 0 but where a list names parts of films."
    frames: NDArray[np.int64]
    "Number of frames of each clip [clips]."
    classes: ClipLabels
    store: FrameStore

    def __len__(self) -> int:
        return len(self.video_ids)

    def pictures(self, clip: int, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Read frames of a clip.

        Args:
            clip: its number in the set.
            indices: [S], in [0, frames[clip]), in any order; repeated frames are decoded once.

        Returns:
            RGB uint8 [S, height, width, 3].

        Raises:
            InputError: the store lacks the clip, or its file is missing or of another store.
            DamagedError: stored bytes have changed.
        """
        return self.store.read_clip(self.video_ids[clip], indices + self.first_frames[clip])

    def rng(self, seed: int, epoch: int, clip: int) -> np.random.Generator:
        """Return the generator of a clip's draws in an epoch: no worker, rank or order of clips changes them."""
        return rng_of(seed, "view", epoch, self.video_ids[clip])


def read_clips(labels: Path, frames: Path, split: str) -> ClipSet:
    """Read the clips of a split that have a label table and stored frames.

    Args:
        labels: the out of import_labels, `data/<name>/labels`.
        frames: the frame store, `data/<name>/frames`.
        split: `train`, `val` or `test`.

    Raises:
        InputError: a file is absent or damaged, the split has no clips, or the store lacks a clip.
    """
    table = read_table(labels / "clips.parquet", CLIPS).sort_by("video_id")
    table = table.filter([each == split for each in table["split"].to_pylist()])
    video_ids = table["video_id"].to_pylist()
    if not video_ids:
        raise InputError(f"{labels / 'clips.parquet'}: no clips of split {split!r}")
    counts = frame_counts(frames)
    absent = [video_id for video_id in video_ids if video_id not in counts]
    if absent:
        raise InputError(
            f"{frames}: no frames of {len(absent)} of the {len(video_ids)} clips of {split} ({absent[0]}, ...); "
            "run import_labels again, which leaves them out"
        )
    stored = np.array([counts[video_id] for video_id in video_ids], np.int64)
    first = table["first_frame"].to_numpy().astype(np.int64)
    return ClipSet(
        video_ids,
        table["label"].fill_null(NO_LABEL).to_numpy().astype(np.int64),
        first,
        np.minimum(stored - first, table["frames"].fill_null(2**31 - 1).to_numpy()),
        read_clip_labels(labels / "labels.json"),
        FrameStore(frames),
    )


def frame_counts(frames: Path) -> Mapping[str, int]:
    """Return the number of stored frames of each video of a frame store."""
    table = read_table(frames / "videos.parquet", VIDEOS)
    return dict(zip(table["video_id"].to_pylist(), table["grid_frames"].to_pylist(), strict=True))
