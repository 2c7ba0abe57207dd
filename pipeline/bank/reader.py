"""Reading a bank: opened and checked by its manifest alone, arrays mapped when they are asked for."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.bank.arrays import read_array
from pipeline.bank.format import (
    MANIFEST,
    PER_SPLIT,
    ROW_SETS,
    Manifest,
    RowSet,
    array_spec,
    parse_manifest,
    part_folder,
)
from pipeline.bank.parts import check_shards, combine_parts
from pipeline.bank.rows import FloatArray, Rows
from pipeline.errors import InputError
from pipeline.files import digest_value, read_json


@dataclass(frozen=True, eq=False)
class Bank:
    """A whole bank, read-only. `open_bank` and `open_parts` make it."""

    where: str  # for messages: the bank's path
    manifest: Manifest
    folders: Mapping[str, Path]  # part to its folder
    digest: str  # sha256 of the manifest: two banks with the same digest have the same bytes

    def __repr__(self) -> str:
        rows = ", ".join(f"{self.count(name)} {name}" for name in ROW_SETS)
        return f"Bank({self.where!r}, {len(self.parts)} parts, {rows}, {self.channels} channels {self.dtype})"

    @property
    def split(self) -> str:
        """train, val or test."""
        return self.manifest.split

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What made the rows."""
        return self.manifest.provenance

    @property
    def channels(self) -> int:
        """C of the features."""
        return self.manifest.channels

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the features: float16 or float32."""
        return np.dtype(self.manifest.dtype)

    @property
    def parts(self) -> tuple[str, ...]:
        """Ids of the parts, sorted."""
        return tuple(self.manifest.parts)

    @property
    def videos(self) -> tuple[str, ...]:
        """Ids of the videos, sorted."""
        return tuple(self.manifest.parts)

    def count(self, row_set: str, part: str | None = None) -> int:
        """Rows of a row set, in one part or in all; 0 where there is none."""
        names = self.parts if part is None else (part,)
        return sum(self.manifest.parts[name].row_sets[row_set].rows for name in names if self.has_rows(name, row_set))

    def has_rows(self, part: str, row_set: str) -> bool:
        """Whether the part has this row set, be it empty; without annotations it has no `ground_truth`."""
        return part in self.manifest.parts and row_set in self.manifest.parts[part].row_sets

    def rows(self, part: str, row_set: str) -> Rows:
        """All rows of one row set, sorted by (timestamp, score descending, box).

        Uncompressed arrays are private mappings of their files: features cost nothing until they are used.

        Raises:
            InputError: there is no such part or row set, or a shard is missing, cut or unreadable.
        """
        entry = self._entry(part, row_set)
        arrays = {name: self._read(part, row_set, name) for name in entry.shard_bytes}
        boxes = arrays.pop("boxes_xyxy", np.full((entry.rows, 4), np.nan))
        return Rows(boxes_xyxy=boxes, **arrays)

    def column(self, part: str, row_set: str, name: str) -> npt.NDArray[Any] | None:
        """One array of a row set (`features`, `timestamp`, ...), or None where the bank has it not.

        Raises:
            InputError: as `rows`.
        """
        return self._read(part, row_set, name) if name in self._entry(part, row_set).shard_bytes else None

    def attributes(self, part: str) -> dict[str, Any]:
        """What was recorded with the part.

        Raises:
            InputError: there is no such part, or its metadata is missing.
        """
        if part not in self.folders:
            raise InputError(f"{self.where}: has no part {part!r}")
        path = self.folders[part] / "zarr.json"
        found = read_json(path)
        if not isinstance(found, dict) or not isinstance(found.get("attributes"), dict):
            raise InputError(f"{path}: has no attributes, expected a Zarr v3 group's metadata")
        return dict(found["attributes"])

    def timestamps_seen(self, part: str) -> FloatArray:
        """Timestamps at which boxes were looked for, sorted; one without rows had no person.

        Raises:
            InputError: as `attributes`.
        """
        return np.asarray(self.attributes(part).get("timestamps_seen", []), np.float64)

    def _entry(self, part: str, row_set: str) -> RowSet:
        if not self.has_rows(part, row_set):
            missing = f"no row set {row_set!r} in part {part!r}" if part in self.folders else f"no part {part!r}"
            raise InputError(f"{self.where}: has {missing}")
        entry = self.manifest.parts[part].row_sets[row_set]
        check_shards(self.folders[part] / row_set, entry, f"{self.where}: part {part!r}: {row_set}")
        return entry

    def _read(self, part: str, row_set: str, name: str) -> npt.NDArray[Any]:
        dtype, shape = array_spec(
            name, self.manifest.parts[part].row_sets[row_set].rows, self.channels, self.manifest.dtype
        )
        return read_array(self.folders[part] / row_set, name, dtype, shape, codec=self.manifest.codec)


def open_bank(path: Path) -> Bank:
    """Open a bank by its manifest; no Zarr metadata is read.

    Raises:
        InputError: there is no bank, half a bank, something else, or a bank of another format version.
    """
    manifest, digest = read_manifest(path)
    folders = {name: path / part_folder(name) for name in manifest.parts}
    there = {entry.name for entry in path.iterdir()}
    missing = [name for name, folder in folders.items() if folder.name not in there]
    if missing:
        raise InputError(
            f"{path}: half a bank: {len(missing)} of {len(folders)} parts are missing, the first is {missing[0]!r}"
        )
    return Bank(str(path), manifest, folders, digest)


def read_manifest(path: Path) -> tuple[Manifest, str]:
    """The manifest of the bank at `path` and the sha256 of its bytes.

    Raises:
        InputError: as `open_bank`, but for missing parts.
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
    value = read_json(file)
    return parse_manifest(value, str(file)), hashlib.sha256(file.read_bytes()).hexdigest()


def open_parts(parts: Mapping[str, Path], provenance: Mapping[str, Any], *, split: str = "none") -> Bank:
    """The finished parts of a work directory with the interface of a bank.

    Raises:
        InputError: as `pipeline.bank.writer.assemble_bank`.
    """
    manifest = combine_parts(parts, split=split, provenance=provenance)
    where = str(next(iter(parts.values())).parent)
    return Bank(where, manifest, {name: parts[name] for name in manifest.parts}, digest_value(manifest.to_json()))


def differing_settings(one: Bank, other: Bank) -> dict[str, list[Any]]:
    """Key to both values, for every setting in which two banks differ."""
    first, second = (
        {key: value for key, value in bank.provenance.items() if key not in PER_SPLIT}
        | {"channels": bank.channels, "dtype": str(bank.dtype)}
        for bank in (one, other)
    )
    keys = sorted(set(first) | set(second))
    return {key: [first.get(key), second.get(key)] for key in keys if first.get(key) != second.get(key)}


def check_pair(train: Bank, val: Bank, *, allow_mixed: bool) -> dict[str, list[Any]]:
    """Refuse train and val banks that were made by different checkpoints or settings.

    Returns:
        The differences, for the record: empty unless `allow_mixed` lets them pass.

    Raises:
        InputError: they differ and `allow_mixed` is not set, or differ in channels, which cannot be mixed.
    """
    differences = differing_settings(train, val)
    if differences and (not allow_mixed or "channels" in differences):
        shown = "; ".join(f"{key} is {one!r} and {other!r}" for key, (one, other) in differences.items())
        remedy = "" if "channels" in differences else "; bank.allow_mixed=true uses them all the same"
        raise InputError(f"{train.where} and {val.where} do not belong together: {shown}{remedy}")
    return differences


def check_producer(bank: Bank, expected_sha256: str, *, allow_mixed: bool = False) -> dict[str, list[Any]]:
    """Refuse a bank that another checkpoint made than the expected one.

    Returns:
        The difference, for the record: empty unless `allow_mixed` lets it pass.

    Raises:
        InputError: the checkpoint differs, or the bank does not say, and `allow_mixed` is not set.
    """
    found = bank.provenance.get("checkpoint_sha256")
    if found == expected_sha256:
        return {}
    if not allow_mixed:
        made = f"checkpoint {found}" if found else "a checkpoint that it does not name"
        raise InputError(f"{bank.where}: was made by {made}, expected {expected_sha256}")
    return {"checkpoint_sha256": [found, expected_sha256]}
