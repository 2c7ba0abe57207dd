"""Import banks from other projects' files, and export banks to them."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from pipeline.bank.feature_rows import VideoRows
from pipeline.bank.format import FEATURE_DTYPES
from pipeline.bank.output import parts_folder
from pipeline.bank.reader import Bank, open_bank
from pipeline.bank.writer import assemble_bank, write_part
from pipeline.base.errors import InputError
from pipeline.base.files import digest_file, refuse_special
from pipeline.base.progress import progress
from pipeline.interop.banks.foreign import ForeignBank
from pipeline.interop.exchange_options import ExportFormat, ImportFormat

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
# A torch.save file is a zip archive or begins with a pickled magic number; other pickles begin with PICKLE_MAGIC.
TORCH_MAGIC = (b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.")
PICKLE_MAGIC = (b"\x80", b"(", b"}")
# The number type that each project writes; None takes the bank's.
USUAL_DTYPE: dict[str, str | None] = {"mmaction2": "fp16", "mmaction2-list": "fp16", "caffe2": "fp32", "hdf5": None}


@dataclass(frozen=True)
class Keys:
    """What the keys of a Caffe2 bank mean."""

    fps: float | None = None  # frame rate, if the keys are frame numbers; None if they are seconds
    videos: Path | None = None  # a file with one id per line, if the file numbers its videos


def recognise_format(path: Path) -> ImportFormat:
    """Return the format of a file, recognised by its first bytes.

    Raises:
        InputError: the file is absent or has no known format.
    """
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if head.startswith(HDF5_MAGIC):
        return "hdf5"
    if head.startswith(TORCH_MAGIC):
        return "mmaction2"
    if head.startswith(PICKLE_MAGIC):
        return "caffe2"
    raise InputError(f"{path}: not a bank of another project: expected {', '.join(get_args(ImportFormat))}")


def read_foreign(path: Path, kind: ImportFormat, keys: Keys) -> ForeignBank:
    """Read a file of another project.

    Raises:
        InputError: the file cannot be read, or `keys` is given for a format whose keys have one meaning.
    """
    if kind != "caffe2" and keys != Keys():
        raise InputError(f"{path}: is {kind}, whose keys are ids and seconds; --fps and --videos are for caffe2")
    if kind == "mmaction2":
        from pipeline.interop.banks.mmaction2_pickle import read_mmaction2

        return read_mmaction2(path)
    if kind == "hdf5":
        from pipeline.interop.banks.hdf5 import read_hdf5

        return read_hdf5(path)
    from pipeline.interop.banks.caffe2 import read_caffe2

    return read_caffe2(path, fps=keys.fps, names=None if keys.videos is None else read_ids(keys.videos))


def read_ids(path: Path) -> list[str]:
    """Read ids of videos, one per line; empty lines at the end are skipped.

    Raises:
        InputError: the file is absent, is not text, or names a video twice.
    """
    refuse_special(path)
    try:
        names = [line.strip() for line in path.read_text("utf-8-sig").rstrip().splitlines()]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a list of videos: {error}") from None
    seen = set[str]()
    for row, name in enumerate(names):
        if not name or name in seen:
            raise InputError(f"{path}: line {row + 1} is {name!r}, expected the id of another video")
        seen.add(name)
    return names


def parse_provenance(words: Sequence[str]) -> dict[str, Any]:
    """Parse `key=value` pairs; a value is read as JSON if possible, else as text. Digests are always text.

    Raises:
        InputError: a word is not a pair, or a key occurs twice.
    """
    found: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not key or not equals:
            raise InputError(f"--provenance {word}: expected key=value")
        if key in found:
            raise InputError(f"--provenance {word}: {key} stands twice")
        found[key] = text if key.endswith("sha256") else _parse_value(text)
    return found


def _parse_value(text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, float) and not math.isfinite(value) else value


def import_bank(
    source: Path,
    out: Path,
    *,
    kind: ImportFormat,
    split: str,
    dtype: str | None,
    provenance: Mapping[str, Any],
    keys: Keys,
) -> tuple[Bank, list[str]]:
    """Convert another project's file to a bank; `out` is written (or replaced) as a whole.

    Args:
        source: the file.
        out: `<split>.zarr`.
        kind: the file's format.
        split: train, val or test.
        dtype: "fp16" or "fp32"; None takes the file's.
        provenance: what is known about its origin; it wins over what the file says.
        keys: see `Keys`.

    Returns:
        The bank, and notes for the user.

    Raises:
        InputError: the file cannot be read, or a feature is not finite or too large for fp16.
    """
    foreign = read_foreign(source, kind, keys)
    known = {**foreign.provenance, **provenance, "imported_from": kind, "source_sha256": digest_file(source)}
    made = {key: value for key, value in known.items() if key == "checkpoint_sha256"}
    with parts_folder(out) as folder:
        parts = {}
        for number, video in enumerate(progress(foreign.videos, what="import", unit="video")):
            rows, seen = foreign.read(video)
            parts[video] = folder / str(number)
            write_part(
                parts[video],
                part=video,
                rows=VideoRows(rows),
                seconds_seen=seen,
                attributes=made,
                dtype=dtype or foreign.dtype,
                codec="none",
            )
        assemble_bank(out, parts=parts, split=split, provenance=known)
    bank = open_bank(out)
    notes = [f"read as {foreign.described}"]
    if foreign.dtype == "fp32" and bank.manifest.dtype == "float16":
        notes.append("features were rounded to float16")
    if "box_threshold" not in bank.provenance:
        notes.append("no box_threshold is known, so no window can be read; give --provenance box_threshold=...")
    return bank, notes


def export_bank(bank: Bank, out: Path, *, kind: ExportFormat, dtype: str | None, videos: Path | None) -> list[str]:
    """Write a bank's detections in another project's format; `out` is written (or replaced) as a whole.

    Args:
        bank: the bank.
        out: the file.
        kind: its format.
        dtype: "fp16" or "fp32"; None takes the usual type of the format.
        videos: for caffe2, a file of ids in the order of the numbers to write instead of them.

    Returns:
        One line for each thing that the bank holds and the file cannot.

    Raises:
        InputError: a feature is too large for fp16, or a video is not in the list.
    """
    if videos is not None and kind != "caffe2":
        raise InputError(f"--videos {videos}: {kind} has ids, no numbers of videos")
    stored = next(short for short, name in FEATURE_DTYPES.items() if name == bank.manifest.dtype)
    dtype = dtype or USUAL_DTYPE[kind] or stored
    if kind == "hdf5":
        from pipeline.interop.banks.hdf5 import write_hdf5

        write_hdf5(bank, out, dtype=dtype)
    elif kind == "caffe2":
        from pipeline.interop.banks.caffe2 import write_caffe2

        write_caffe2(bank, out, dtype=dtype, names=None if videos is None else read_ids(videos))
    else:
        from pipeline.interop.banks.mmaction2_pickle import write_mmaction2

        write_mmaction2(bank, out, dtype=dtype, lists=kind == "mmaction2-list")
    rounded = ["the rounding of features to float16"] if (stored, dtype) == ("fp32", "fp16") else []
    return rounded + _list_losses(bank, kind)


def _list_losses(bank: Bank, kind: ExportFormat) -> list[str]:
    others = {name: bank.count(name) for name in bank.manifest.row_sets if name != "detections"}
    losses = [f"{count:,} rows of {name}" for name, count in others.items() if count]
    if kind == "hdf5":
        return losses
    moved = bare = 0
    arrays: set[str] = set()
    for video in bank.videos:
        rows = bank.rows(video, "detections")
        moved += int((rows.timestamp % 1 != 0).sum())
        bare += len(np.setdiff1d(np.floor(bank.timestamps_seen(video)), np.floor(rows.timestamp)))
        if len(rows):
            arrays |= {name for name in rows.arrays() if bank.column(video, "detections", name) is not None}
    known = sorted(arrays - {"features", "timestamp"})
    return [
        *losses,
        *([f"{', '.join(known)} of the rows"] if known else []),
        *([f"the fractions of {moved:,} timestamps, which stand at their whole second"] if moved else []),
        *([f"{bare:,} seconds at which nobody was found"] if bare else []),
        *(["the provenance"] if bank.provenance else []),
    ]
