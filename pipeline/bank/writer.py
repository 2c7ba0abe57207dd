"""Write a bank: one writer writes each video's part into a work folder, then all parts are linked into one bank.

In between, `pipeline.bank.pack` may combine the videos of several parts into one part.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.bank.arrays import create_group, write_array
from pipeline.bank.feature_rows import FeatureRows, FloatArray, VideoRows, non_finite_rows
from pipeline.bank.format import (
    CODECS,
    FEATURE_DTYPES,
    FORMAT,
    MANIFEST,
    PART_RECORD,
    VERSION,
    Part,
    RowSet,
    listing_digest,
    part_folder,
    shard_name,
)
from pipeline.bank.parts import RESERVED_ATTRIBUTES, PartRecord, combine_parts
from pipeline.base.checksums import checksum_text, file_crc32c, write_sealed_json
from pipeline.base.errors import InputError
from pipeline.base.files import digest_file, json_text, link_file, replace_folder, sync_file

# Row set to {array: values}, in the stored form.
Arrays = Mapping[str, Mapping[str, npt.NDArray[Any]]]


def write_part(
    folder: Path,
    *,
    part: str,
    rows: VideoRows,
    seconds_seen: Sequence[float] | FloatArray,
    attributes: Mapping[str, Any],
    dtype: str,
    codec: str,
) -> None:
    """Write the finished part of one video; `folder` appears (or is replaced) as a whole.

    Args:
        folder: a work folder of this part alone.
        part: id of the video, and so of the part.
        rows: see `VideoRows`.
        seconds_seen: timestamps at which boxes were searched; one without rows showed no person.
        attributes: values to record with the video; `checkpoint_sha256` among them if the bank's provenance has it.
        dtype: "fp16" or "fp32".
        codec: "none", "zstd" or "lz4".

    Raises:
        InputError: a value is not finite, or too large for fp16.
        ValueError: the row sets have different numbers of channels, or an attribute's name is reserved.
    """
    if dtype not in FEATURE_DTYPES or codec not in CODECS:
        raise ValueError(f"dtype {dtype!r} or codec {codec!r} is unknown")
    if set(attributes) & set(RESERVED_ATTRIBUTES):
        raise ValueError(f"attributes may not name {' or '.join(RESERVED_ATTRIBUTES)}")
    row_sets = rows.by_name()
    widths = {name: each.features.shape[1] for name, each in row_sets.items()}
    if len(set(widths.values())) > 1:
        raise ValueError(f"part {part!r}: row sets have different channels: {widths}")
    seen = np.unique(np.asarray(seconds_seen, np.float64))
    if not np.isfinite(seen).all():
        raise InputError(f"part {part!r}: the seconds seen hold {seen[-1]}, expected finite numbers")
    for name in row_sets.keys() & {"detections", "objects"}:
        unseen = np.setdiff1d(row_sets[name].timestamp, seen)
        if len(unseen):
            raise InputError(
                f"part {part!r}: {name} stand at timestamp {unseen[0]}, which is not among the seconds seen"
            )
    stored = {
        name: _stored_arrays(each, f"part {part!r}: {name}", FEATURE_DTYPES[dtype]) for name, each in row_sets.items()
    }
    videos = {
        part: {
            "rows": {name: len(each) for name, each in row_sets.items()},
            "timestamps_seen": seen.tolist(),
            "attributes": {},
        }
    }
    write_part_files(folder, part=part, videos=videos, row_sets=stored, attributes=attributes, codec=codec)


def write_part_files(
    folder: Path,
    *,
    part: str,
    videos: Mapping[str, Mapping[str, Any]],
    row_sets: Arrays,
    attributes: Mapping[str, Any],
    codec: str,
) -> None:
    """Write the files of a part, its record last; `folder` appears (or is replaced) as a whole.

    Args:
        folder: a work folder of this part alone.
        part: the part's id.
        videos: for each video `rows` (for each row set that it has), `timestamps_seen` and its own `attributes`.
        row_sets: the arrays of all videos, concatenated in the order of their ids.
        attributes: values that all videos have in common.
        codec: see `write_part`.

    Raises:
        InputError: the id cannot be a part's id.
    """
    part_folder(part)  # refuses an invalid id before anything is written
    attributes = _plain({**attributes, "part": part, "videos": videos})
    with replace_folder(folder) as partial:
        create_group(partial, attributes)
        sets = {name: _write_row_set(partial / name, arrays, codec) for name, arrays in row_sets.items()}
        rows = {video: each["rows"] for video, each in attributes["videos"].items()}
        entry = Part(digest_file(partial / "zarr.json"), rows, sets)
        for file in entry.files():
            sync_file(partial / file)
            (partial / file).chmod(0o444)
        features = row_sets["detections"]["features"]
        record = PartRecord(part, features.shape[1], features.dtype.name, codec, attributes, entry)
        write_sealed_json(partial / PART_RECORD, record.to_json())


def _write_row_set(folder: Path, arrays: Mapping[str, npt.NDArray[Any]], codec: str) -> RowSet:
    """Write one row set below the part's group; return its manifest entry."""
    create_group(folder)
    for array, values in arrays.items():
        write_array(folder, array, values, codec)
    rows = len(arrays["features"])
    sizes = {array: (folder / shard_name(array)).stat().st_size if rows else 0 for array in arrays}
    checksums = {array: checksum_text(file_crc32c(folder / shard_name(array))) for array in arrays if rows}
    entry = RowSet(rows, "", sizes, checksums)
    return replace(entry, sha256=listing_digest(folder, entry.files()))


def _stored_arrays(rows: FeatureRows, where: str, dtype: str) -> dict[str, npt.NDArray[Any]]:
    """Sort and check the arrays of a row set, and return them in the stored types."""
    rows = FeatureRows(
        _cast_features(rows, where, dtype),
        rows.timestamp.astype(np.float64),
        rows.boxes_xyxy.astype(np.float64),
        None if rows.score is None else rows.score.astype(np.float32),
        None if rows.track_id is None else rows.track_id.astype(np.int64),
    )
    arrays = rows.take(rows.order()).arrays()  # sorted in the stored types: two float64 scores may be equal as float32
    if len(rows) and np.isnan(rows.boxes_xyxy).all():
        del arrays["boxes_xyxy"]
    for array, values in arrays.items():
        bad = non_finite_rows(values)
        if len(bad):
            raise InputError(f"{where}: {array} of row {bad[0]} holds {values[bad[0]]}, expected finite numbers")
    return arrays


def _cast_features(rows: FeatureRows, where: str, dtype: str) -> FloatArray:
    """Cast features to the stored type; refuse values that do not fit, which a plain cast turns into infinity."""
    with np.errstate(over="ignore"):
        cast = rows.features.astype(dtype)
    finite = np.isfinite(cast)
    if not finite.all():
        row, channel = np.argwhere(~finite)[0]
        value = rows.features[row, channel]
        fault = f"is too large for {dtype}; set bank.dtype=fp32" if np.isfinite(value) else "is not finite"
        at = f"the feature at timestamp {rows.timestamp[row]:g}, channel {channel}"
        raise InputError(f"{where}: {at} is {value:g}, which {fault}")
    return cast


def assemble_bank(path: Path, *, parts: Mapping[str, Path], split: str, provenance: Mapping[str, Any]) -> None:
    """Link finished parts into the bank at `path`, which appears (or is replaced) as a whole.

    Args:
        path: `<split>.zarr`.
        parts: id to folder, as `write_part` or `write_pack` left it.
        split: train, val or test.
        provenance: what made the rows (`docs/bank-format.md` lists the keys).

    Raises:
        InputError: a part is unfinished or has another id, parts differ in channels, dtype, codec or provenance, or
            two parts hold the same video.
    """
    provenance = _plain(provenance)
    with replace_folder(path) as partial:
        manifest = combine_parts(parts, split=split, provenance=provenance)
        for name, part in manifest.parts.items():
            for file in part.files():
                link_file(parts[name] / file, partial / part_folder(name) / file)
        create_group(partial, {"format": FORMAT, "version": VERSION, "split": split, "provenance": provenance})
        (partial / "zarr.json").chmod(0o444)
        write_sealed_json(
            partial / MANIFEST,
            replace(manifest, metadata_sha256=digest_file(partial / "zarr.json")).to_json(),
        )


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value as JSON would give it back, so that compared and stored values are the same."""
    plain: dict[str, Any] = json.loads(json_text(dict(value)))
    return plain
