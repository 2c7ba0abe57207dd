"""Writing a bank: each part by one writer into a work folder, then all of them linked into one bank."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.bank.arrays import create_group, write_array
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
from pipeline.bank.parts import PartRecord, combine_parts
from pipeline.bank.rows import FloatArray, Rows, non_finite_rows
from pipeline.errors import InputError
from pipeline.files import digest_file, json_text, link_file, replace_folder, write_json

RESERVED_ATTRIBUTES = ("part", "timestamps_seen")


def write_part(
    folder: Path,
    *,
    part: str,
    detections: Rows,
    ground_truth: Rows | None,
    seconds_seen: Sequence[float] | FloatArray,
    attributes: Mapping[str, Any],
    dtype: str,
    codec: str,
) -> None:
    """Write one finished part; `folder` appears (or is replaced) whole.

    Args:
        folder: a work folder of this part alone.
        part: the part's id, i.e. the video's.
        detections: rows of detected boxes, the only ones that a window reads, in any order.
        ground_truth: rows of the split's distinct annotated boxes; None in a split without annotations.
        seconds_seen: timestamps at which boxes were looked for; one without rows had no person.
        attributes: what is to be recorded with the part; `checkpoint_sha256` if the bank's provenance has it.
        dtype: "fp16" or "fp32".
        codec: "none", "zstd" or "lz4".

    Raises:
        InputError: a value is not finite, or too large for fp16.
        ValueError: row sets of different widths, or a reserved attribute.
    """
    if dtype not in FEATURE_DTYPES or codec not in CODECS:
        raise ValueError(f"dtype {dtype!r} or codec {codec!r} is unknown")
    if set(attributes) & set(RESERVED_ATTRIBUTES):
        raise ValueError(f"attributes may not name {' or '.join(RESERVED_ATTRIBUTES)}")
    row_sets = {"detections": detections} | ({} if ground_truth is None else {"ground_truth": ground_truth})
    widths = {name: rows.features.shape[1] for name, rows in row_sets.items()}
    if len(set(widths.values())) > 1:
        raise ValueError(f"part {part!r}: row sets have different channels: {widths}")
    seen = np.unique(np.asarray(seconds_seen, np.float64))
    if not np.isfinite(seen).all():
        raise InputError(f"part {part!r}: the seconds seen hold {seen[-1]}, expected finite numbers")
    unseen = np.setdiff1d(detections.timestamp, seen)
    if len(unseen):
        raise InputError(
            f"part {part!r}: detections stand at timestamp {unseen[0]}, which is not among the seconds seen"
        )
    attributes = _plain({**attributes, "part": part, "timestamps_seen": seen.tolist()})
    part_folder(part)  # refuses an id that cannot be a part's before anything is written
    with replace_folder(folder) as partial:
        group = create_group(partial, attributes)
        entries = {
            name: _write_rows(partial, group, rows, f"part {part!r}: {name}", name, FEATURE_DTYPES[dtype], codec)
            for name, rows in row_sets.items()
        }
        entry = Part(digest_file(partial / "zarr.json"), entries)
        channels = detections.features.shape[1]
        record = PartRecord(part, channels, FEATURE_DTYPES[dtype], codec, attributes, entry)
        write_json(partial / PART_RECORD, record.to_json())


def _write_rows(partial: Path, root: Any, rows: Rows, where: str, name: str, dtype: str, codec: str) -> RowSet:
    """Sort, check and write one row set below the part's group; returns its manifest entry."""
    rows = Rows(
        _cast_features(rows, where, dtype),
        rows.timestamp.astype(np.float64),
        rows.boxes_xyxy.astype(np.float64),
        None if rows.score is None else rows.score.astype(np.float32),
        None if rows.track_id is None else rows.track_id.astype(np.int64),
    )
    arrays = rows.take(rows.order()).arrays()  # sorted as stored: two float64 scores may be one float32 score
    if len(rows) and np.isnan(rows.boxes_xyxy).all():
        del arrays["boxes_xyxy"]
    group = root.create_group(name)
    for array, values in arrays.items():
        bad = non_finite_rows(values)
        if len(bad):
            raise InputError(f"{where}: {array} of row {bad[0]} holds {values[bad[0]]}, expected finite numbers")
        write_array(group, array, values, codec)
    folder = partial / name
    sizes = {array: (folder / shard_name(array)).stat().st_size if len(rows) else 0 for array in arrays}
    entry = RowSet(len(rows), "", sizes)
    return RowSet(len(rows), listing_digest(folder, entry.files()), sizes)


def _cast_features(rows: Rows, where: str, dtype: str) -> FloatArray:
    """Features in the stored type; refuses what it cannot hold, which a plain cast turns into infinity."""
    with np.errstate(over="ignore"):
        cast = rows.features.astype(dtype)
    bad = np.argwhere(~np.isfinite(cast))
    if len(bad):
        row, channel = bad[0]
        value = rows.features[row, channel]
        fault = f"is too large for {dtype}; use dtype fp32" if np.isfinite(value) else "is not finite"
        at = f"the feature at timestamp {rows.timestamp[row]:g}, channel {channel}"
        raise InputError(f"{where}: {at} is {value:g}, which {fault}")
    return cast


def assemble_bank(path: Path, *, parts: Mapping[str, Path], split: str, provenance: Mapping[str, Any]) -> None:
    """Link finished parts into the bank at `path`, which appears (or is replaced) whole.

    Args:
        path: `<split>.zarr`.
        parts: id to folder, as `write_part` left it.
        split: train, val or test.
        provenance: what made the rows (`docs/bank-format.md` lists the keys).

    Raises:
        InputError: a part is unfinished or another's, or parts differ in channels, dtype, codec or
            provenance.
    """
    provenance = _plain(provenance)
    with replace_folder(path) as partial:
        manifest = combine_parts(parts, split=split, provenance=provenance)
        for name, part in manifest.parts.items():
            for file in part.files():
                link_file(parts[name] / file, partial / part_folder(name) / file)
        create_group(partial, {"format": FORMAT, "version": VERSION, "split": split, "provenance": provenance})
        write_json(
            partial / MANIFEST,
            replace(manifest, metadata_sha256=digest_file(partial / "zarr.json")).to_json(),
        )


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """The value as JSON gives it back, so that what is compared and what is stored are the same."""
    plain: dict[str, Any] = json.loads(json_text(dict(value)))
    return plain
