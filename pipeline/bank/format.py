"""The bank's format: names, arrays and the manifest. `docs/bank-format.md` describes it in prose.

A bank is a Zarr v3 group and a manifest that is written last. Only the manifest shows whether a bank is complete: a
Zarr reader reports no error for a missing shard, it reads the fill value.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from pipeline.base.errors import InputError
from pipeline.base.files import digest_file

FORMAT = "actionbank-feature-bank"
VERSION = 2
MANIFEST = "manifest.json"
PART_RECORD = "part.json"  # one part's manifest entry, kept beside the part in its work folder
ROW_SETS = ("detections", "ground_truth", "objects")
FEATURE_DTYPES = {"fp16": "float16", "fp32": "float32"}
CODECS = ("none", "zstd", "lz4")
CHUNK_ROWS = 64
SHA256 = re.compile("[0-9a-f]{64}")
CRC32C = re.compile("[0-9a-f]{8}")
# Array to (dtype, number of columns); None columns: a vector; 0: the bank's channels; no dtype: the bank's.
ARRAYS: dict[str, tuple[str, int | None]] = {
    "features": ("", 0),
    "timestamp": ("float64", None),
    "boxes_xyxy": ("float64", 4),
    "score": ("float32", None),
    "track_id": ("int64", None),
}
REQUIRED_ARRAYS = ("features", "timestamp")
# Keys that a bank's provenance should have; `bank info` lists the missing ones.
PROVENANCE = (
    "recipe", "checkpoint_sha256", "pooling", "box_source", "box_threshold", "seconds", "compute_dtype",
    "frames_sha256",
)  # fmt: skip
# Provenance that belongs to the films of one split; all other keys are settings, which train and val must share.
PER_SPLIT = ("frames_sha256", "boxes_sha256", "imported_from", "source_sha256")


def part_folder(part: str) -> str:
    """Return the folder name of a part: ASCII letters, digits, `-` and `_` stay, other bytes are percent-encoded.

    Dots are encoded too, so that no id can become `..`, `zarr.json` or a hidden file. The first of two leading
    underscores is also encoded, because Zarr reserves such names. If the result has more than 200 bytes, letters and
    digits of every alphabet stay unencoded: encoding them triples their bytes.

    Raises:
        InputError: the id is empty, not text, or its folder name would be longer than 200 bytes.
    """
    try:
        name = _encoded(part)
    except UnicodeEncodeError:
        raise InputError(f"part {part!r}: the id is not valid Unicode text") from None
    if len(name) > 200:
        name = "".join(each if each.isalnum() or each in "-_" else _encoded(each) for each in part)
    name = "%5F" + name[1:] if name.startswith("__") else name
    if not 0 < len(name.encode()) <= 200:
        raise InputError(f"part {part!r}: its folder name would have {len(name.encode())} bytes, expected 1 to 200")
    return name


def _encoded(text: str) -> str:
    return quote(text, safe="").replace(".", "%2E").replace("~", "%7E")


def part_name(folder: str) -> str:
    """Return the id of the part that is stored in `folder`."""
    return unquote(folder, errors="strict")


def array_spec(name: str, rows: int, channels: int, dtype: str) -> tuple[str, tuple[int, ...]]:
    """Return (dtype, shape) of an array in a bank of `channels` channels and feature type `dtype`."""
    kind, width = ARRAYS[name]
    shape = (rows,) if width is None else (rows, width or channels)
    return kind or dtype, shape


def shard_name(array: str) -> str:
    """Return the path of the array's only shard, relative to the row set's folder."""
    return f"{array}/c/0" if ARRAYS[array][1] is None else f"{array}/c/0/0"


@dataclass(frozen=True)
class RowSet:
    """The manifest's entry of one row set of a part."""

    rows: int  # of all its videos
    sha256: str  # listing digest of the row set's folder
    shard_bytes: Mapping[str, int]  # array to size of its shard; 0 (and no file) where there are no rows
    shard_crc32c: Mapping[str, str] = field(default_factory=dict)
    "Array to CRC32C of its shard, which readers check; empty in banks that are older than these checksums."

    def files(self) -> list[str]:
        """List every file of the row set, relative to its folder, sorted."""
        shards = [shard_name(array) for array, size in self.shard_bytes.items() if size]
        return sorted(["zarr.json", *(f"{array}/zarr.json" for array in self.shard_bytes), *shards])


@dataclass(frozen=True)
class Part:
    """The manifest's entry of one part, which holds the rows of one video or of several.

    The rows of a video stand together; videos follow each other in the order of their ids.
    """

    metadata_sha256: str  # of the part's own zarr.json
    videos: Mapping[str, Mapping[str, int]]  # sorted ids to {row set: rows}; sets that a video lacks are left out
    row_sets: Mapping[str, RowSet]

    @cached_property
    def slices(self) -> Mapping[str, Mapping[str, slice]]:
        """Row set to {video: slice of its rows}."""
        return {name: _slices(self.videos, name) for name in self.row_sets}

    def files(self) -> list[str]:
        """List every file of the part, relative to its folder, sorted."""
        return sorted(
            [
                "zarr.json",
                *(f"{name}/{file}" for name, each in self.row_sets.items() for file in each.files()),
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """Return the entry as `manifest.json` holds it."""
        sets = {
            name: {"rows": each.rows, "sha256": each.sha256, "shard_bytes": dict(each.shard_bytes)}
            | ({"shard_crc32c": dict(each.shard_crc32c)} if each.shard_crc32c else {})
            for name, each in self.row_sets.items()
        }
        videos = {video: dict(rows) for video, rows in self.videos.items()}
        return {"metadata_sha256": self.metadata_sha256, "videos": videos, "row_sets": sets}


def _slices(videos: Mapping[str, Mapping[str, int]], row_set: str) -> dict[str, slice]:
    slices, first = {}, 0
    for video, rows in videos.items():
        if row_set in rows:
            slices[video] = slice(first, first + rows[row_set])
            first += rows[row_set]
    return slices


@dataclass(frozen=True)
class Manifest:
    """The manifest of a bank: what the bank must hold to be complete."""

    split: str
    channels: int
    dtype: str  # of the features: float16 or float32
    codec: str
    provenance: Mapping[str, Any]
    metadata_sha256: str  # of the bank's own zarr.json
    parts: Mapping[str, Part]

    @cached_property
    def part_of(self) -> Mapping[str, str]:
        """Video to the part that holds it, sorted by video."""
        return dict(sorted((video, name) for name, part in self.parts.items() for video in part.videos))

    @cached_property
    def row_sets(self) -> tuple[str, ...]:
        """The row sets of the bank, in the order of ROW_SETS; without `objects` if no part has them."""
        there = {name for part in self.parts.values() for name in part.row_sets}
        return tuple(name for name in ROW_SETS if name != "objects" or name in there)

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as `manifest.json` holds it."""
        return {
            "format": FORMAT, "version": VERSION, "split": self.split, "channels": self.channels,
            "dtype": self.dtype, "codec": self.codec, "provenance": dict(self.provenance),
            "metadata_sha256": self.metadata_sha256,
            "rows": {
                name: sum(each.row_sets[name].rows for each in self.parts.values() if name in each.row_sets)
                for name in self.row_sets
            },
            "parts": {name: each.to_json() for name, each in self.parts.items()},
        }  # fmt: skip


def listing_digest(folder: Path, files: list[str]) -> str:
    """Compute the sha256 (hex) of what `sha256sum` prints for `files` (relative to `folder`, in the given order)."""
    return hashlib.sha256("".join(f"{digest_file(folder / name)}  {name}\n" for name in files).encode()).hexdigest()


def check_version(value: Any, where: str) -> dict[str, Any]:
    """Check that `value` belongs to a feature bank of a version that this program reads, and return it.

    Raises:
        InputError: it is something else, or has another version.
    """
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        found = value.get("format") if isinstance(value, dict) else type(value).__name__
        raise InputError(f"{where}: not of a feature bank: format is {found!r}, expected {FORMAT!r}")
    found = value.get("version")
    if found != VERSION:
        # Version 1 was never published, so every bank of it can be made again.
        remedy = "; make the bank anew" if found == 1 else ""
        raise InputError(f"{where}: format version is {found!r}, this program reads {VERSION}{remedy}")
    return value


def parse_part(value: Any, where: str) -> Part:
    """Check and build the manifest entry of one part.

    Raises:
        InputError: a key is missing or has a wrong value.
    """
    sets = {}
    for name, each in take(value, "row_sets", dict, where).items():
        at = f"{where}: {name}"
        sizes = take(each, "shard_bytes", dict, at)
        if name not in ROW_SETS:
            raise InputError(f"{where}: row set is {name!r}, expected one of {', '.join(ROW_SETS)}")
        if not set(REQUIRED_ARRAYS) <= set(sizes) <= set(ARRAYS):
            raise InputError(f"{at}: arrays are {sorted(sizes)}, expected some of {sorted(ARRAYS)}")
        rows = take(each, "rows", int, at)
        if any(type(size) is not int or (size > 0) != (rows > 0) for size in sizes.values()):
            raise InputError(f"{at}: shard_bytes are {sizes}, expected a size per array of {rows} rows")
        checksums = take(each, "shard_crc32c", dict, at) if "shard_crc32c" in each else {}
        if checksums and (
            set(checksums) != {array for array, size in sizes.items() if size}
            or not all(isinstance(value, str) and CRC32C.fullmatch(value) for value in checksums.values())
        ):
            raise InputError(f"{at}: shard_crc32c is {checksums!r:.80}, expected eight hexadecimal digits per shard")
        sets[name] = RowSet(rows, take_sha256(each, "sha256", at), sizes, checksums)
    if "detections" not in sets:
        raise InputError(f"{where}: row sets are {sorted(sets)}, expected detections among them")
    return Part(take_sha256(value, "metadata_sha256", where), _parse_videos(value, sets, where), sets)


def _parse_videos(value: Any, sets: Mapping[str, RowSet], where: str) -> dict[str, Mapping[str, int]]:
    """Return the sorted videos of a part's entry; their row counts must add up to those of the row sets."""
    videos = dict(sorted(take(value, "videos", dict, where).items()))
    if not videos:
        raise InputError(f"{where}: videos is empty, expected one or more")
    totals = dict.fromkeys(sets, 0)
    for video, rows in videos.items():
        if not isinstance(rows, dict) or "detections" not in rows or not rows.keys() <= sets.keys():
            raise InputError(f"{where}: video {video!r} has {rows!r:.80}, expected its rows of {' and '.join(sets)}")
        for name, count in rows.items():
            if type(count) is not int or count < 0:
                raise InputError(f"{where}: video {video!r} has {count!r:.80} rows of {name}, expected a count")
            totals[name] += count
    for name, total in totals.items():
        if total != sets[name].rows:
            raise InputError(f"{where}: {name}: rows is {sets[name].rows}, its videos have {total}")
    return videos


def parse_manifest(value: Any, where: str) -> Manifest:
    """Check and build a whole manifest.

    Raises:
        InputError: it is not a bank's manifest, has another version, or a key is missing or has a wrong value.
    """
    value = check_version(value, where)
    manifest = Manifest(
        split=take(value, "split", str, where),
        channels=take(value, "channels", int, where),
        dtype=take(value, "dtype", tuple(FEATURE_DTYPES.values()), where),
        codec=take(value, "codec", CODECS, where),
        provenance=take(value, "provenance", dict, where),
        metadata_sha256=take_sha256(value, "metadata_sha256", where),
        parts={
            name: parse_part(each, f"{where}: part {name!r}")
            for name, each in sorted(take(value, "parts", dict, where).items())
        },
    )
    check_videos_once(manifest, where)
    return manifest


def check_videos_once(manifest: Manifest, where: str) -> None:
    """Check that no video is in two parts.

    Raises:
        InputError: names the first such video and its parts.
    """
    if len(manifest.part_of) == sum(len(part.videos) for part in manifest.parts.values()):
        return
    for video in manifest.part_of:
        parts = [name for name, part in manifest.parts.items() if video in part.videos]
        if len(parts) > 1:
            raise InputError(f"{where}: video {video!r} stands in parts {parts[0]!r} and {parts[1]!r}, expected in one")


def take(value: Any, key: str, kind: type[Any] | tuple[str, ...], where: str) -> Any:
    """Return `value[key]` if it is of type `kind` (an int must not be negative), or one of the strings in `kind`.

    Raises:
        InputError: it is missing or something else.
    """
    found = value.get(key) if isinstance(value, dict) else None
    if isinstance(kind, tuple):
        good, expected = found in kind, " or ".join(kind)
    else:
        good, expected = type(found) is kind and not (isinstance(found, int) and found < 0), kind.__name__
    if not good:
        raise InputError(f"{where}: {key} is {found!r:.80}, expected {expected}")
    return found


def take_sha256(value: Any, key: str, where: str) -> str:
    """Return `value[key]` if it is a sha256 in hex.

    Raises:
        InputError: it is missing or something else.
    """
    found = take(value, key, str, where)
    if not SHA256.fullmatch(found):
        raise InputError(f"{where}: {key} is {found!r:.80}, expected a sha256")
    return str(found)
