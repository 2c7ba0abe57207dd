"""Read banks that are a dictionary of dictionaries, `{video: {second: features}}`: of MMAction2 and of Caffe2."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.bank.feature_rows import FeatureRows, FloatArray
from pipeline.bank.reader import Bank
from pipeline.base.errors import InputError
from pipeline.interop.banks.foreign import ForeignBank, cast_features

Array = npt.NDArray[Any]
ToArray = Callable[[Any], Array | None]  # returns the array of a leaf, or None if it is no array
EXPECTED = "a list of arrays (C,), or one array (C,) or (n, C)"


@dataclass(frozen=True)
class _Video:
    seen: list[float]
    pieces: list[tuple[float, Array]]  # timestamp and features [n, C]


def parse_keyed(
    path: Path,
    value: Any,
    described: str,
    to_array: ToArray,
    *,
    fps: float | None = None,
    names: Sequence[str] | None = None,
) -> ForeignBank:
    """Check the content of a file and return it as a bank.

    Args:
        path: the file, for messages.
        value: its content: video to second to features, see `EXPECTED`.
        described: describes the file to the user.
        to_array: returns the array of a leaf.
        fps: frame rate, if the inner keys are frame numbers; None if they are seconds.
        names: ids of the videos, if the outer keys are indices into this list.

    Raises:
        InputError: the content has another form, or features differ in their number of channels.
    """
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds {_kind(value)}, expected a dictionary of videos")
    videos: dict[str, _Video] = {}
    for key, seconds in value.items():
        video = _video_id(path, key, names)
        if video in videos:
            raise InputError(f"{path}: video {video!r} stands in it twice, as a number and as text")
        if not isinstance(seconds, dict):
            raise InputError(f"{path}: video {video!r}: holds {_kind(seconds)}, expected a dictionary of seconds")
        videos[video] = _parse_video(f"{path}: video {video!r}", seconds, to_array, fps)
    channels, half = _common(path, videos)

    def read(video: str) -> tuple[FeatureRows, FloatArray]:
        pieces = videos[video].pieces
        features = [np.empty((0, channels), np.float16 if half else np.float32), *(each for _, each in pieces)]
        timestamp = np.repeat([at for at, _ in pieces], [len(each) for _, each in pieces]).astype(np.float64)
        rows = FeatureRows(np.concatenate(features), timestamp, np.full((len(timestamp), 4), np.nan))
        return rows, np.unique(np.asarray(videos[video].seen, np.float64))

    return ForeignBank(described, tuple(sorted(videos)), read, "fp16" if half else "fp32")


def _video_id(path: Path, key: Any, names: Sequence[str] | None) -> str:
    index = isinstance(key, int | np.integer) and not isinstance(key, bool)
    if names is not None:
        if not index or not 0 <= key < len(names):
            raise InputError(f"{path}: video {key!r:.80}, expected a position in the list of {len(names)} videos")
        return names[int(key)]
    if not index and not isinstance(key, str):
        raise InputError(f"{path}: a video is named by {_kind(key)}, expected text or a whole number")
    return str(key)


def _parse_video(where: str, seconds: dict[Any, Any], to_array: ToArray, fps: float | None) -> _Video:
    video = _Video([], [])
    for key, entry in seconds.items():
        if isinstance(key, bool) or not isinstance(key, int | float | np.integer | np.floating) or not np.isfinite(key):
            raise InputError(f"{where}: a second is {key!r:.80}, expected a number")
        at = float(key) / fps if fps else float(key)
        video.seen.append(at)
        leaves = list(entry) if isinstance(entry, list | tuple) else [entry]
        for leaf in leaves:
            array = to_array(leaf)
            if array is None or array.dtype.kind != "f":
                raise InputError(
                    f"{where}, second {key}: holds {_kind(leaf if array is None else array)}, expected {EXPECTED}"
                )
            if array.size:
                video.pieces.append((at, _as_rows(array, f"{where}, second {key}")))
    return video


def _as_rows(array: Array, where: str) -> Array:
    """Return [n, C]; axes of size 1 after the channels, which convolutions leave, are dropped."""
    shape = array.shape
    if len(shape) > 2:
        while len(shape) > 1 and shape[-1] == 1:
            shape = shape[:-1]
    if len(shape) not in (1, 2):
        raise InputError(f"{where}: holds features of shape {array.shape}, expected {EXPECTED}")
    return array.reshape(shape if len(shape) == 2 else (1, *shape))


def _common(path: Path, videos: dict[str, _Video]) -> tuple[int, bool]:
    """Return the number of channels of all features, and whether all are float16."""
    channels, half = None, True
    for video, each in videos.items():
        for at, features in each.pieces:
            channels = channels or features.shape[1]
            half = half and features.dtype.itemsize == 2
            if features.shape[1] != channels:
                found = f"has features of {features.shape[1]} channels, those before it have {channels}"
                raise InputError(f"{path}: video {video!r}, second {at:g}: {found}")
    if channels is None:
        raise InputError(f"{path}: holds {len(videos)} videos without any feature, expected one at least")
    return channels, half


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    name = type(value).__name__
    return "an object that is not read" if name == "Inert" else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def rows_by_second(bank: Bank, video: str, dtype: str) -> Iterator[tuple[int, Array]]:
    """Yield the whole seconds of a video that have rows, with their features [n, C], views of one array per video.

    Args:
        bank: the bank.
        video: the id of the video.
        dtype: see `cast_features`.
    """
    rows = bank.rows(video, "detections")
    features = cast_features(rows.features, dtype, f"{bank.where}: video {video!r}")
    second = np.floor(rows.timestamp).astype(np.int64)
    seconds, starts = np.unique(second, return_index=True)
    ends = np.append(starts, len(second))[1:]
    for at, first, last in zip(seconds.tolist(), starts, ends, strict=True):
        yield at, features[first:last]
