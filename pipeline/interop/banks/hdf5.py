"""Read and write banks as plain HDF5 (docs/bank-commands.md): a group for each video, an array for each column.

A file is not trusted: no other file is opened because this one refers to it (links and arrays may do so), and no array
is read whose stated size is far above its stored bytes.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.bank.feature_rows import FeatureRows, FloatArray
from pipeline.bank.format import part_folder
from pipeline.bank.reader import Bank
from pipeline.base.errors import InputError, how_to_install
from pipeline.base.files import atomic_path, json_text
from pipeline.base.progress import progress
from pipeline.interop.banks.foreign import ForeignBank, cast_features

try:
    import h5py
except ImportError:  # pragma: no cover - the tests have it
    raise InputError(f"HDF5 needs h5py, which is not installed; {how_to_install('hdf5')}") from None

# Name in the file -> our name, allowed kinds of numbers, number of axes.
COLUMNS: dict[str, tuple[str, str, int]] = {
    "features": ("features", "f", 2),
    "timestamp": ("timestamp", "fiu", 1),
    "boxes": ("boxes_xyxy", "f", 2),
    "score": ("score", "f", 1),
    "track_id": ("track_id", "iu", 1),
}
REQUIRED = ("features", "timestamp")
SEEN = "timestamps_seen"
# Deflate shrinks zeros by a factor of 1,030 at most; a larger stated size cannot be genuine.
MOST_COMPRESSED = 1100


def read_hdf5(path: Path) -> ForeignBank:
    """Read a file of our layout; the arrays of a video are read on demand.

    Raises:
        InputError: the file is absent, damaged or has another layout; `read` of the result may raise it too.
    """
    try:
        with h5py.File(path, "r") as file:
            groups: dict[str, str] = {}
            types = set()
            for name in file:
                group = _own(file, name, h5py.Group, str(path))
                video = group.attrs.get("video_id", name)
                if not isinstance(video, str) or video in groups:
                    raise InputError(f"{path}: group {name!r} is of video {video!r:.80}, expected one of its own")
                groups[video] = name
                types.add(_column(group, "features", f"{path}: video {video!r}").dtype.itemsize)
            provenance = _provenance(path, file.attrs.get("provenance", "{}"))
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise InputError(f"{path}: not a readable HDF5 file: {' '.join(str(error).split())}") from None
    if not groups:
        raise InputError(f"{path}: holds no group, expected one for each video")

    def read(video: str) -> tuple[FeatureRows, FloatArray]:
        try:
            with h5py.File(path, "r") as file:
                return _read_video(file[groups[video]], f"{path}: video {video!r}")
        except (OSError, RuntimeError, KeyError) as error:
            raise InputError(f"{path}: video {video!r}: not readable: {' '.join(str(error).split())}") from None

    dtype = "fp16" if types == {2} else "fp32"
    return ForeignBank("a bank in HDF5", tuple(sorted(groups)), read, dtype, provenance)


def _provenance(path: Path, text: Any) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        value = None
    if not isinstance(value, dict):
        raise InputError(f"{path}: attribute provenance is {text!r:.80}, expected a JSON object")
    return value


def _own(group: Any, name: str, kind: type[Any], where: str) -> Any:
    """Return a member stored in this file; links to other files are refused."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise InputError(f"{where}: {name!r} is a link, which is not followed")
    found = group[name]
    if not isinstance(found, kind):
        raise InputError(f"{where}: {name!r} is a {type(found).__name__}, expected a {kind.__name__}")
    return found


def _column(group: Any, name: str, where: str) -> Any:
    """Return a dataset of the right kind, without reading it."""
    _, kinds, axes = COLUMNS.get(name, (name, "fiu", 1))
    if name not in group:
        raise InputError(f"{where}: has no {name}, expected {' and '.join(REQUIRED)}")
    data = _own(group, name, h5py.Dataset, where)
    if data.external or data.is_virtual:
        raise InputError(f"{where}: {name} lies in other files, which are not read")
    if data.dtype.kind not in kinds or data.ndim != axes:
        numbers = {"f": "floating-point numbers", "iu": "whole numbers"}.get(kinds, "numbers")
        shape = "(n,)" if axes == 1 else "(n, m)"
        raise InputError(f"{where}: {name} is {data.dtype} {data.shape}, expected {numbers} of shape {shape}")
    if data.nbytes > MOST_COMPRESSED * data.id.get_storage_size():
        raise InputError(f"{where}: {name} claims {data.nbytes} bytes, {data.id.get_storage_size()} are stored")
    return data


def _read_video(group: Any, where: str) -> tuple[FeatureRows, FloatArray]:
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, (ours, _, _) in COLUMNS.items():
        if name in group or name in REQUIRED:
            arrays[ours] = _column(group, name, where)[...]
    rows = len(arrays["timestamp"])
    shapes = {ours: array.shape for ours, array in arrays.items()}
    wide = {"features": arrays["features"].shape[1:], "boxes_xyxy": (4,)}
    for ours, shape in shapes.items():
        expected = (rows, *wide.get(ours, ()))
        if shape != expected:
            raise InputError(f"{where}: {ours} has shape {shape}, expected {expected}")
    if not arrays["features"].shape[1]:
        raise InputError(f"{where}: features have no channels")
    arrays["timestamp"] = arrays["timestamp"].astype(np.float64)
    boxes = arrays.pop("boxes_xyxy", np.full((rows, 4), np.nan)).astype(np.float64)
    seen = _column(group, SEEN, where)[...] if SEEN in group else arrays["timestamp"]
    return FeatureRows(boxes_xyxy=boxes, **arrays), np.unique(np.asarray(seen, np.float64))


def write_hdf5(bank: Bank, path: Path, *, dtype: str) -> None:
    """Write the detections with all their columns, one video at a time; the same bank gives the same bytes.

    Args:
        bank: the bank.
        path: the file; it is replaced as a whole.
        dtype: number type of the features, "fp16" or "fp32".

    Raises:
        InputError: a feature is too large for fp16.
    """
    with atomic_path(path) as partial, h5py.File(partial, "w") as file:
        file.attrs["split"] = bank.split
        file.attrs["provenance"] = json_text(dict(bank.provenance))
        for video in progress(bank.videos, what="export", unit="video"):
            rows = bank.rows(video, "detections")
            group = file.create_group(part_folder(video))
            if "\0" in video:
                raise InputError(f"{path}: video {video!r}: HDF5 stores no text with a NUL character")
            group.attrs["video_id"] = video
            arrays = rows.arrays()
            arrays["features"] = cast_features(rows.features, dtype, f"{bank.where}: video {video!r}")
            if bank.column(video, "detections", "boxes_xyxy") is None:
                del arrays["boxes_xyxy"]
            for name, (ours, _, _) in COLUMNS.items():
                if ours in arrays:
                    group.create_dataset(name, data=arrays[ours], track_times=False)
            group.create_dataset(SEEN, data=bank.timestamps_seen(video), track_times=False)
