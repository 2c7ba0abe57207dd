"""Finished parts: read their records, check their files, and combine several parts into one bank."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.bank.format import (
    CODECS,
    FEATURE_DTYPES,
    FORMAT,
    PART_RECORD,
    PER_SPLIT,
    VERSION,
    Manifest,
    Part,
    RowSet,
    check_version,
    check_videos_once,
    listing_digest,
    parse_part,
    shard_name,
    take,
)
from pipeline.base.checksums import REMEDY, check_file, file_state, is_settled, read_sealed_json, with_remedy
from pipeline.base.errors import DamagedError, InputError
from pipeline.base.files import digest_file

NO_DIGEST = "0" * 64
RESERVED_ATTRIBUTES = ("part", "videos", "timestamps_seen")  # names that a writer may not use for its own attributes


@dataclass(frozen=True)
class PartRecord:
    """`part.json`: the manifest entry of a part in a work folder, and what all parts of a bank must agree on."""

    part: str
    channels: int
    dtype: str
    codec: str
    attributes: Mapping[str, Any]  # all attributes of the part's zarr.json
    entry: Part

    def to_json(self) -> dict[str, Any]:
        """Return the record as `part.json` holds it."""
        return {
            "format": FORMAT, "version": VERSION, "part": self.part, "channels": self.channels,
            "dtype": self.dtype, "codec": self.codec, "attributes": dict(self.attributes),
            **self.entry.to_json(),
        }  # fmt: skip


def read_part_record(folder: Path, part: str) -> PartRecord:
    """Read the record of the finished part in `folder`.

    Raises:
        InputError: the folder holds no finished part, or another one.
    """
    path = folder / PART_RECORD
    if not path.is_file():
        raise InputError(f"{folder}: not a finished part: {PART_RECORD} is missing (it is written last)")
    value = check_version(read_sealed_json(path, required=True), str(path))
    if value.get("part") != part:
        raise InputError(f"{path}: holds part {value.get('part')!r}, expected {part!r}")
    record = PartRecord(
        part,
        take(value, "channels", int, str(path)),
        take(value, "dtype", tuple(FEATURE_DTYPES.values()), str(path)),
        take(value, "codec", CODECS, str(path)),
        take(value, "attributes", dict, str(path)),
        parse_part(value, str(path)),
    )
    for video in record.entry.videos:
        video_attributes(record.attributes, video, str(path))
    return record


def video_attributes(attributes: Mapping[str, Any], video: str, where: str) -> dict[str, Any]:
    """Return the attributes recorded with one video of a part: those common to all its videos, and its own.

    Raises:
        InputError: the attributes do not name the video, or do not follow the format.
    """
    own = take(take(attributes, "videos", dict, where), video, dict, where)
    recorded: dict[str, Any] = take(own, "attributes", dict, f"{where}: video {video!r}")
    return {key: value for key, value in attributes.items() if key not in RESERVED_ATTRIBUTES} | recorded


def video_seconds(attributes: Mapping[str, Any], video: str, where: str) -> list[float]:
    """Return the `timestamps_seen` of one video of a part.

    Raises:
        InputError: as `video_attributes`.
    """
    own = take(take(attributes, "videos", dict, where), video, dict, where)
    seen: list[float] = take(own, "timestamps_seen", list, f"{where}: video {video!r}")
    return seen


def check_alike(records: Sequence[PartRecord]) -> None:
    """Check that parts can be in one bank.

    Raises:
        InputError: they differ in channels, dtype or codec; names the first that differs.
    """
    first = records[0]
    for record in records:
        for key in ("channels", "dtype", "codec"):
            ours, theirs = getattr(first, key), getattr(record, key)
            if ours != theirs:
                raise InputError(
                    f"parts of one bank differ in {key}: {first.part!r} has {ours}, {record.part!r} has {theirs}"
                )


def combine_parts(parts: Mapping[str, Path], *, split: str, provenance: Mapping[str, Any]) -> Manifest:
    """Make the manifest of a bank of these finished parts, with zeros for the digest of its root `zarr.json`.

    Args:
        parts: id to folder, as `write_part` or `write_pack` left it.
        split: train, val or test.
        provenance: what made the rows. A video's attribute of the same name must have the same value, and
            every video must have the provenance's `checkpoint_sha256`.

    Raises:
        InputError: a part is unfinished or has another id, parts differ in channels, dtype, codec or provenance, or
            two parts hold the same video.
    """
    if not parts:
        raise InputError(f"a bank of split {split!r} has no parts, expected at least one")
    records = [read_part_record(folder, name) for name, folder in sorted(parts.items())]
    check_alike(records)
    for record in records:
        for video in record.entry.videos:
            attributes = video_attributes(record.attributes, video, record.part)
            for key in sorted(((attributes.keys() & provenance.keys()) | {"checkpoint_sha256"}) - set(PER_SPLIT)):
                found, expected = attributes.get(key), provenance.get(key)
                if found != expected:
                    raise InputError(f"video {video!r} was made with {key} {found!r}, the bank with {expected!r}")
        check_stored(parts[record.part], record.entry, f"part {record.part!r}")
    entries = {record.part: record.entry for record in records}
    first = records[0]
    manifest = Manifest(split, first.channels, first.dtype, first.codec, provenance, NO_DIGEST, entries)
    check_videos_once(manifest, f"a bank of split {split!r}")
    return manifest


def check_stored(folder: Path, entry: Part, where: str, *, remedy: str = REMEDY) -> None:
    """Check that a part's files hold the bytes that its manifest records.

    Raises:
        InputError: see `check_shards` and `check_metadata`.
        DamagedError: a file has other bytes.
    """
    for name, row_set in entry.row_sets.items():
        check_shards(folder / name, row_set, f"{where}: {name}", remedy=remedy)
    check_metadata(folder / "zarr.json", entry, remedy=remedy)


def check_shards(folder: Path, row_set: RowSet, where: str, *, only: str | None = None, remedy: str = REMEDY) -> None:
    """Check that a row set's shards hold the bytes that its manifest records.

    A process reads each shard once, and again only after its file has changed. With `only`, only that array's shard is
    read.

    Raises:
        InputError: a shard is missing (Zarr would read fill values) or has another size; names the first such shard,
            what was found and what the manifest records.
        DamagedError: a shard has other bytes.
    """
    check_shard_sizes(folder, row_set, where, remedy=remedy)
    for array, expected in row_set.shard_crc32c.items():
        if only in (None, array):
            check_file(folder / shard_name(array), expected, remedy=remedy)
    if row_set.rows and not row_set.shard_crc32c:
        _check_listing(folder, row_set, where, remedy)


_listed: set[tuple[Any, ...]] = set()  # states of row sets whose digest was found to match the manifest


def _check_listing(folder: Path, row_set: RowSet, where: str, remedy: str) -> None:
    """Compare sha256 digests, for a bank that has no checksums yet."""
    states = [file_state((folder / name).stat()) for name in row_set.files()]
    key = (row_set.sha256, *states)
    if key in _listed:
        return
    found = listing_digest(folder, row_set.files())
    if found != row_set.sha256:
        raise DamagedError(with_remedy(f"{where}: is damaged: has digest {found}, expected {row_set.sha256}", remedy))
    if all(is_settled(state) for state in states):
        _listed.add(key)


def check_shard_sizes(folder: Path, row_set: RowSet, where: str, *, remedy: str = REMEDY) -> None:
    """Check that no shard of a row set is missing or has another size; no shard is read.

    Raises:
        InputError: see `check_shards`.
    """
    for array, expected in row_set.shard_bytes.items():
        if not expected:
            continue
        try:
            found = (folder / shard_name(array)).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            fault = f"{where}: the shard of {array} is missing, expected {expected} bytes"
            raise InputError(with_remedy(fault, remedy)) from None
        if found != expected:
            fault = f"{where}: the shard of {array} has {found} bytes, expected {expected}"
            raise InputError(with_remedy(fault, remedy))


def check_metadata(path: Path, entry: Part, *, remedy: str = REMEDY) -> None:
    """Check that a part's `zarr.json` holds the bytes that its manifest records.

    Raises:
        InputError: the file is missing.
        DamagedError: it has other bytes.
    """
    try:
        found = digest_file(path)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file") from None
    if found != entry.metadata_sha256:
        raise DamagedError(
            with_remedy(f"{path}: is damaged: sha256 is {found}, expected {entry.metadata_sha256}", remedy)
        )
