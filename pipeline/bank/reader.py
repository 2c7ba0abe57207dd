"""Read a bank: opening it reads and checks only the manifest; arrays are mapped when they are needed."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pipeline.bank.arrays import read_array
from pipeline.bank.feature_rows import FeatureRows, FloatArray
from pipeline.bank.format import (
    MANIFEST,
    PER_SPLIT,
    Manifest,
    Part,
    RowSet,
    array_spec,
    parse_manifest,
    part_folder,
)
from pipeline.bank.parts import check_metadata, check_shards, combine_parts, video_attributes, video_seconds
from pipeline.base.checksums import parse_sealed_json
from pipeline.base.errors import InputError
from pipeline.base.files import digest_value, read_json

NOWHERE = Path(os.devnull)
UNKNOWN = "unknown"  # stands for the producer of a bank that names none


class Fetched(Protocol):
    """The arrays of a bank on another machine."""

    reads: set[tuple[str, str]]
    "(part, row set) whose features were read; who fetches ahead takes them out."

    @property
    def cache_bytes(self) -> int:
        """Bytes that this machine keeps of them."""

    def piece(self, part: str, row_set: str, array: str) -> Path:
        """Fetch a shard, if it is not here, and return its row set's folder; the shard has been checked."""


@dataclass(frozen=True, eq=False)
class Bank:
    """A complete bank, read-only, addressed by video. `open_bank` and `open_parts` make it."""

    where: str  # for messages: the bank's path
    manifest: Manifest
    folders: Mapping[str, Path]  # part to its folder
    digest: str  # sha256 of the manifest: two banks with the same digest have the same bytes
    fetched: Fetched | None = None  # of a bank on another machine
    _attributes: dict[str, dict[str, Any]] = field(default_factory=dict, init=False)  # of the part read last

    def __repr__(self) -> str:
        rows = ", ".join(f"{self.count(name)} {name}" for name in self.manifest.row_sets)
        return f"Bank({self.where!r}, {len(self.videos)} videos, {rows}, {self.channels} channels {self.dtype})"

    @property
    def split(self) -> str:
        """train, val or test."""
        return self.manifest.split

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What made the rows: recipe, checkpoint, box source, settings."""
        return self.manifest.provenance

    @property
    def channels(self) -> int:
        """Channels of the features (C)."""
        return self.manifest.channels

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the features: float16 or float32."""
        return np.dtype(self.manifest.dtype)

    @property
    def parts(self) -> tuple[str, ...]:
        """Ids of the parts, sorted; each part is a folder that holds one video or several."""
        return tuple(self.manifest.parts)

    @cached_property
    def videos(self) -> tuple[str, ...]:
        """Ids of the videos, sorted."""
        return tuple(self.manifest.part_of)

    def count(self, row_set: str, video: str | None = None) -> int:
        """Count the rows of a row set, in one video or in all; 0 if the video or row set is not there."""
        if video is not None:
            return self._entry(video).videos[video].get(row_set, 0) if video in self.manifest.part_of else 0
        return sum(part.row_sets[row_set].rows for part in self.manifest.parts.values() if row_set in part.row_sets)

    def has_rows(self, video: str, row_set: str) -> bool:
        """Return whether the video has this row set, even if it is empty; unannotated videos have no `ground_truth`."""
        return video in self.manifest.part_of and row_set in self._entry(video).videos[video]

    def rows(self, video: str, row_set: str) -> FeatureRows:
        """Read all rows of one row set of a video, sorted by (timestamp, score descending, box).

        Uncompressed arrays are private mappings of their files: features cost nothing until they are used.

        Raises:
            InputError: there is no such video or row set, or a shard is missing, truncated or unreadable.
            DamagedError: a shard has other bytes than the manifest records.
        """
        folder, stored = self._stored(video, row_set)
        arrays = {name: self._read(folder, video, row_set, name) for name in stored.shard_bytes}
        boxes = arrays.pop("boxes_xyxy", np.full((self.count(row_set, video), 4), np.nan))
        return FeatureRows(boxes_xyxy=boxes, **arrays)

    def column(self, video: str, row_set: str, name: str) -> npt.NDArray[Any] | None:
        """Read one array of a row set (`features`, `timestamp`, ...); None if the bank does not have it.

        Raises:
            InputError: as `rows`.
        """
        folder, stored = self._stored(video, row_set, name)
        return self._read(folder, video, row_set, name) if name in stored.shard_bytes else None

    def fetch(self, video: str, row_set: str, name: str) -> None:
        """Fetch one array of a row set to this machine, if the bank has it and lies on another one.

        Raises:
            InputError: as `rows`.
        """
        part = self.part_of(video)
        stored = self.manifest.parts[part].row_sets.get(row_set)
        if self.fetched is not None and stored is not None and stored.rows and name in stored.shard_bytes:
            self.fetched.piece(part, row_set, name)

    def attributes(self, video: str) -> dict[str, Any]:
        """Return what the writer recorded with the video.

        Raises:
            InputError: there is no such video, or its part's metadata is missing or does not name it.
        """
        part = self.part_of(video)
        return video_attributes(self.part_attributes(part), video, f"{self.where}: part {part!r}")

    def part_attributes(self, part: str) -> dict[str, Any]:
        """Return the attributes in a part's `zarr.json`, which cover all its videos.

        Raises:
            InputError: the file is missing, or is not a Zarr group's.
            DamagedError: it has other bytes than the manifest records.
        """
        known = self._attributes.get(part)
        if known is None:
            path = self.folders[part] / "zarr.json"
            check_metadata(path, self.manifest.parts[part])
            found = read_json(path)
            if not isinstance(found, dict) or not isinstance(found.get("attributes"), dict):
                raise InputError(f"{path}: has no attributes, expected a Zarr v3 group's metadata")
            known = found["attributes"]
            self._attributes.clear()
            self._attributes[part] = known
        return known

    def timestamps_seen(self, video: str) -> FloatArray:
        """Return the sorted timestamps at which boxes were searched; one without rows showed no person.

        Raises:
            InputError: as `attributes`.
        """
        part = self.part_of(video)
        return np.asarray(video_seconds(self.part_attributes(part), video, f"{self.where}: part {part!r}"), np.float64)

    def part_of(self, video: str) -> str:
        """Return the part that holds the video.

        Raises:
            InputError: there is no such video.
        """
        if video not in self.manifest.part_of:
            raise InputError(f"{self.where}: has no video {video!r}")
        return self.manifest.part_of[video]

    def _entry(self, video: str) -> Part:
        return self.manifest.parts[self.part_of(video)]

    def _stored(self, video: str, row_set: str, only: str | None = None) -> tuple[Path, RowSet]:
        """Check the shards of the row set in the video's part, and return its folder and manifest entry.

        With `only`, only the bytes of that array are checked. `self.folders` is asked once here, not once per array,
        because each access fetches and checks a remote part.
        """
        part, entry = self.part_of(video), self._entry(video)
        if row_set not in entry.videos[video]:
            raise InputError(f"{self.where}: has no row set {row_set!r} of video {video!r}")
        stored = entry.row_sets[row_set]
        if self.fetched is not None and only is not None:
            if only not in stored.shard_bytes or not entry.videos[video][row_set]:
                return NOWHERE, stored
            if only == "features":
                self.fetched.reads.add((part, row_set))
            return self.fetched.piece(part, row_set, only), stored
        folder = self.folders[part] / row_set
        check_shards(folder, stored, f"{self.where}: part {part!r}: {row_set}", only=only)
        return folder, stored

    def _read(self, folder: Path, video: str, row_set: str, name: str) -> npt.NDArray[Any]:
        entry = self._entry(video)
        dtype, shape = array_spec(name, entry.row_sets[row_set].rows, self.channels, self.manifest.dtype)
        rows = entry.slices[row_set][video]
        return read_array(folder, name, dtype, shape, codec=self.manifest.codec, rows=rows)


def open_bank(path: Path) -> Bank:
    """Open a bank by its manifest; no Zarr metadata is read.

    Raises:
        InputError: there is no bank, half a bank, something else, or a bank of another format version.
    """
    manifest, digest = read_manifest(path)
    folders = {name: path / part_folder(name) for name in manifest.parts}
    there = {entry.name for entry in path.iterdir()}  # one listing: to stat each part would cost more than the manifest
    missing = [name for name, folder in folders.items() if folder.name not in there]
    if missing:
        raise InputError(
            f"{path}: half a bank: {len(missing)} of {len(folders)} parts are missing, the first is {missing[0]!r}"
        )
    return Bank(str(path), manifest, folders, digest)


def read_manifest(path: Path) -> tuple[Manifest, str]:
    """Read the manifest of the bank at `path`; return it and the sha256 of its bytes.

    Raises:
        InputError: as `open_bank`, except for missing parts.
    """
    if not path.is_dir():
        raise InputError(
            f"{path}: no such bank" if not path.exists() else f"{path}: is a file, expected a bank's folder"
        )
    file = path / MANIFEST
    if not file.is_file():
        if (path / "zarr.json").is_file():
            raise InputError(f"{path}: half a bank: {MANIFEST} is missing (it is written last)")
        raise InputError(f"{path}: not a feature bank: it has neither {MANIFEST} nor zarr.json")
    data = file.read_bytes()  # read once, so that a bank replaced meanwhile is read as the old or the new one
    return parse_manifest(parse_sealed_json(data, str(file)), str(file)), hashlib.sha256(data).hexdigest()


def open_parts(parts: Mapping[str, Path], provenance: Mapping[str, Any], *, split: str = "none") -> Bank:
    """Open the finished parts of a work directory as a bank.

    Raises:
        InputError: as `pipeline.bank.writer.assemble_bank`.
    """
    manifest = combine_parts(parts, split=split, provenance=provenance)
    where = str(next(iter(parts.values())).parent)
    return Bank(where, manifest, {name: parts[name] for name in manifest.parts}, digest_value(manifest.to_json()))


def differing_settings(one: Bank, other: Bank) -> dict[str, list[Any]]:
    """Return every setting in which two banks differ: key to both values."""
    first, second = (
        {key: value for key, value in bank.provenance.items() if key not in PER_SPLIT}
        | {"channels": bank.channels, "dtype": str(bank.dtype)}
        for bank in (one, other)
    )
    keys = sorted(set(first) | set(second))
    return {key: [first.get(key), second.get(key)] for key in keys if first.get(key) != second.get(key)}


def check_pair(train: Bank, val: Bank, *, allow_mixed: bool) -> dict[str, list[Any]]:
    """Check that train and val banks were made by the same checkpoint and settings.

    Returns:
        The differences, for the record: empty unless `allow_mixed` accepts them.

    Raises:
        InputError: they differ and `allow_mixed` is not set, or they differ in channels, which is never accepted.
    """
    differences = differing_settings(train, val)
    if differences and (not allow_mixed or "channels" in differences):
        shown = "; ".join(f"{key} is {one!r} and {other!r}" for key, (one, other) in differences.items())
        remedy = "" if "channels" in differences else "; bank.allow_mixed=true uses them all the same"
        raise InputError(f"{train.where} and {val.where} do not belong together: {shown}{remedy}")
    return differences


def check_producer(
    bank: Bank, expected_sha256: str, *, allow_mixed: bool = False, remedy: str = ""
) -> dict[str, list[Any]]:
    """Check that the expected checkpoint made a bank.

    Args:
        bank: any bank.
        expected_sha256: of the checkpoint; `unknown` expects a bank that names none, as banks of other projects.
        allow_mixed: accept any checkpoint.
        remedy: the end of the message; FOUND in it is replaced by the value that would accept this bank.

    Returns:
        The difference, for the record: empty unless `allow_mixed` accepts one.

    Raises:
        InputError: the checkpoint differs, or the bank names none, and `allow_mixed` is not set.
    """
    found = bank.provenance.get("checkpoint_sha256")
    if found == (None if expected_sha256 == UNKNOWN else expected_sha256):
        return {}
    if not allow_mixed:
        made = f"checkpoint {found}" if found else "a checkpoint that it does not name"
        end = f"; {remedy}" if remedy else ""
        raise InputError(
            f"{bank.where}: was made by {made}, expected {expected_sha256}{end}".replace("FOUND", found or UNKNOWN)
        )
    return {"checkpoint_sha256": [found, expected_sha256]}
