"""Check a whole bank: every byte against the manifest, every row against the format."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.bank.feature_rows import FeatureRows, non_finite_rows
from pipeline.bank.format import (
    MANIFEST,
    PROVENANCE,
    array_spec,
    listing_digest,
    part_folder,
    part_name,
)
from pipeline.bank.parts import check_shard_sizes
from pipeline.bank.reader import Bank, read_manifest
from pipeline.base.errors import InputError
from pipeline.base.files import digest_file, files_below, read_json
from pipeline.base.problems import Problem
from pipeline.base.progress import progress

Finding = tuple[str, str, str]  # item, found, expected


def verify_bank(path: Path) -> list[Problem]:
    """Recompute every digest, and check the order, values and schema of each row set.

    Returns:
        The findings, in the order of the parts; empty for an undamaged bank.

    Raises:
        InputError: the manifest is missing or unreadable, so nothing can be checked.
    """
    manifest, digest = read_manifest(path)
    folders = {name: path / part_folder(name) for name in manifest.parts}
    bank = Bank(str(path), manifest, folders, digest)
    findings = _check_root(path, bank)
    for name in progress(bank.parts, what="verify", unit="part"):
        if not folders[name].is_dir():
            findings.append(Problem(str(path), f"part {name!r}", "no folder", "a part of the manifest"))
        else:
            findings += _check_part(path, bank, name)
    return findings


def _check_root(path: Path, bank: Bank) -> list[Problem]:
    findings = []
    root = path / "zarr.json"
    found = digest_file(root) if root.is_file() else "no file"
    if found != bank.manifest.metadata_sha256:
        findings.append(Problem(str(path), "zarr.json", f"sha256 {found}", bank.manifest.metadata_sha256))
    else:
        attributes = _read_metadata(root).get("attributes", {})
        if attributes.get("provenance") != bank.provenance or attributes.get("split") != bank.split:
            findings.append(Problem(str(path), "zarr.json", "other provenance or split", f"those of {MANIFEST}"))
    expected = {"zarr.json", MANIFEST, *(part_folder(name) for name in bank.parts)}
    for name in sorted({entry.name for entry in path.iterdir()} - expected):
        findings.append(Problem(str(path), name, "a file or folder of no part", f"only what {MANIFEST} lists"))
    return findings


def _check_part(path: Path, bank: Bank, name: str) -> list[Problem]:
    part, folder = bank.manifest.parts[name], bank.folders[name]
    findings: list[Problem] = []

    def report(item: str, found: Any, expected: Any) -> None:
        findings.append(Problem(str(path), f"part {name!r}: {item}", str(found), str(expected)))

    present, listed = {file.as_posix() for file in files_below(folder)}, set(part.files())
    for file in sorted(listed - present):
        report(file, "no file", "a file of the part")
    for file in sorted(present - listed):
        report(file, "a file of no array", f"only what {MANIFEST} lists")
    if "zarr.json" in present:
        sha256 = digest_file(folder / "zarr.json")
        if sha256 != part.metadata_sha256:
            report("zarr.json", f"sha256 {sha256}", part.metadata_sha256)
        elif bank.part_attributes(name).get("part") != name or part_name(folder.name) != name:
            report("zarr.json", f"part {bank.part_attributes(name).get('part')!r}", repr(name))
        else:
            for item, found, expected in _check_videos(bank, name):
                report(item, found, expected)
    for row_set, each in part.row_sets.items():
        if not {f"{row_set}/{file}" for file in each.files()} <= present:
            continue
        sha256 = listing_digest(folder / row_set, each.files())
        if sha256 != each.sha256:
            report(row_set, f"digest {sha256}", each.sha256)
        try:
            check_shard_sizes(folder / row_set, each, row_set, remedy="")
            wrong = _check_metadata(bank, name, row_set)
            if sha256 == each.sha256:  # rows with changed bytes are not read
                wrong += _check_rows(bank, name, row_set)
            for item, found, expected in wrong:
                report(f"{row_set}: {item}", found, expected)
        except InputError as error:
            report(row_set, str(error), "readable arrays")
    return findings


def _check_videos(bank: Bank, part: str) -> list[Finding]:
    """Compare the videos that a part's own attributes list with those of the manifest."""
    recorded = bank.part_attributes(part).get("videos")
    found = {
        video: each.get("rows") if isinstance(each, dict) else each
        for video, each in (recorded if isinstance(recorded, dict) else {}).items()
    }
    listed = bank.manifest.parts[part].videos
    other = sorted(video for video in found.keys() | listed.keys() if found.get(video) != listed.get(video))
    return [(f"zarr.json: video {video!r}", f"rows {found.get(video)}", f"{listed.get(video)}") for video in other]


def _check_metadata(bank: Bank, part: str, row_set: str) -> list[Finding]:
    """Check the schema of one row set of a part."""
    findings = []
    entry = bank.manifest.parts[part].row_sets[row_set]
    for name in entry.shard_bytes:
        metadata = _read_metadata(bank.folders[part] / row_set / name / "zarr.json")
        dtype, shape = array_spec(name, entry.rows, bank.channels, bank.manifest.dtype)
        found = (metadata.get("data_type"), metadata.get("shape"))
        if found != (dtype, list(shape)):
            findings.append((f"{name}/zarr.json", f"{found[0]} {found[1]}", f"{dtype} {list(shape)}"))
    return findings


def _check_rows(bank: Bank, part: str, row_set: str) -> list[Finding]:
    """Check the values and the order of the rows of one row set of a part."""
    findings: list[Finding] = []
    for video in bank.manifest.parts[part].slices[row_set]:
        findings += [
            (f"video {video!r}: {item}", found, expected)
            for item, found, expected in _check_video(bank, video, row_set)
        ]
    return findings


def _check_video(bank: Bank, video: str, row_set: str) -> list[Finding]:
    """Check the values and the order of a video's rows."""
    rows = bank.rows(video, row_set)
    findings = []
    for name in bank.manifest.parts[bank.part_of(video)].row_sets[row_set].shard_bytes:
        bad = non_finite_rows(rows.arrays()[name])
        if len(bad):
            found = f"{len(bad)} rows that are not finite, the first is {bad[0]}"
            findings.append((name, found, "finite numbers"))
    moved = np.flatnonzero(rows.order() != np.arange(len(rows)))
    if len(moved):
        order = "sorted by timestamp, score descending, box"
        findings.append(("order", f"row {moved[0]} out of place", order))
    if row_set != "ground_truth":
        unseen = np.setdiff1d(rows.timestamp, bank.timestamps_seen(video))
        if len(unseen):
            findings.append(("timestamp", f"{unseen[0]}", "one of timestamps_seen"))
    if row_set == "objects":
        return findings + _check_objects(bank, rows)
    return findings + (_check_detections(bank, rows) if row_set == "detections" else [])


def _check_objects(bank: Bank, rows: FeatureRows) -> list[Finding]:
    """Find a second with more objects than the bank keeps."""
    best = bank.provenance.get("objects")
    stamps, counts = np.unique(rows.timestamp, return_counts=True)
    many = np.flatnonzero(counts > (best if isinstance(best, int) else np.inf))
    return [("timestamp", f"{counts[many[0]]} rows at {stamps[many[0]]:g}", f"at most {best}")] if len(many) else []


def _check_detections(bank: Bank, rows: FeatureRows) -> list[Finding]:
    """Find rows below the bank's box threshold; a bank with `lower_threshold` may hold some."""
    findings: list[Finding] = []
    threshold = bank.provenance.get("box_threshold")
    if rows.score is not None and threshold is not None and not bank.provenance.get("lower_threshold"):
        low = np.flatnonzero(rows.score < np.float32(threshold))
        if len(low):
            findings.append(("score", f"{rows.score[low[0]]:g} in row {low[0]}", f"at least {threshold:g}"))
    return findings


def _read_metadata(path: Path) -> dict[str, Any]:
    metadata = read_json(path)
    return metadata if isinstance(metadata, dict) else {}


def list_missing(bank: Bank, *, files: bool = True) -> list[str]:
    """List what a bank lacks: optional provenance, row sets and arrays, and shards that are missing.

    Only names and sizes are read, which takes no time. With `files=False`, for a bank on another machine, no file is
    looked at. `verify_bank` reads every byte.
    """
    missing = [f"provenance: {key}" for key in PROVENANCE if key not in bank.provenance]
    for row_set in bank.manifest.row_sets:
        without = sum(not bank.has_rows(video, row_set) for video in bank.videos)
        if without:
            missing.append(f"{row_set}: not of {without} of {len(bank.videos)} videos")
        entries = [part.row_sets[row_set] for part in bank.manifest.parts.values() if row_set in part.row_sets]
        for array in ("boxes_xyxy", *([] if row_set == "ground_truth" else ["score"])):
            without = sum(array not in entry.shard_bytes for entry in entries)
            if without:
                missing.append(f"{row_set}: no {array} in {without} of {len(bank.parts)} parts")
    for name, part in bank.manifest.parts.items() if files else ():
        for row_set, entry in part.row_sets.items():
            try:
                check_shard_sizes(bank.folders[name] / row_set, entry, f"part {name!r}: {row_set}", remedy="")
            except InputError as error:
                missing.append(str(error))
    return missing
