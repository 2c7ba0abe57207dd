"""Read and write the first LFB code's banks (Wu et al. 2019, Caffe2): Python 2 pickles `{video: {key: features}}`.

The key is a second (AVA) or a frame (EPIC, Charades). The value is a list of vectors, one vector or an array (k, C).
"""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from pipeline.bank.reader import Bank
from pipeline.base.errors import InputError
from pipeline.base.files import atomic_path
from pipeline.base.progress import progress
from pipeline.interop.banks.foreign import ForeignBank
from pipeline.interop.banks.keyed import Array, parse_keyed, rows_by_second
from pipeline.interop.pickles import load_pickle

MAX_BYTES = 64 << 30  # the published files have 1 to 4.4 GB


def read_caffe2(path: Path, *, fps: float | None = None, names: Sequence[str] | None = None) -> ForeignBank:
    """Read a bank in any of these layouts.

    Args:
        path: the file.
        fps: frame rate, if the keys are frame numbers; None if they are seconds.
        names: ids of the videos, if the file numbers them, in the order of the numbers; None keeps the file's ids, with
            numbers as text.

    Raises:
        InputError: the file is absent, damaged, names an object that is not read, or holds something else.
    """
    value = load_pickle(path, max_bytes=MAX_BYTES)
    return parse_keyed(path, value, "a bank of the Caffe2 LFB", _to_array, fps=fps, names=names)


def _to_array(value: Any) -> Array | None:
    return value if isinstance(value, np.ndarray) else None


def write_caffe2(bank: Bank, path: Path, *, dtype: str, names: Sequence[str] | None = None) -> None:
    """Write the detections in AVA's layout, `{video: {second: [vector, ...]}}`, one video at a time.

    Args:
        bank: the bank.
        path: the file; it is replaced as a whole.
        dtype: "fp16" or "fp32".
        names: ids in the order of the numbers to write instead of them; None writes the ids.

    Raises:
        InputError: a video of the bank is not among `names`, or a feature is too large for fp16.
    """
    places = None if names is None else {name: place for place, name in enumerate(names)}
    absent = [] if places is None else [video for video in bank.videos if video not in places]
    if absent:
        raise InputError(
            f"{bank.where}: video {absent[0]!r} is not in the list of videos, nor are {len(absent) - 1} more"
        )
    with atomic_path(path) as partial, partial.open("wb") as file:
        file.write(b"\x80\x02}(")  # protocol 2, then an empty dictionary
        for video in progress(bank.videos, what="export", unit="video"):
            file.write(_text(video) if places is None else _integer(places[video]))
            file.write(b"}(")
            for second, rows in rows_by_second(bank, video, dtype):
                file.write(_integer(second) + b"](")
                for row in rows:
                    _write_vector(file, row)
                file.write(b"e")
            file.write(b"u")
        file.write(b"u.")


def _integer(value: int) -> bytes:
    """Return the pickle of an integer below 2^31."""
    return b"J" + struct.pack("<i", value)


def _text(text: str) -> bytes:
    """Return the pickle of a text: Python 2's `str` for ASCII, else `unicode`."""
    data = text.encode()
    return (b"T" if text.isascii() else b"X") + struct.pack("<I", len(data)) + data


def _write_vector(file: IO[bytes], row: Array) -> None:
    """Write an array as Python 2 with NumPy 1 pickles it; Python 3 would name modules that NumPy 1 lacks."""
    data = np.ascontiguousarray(row, row.dtype.newbyteorder("<")).tobytes()
    dtype = f"f{row.dtype.itemsize}".encode()
    file.write(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R")
    file.write(b"(K\x01" + _integer(len(row)) + b"\x85cnumpy\ndtype\nU\x02" + dtype + b"K\x00K\x01\x87R")
    file.write(b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")
    file.write(b"T" + struct.pack("<I", len(data)) + data + b"tb")
