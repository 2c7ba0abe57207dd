"""Small banks for the tests."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.bank.feature_rows import FeatureRows, VideoRows
from pipeline.bank.format import MANIFEST, Part, RowSet, listing_digest, parse_manifest, part_folder, shard_name
from pipeline.bank.writer import assemble_bank, write_part
from pipeline.base.checksums import file_crc32c, read_sealed_json, write_sealed_json
from pipeline.base.files import digest_file

PROVENANCE: dict[str, Any] = {
    "recipe": "tiny",
    "checkpoint_sha256": "c" * 64,
    "pooling": "average, max",
    "box_source": "playground",
    "box_threshold": 0.5,
    "seconds": "grid",
    "compute_dtype": "fp32",
    "frames_sha256": "f" * 64,
}
ATTRIBUTES = {"checkpoint_sha256": "c" * 64, "video_sha256": "e" * 64}


def make_rows(
    counts: dict[float, int], *, channels: int = 4, seed: int = 0, scored: bool = True, tracked: bool = False
) -> FeatureRows:
    """Random rows, `counts[timestamp]` of them at each timestamp, in no order."""
    generator = np.random.default_rng(seed)
    timestamp = generator.permutation(np.repeat(list(counts), list(counts.values())).astype(np.float64))
    n = len(timestamp)
    corners = np.sort(generator.random((n, 2, 2)), axis=1).reshape(n, 4)
    return FeatureRows(
        generator.standard_normal((n, channels)),
        timestamp,
        corners,
        # Few distinct scores, so that ties occur.
        0.5 + generator.integers(0, 5, n) / 10 if scored else None,
        generator.integers(0, 9, n) if tracked else None,
    )


def write_small_part(folder: Path, name: str, detections: FeatureRows, **changes: Any) -> Path:
    """A part in `folder`, which is returned."""
    defaults: dict[str, Any] = {
        "ground_truth": make_rows({1.0: 2}, channels=detections.features.shape[1], scored=False),
        "seconds_seen": np.union1d(detections.timestamp, [0.0, 1.0, 2.0]),
        "attributes": ATTRIBUTES,
        "dtype": "fp16",
        "codec": "none",
    }
    given = {**defaults, **changes}
    rows = VideoRows(detections, given.pop("ground_truth"), given.pop("objects", None))
    write_part(folder, part=name, rows=rows, **given)
    return folder


def write_small_bank(
    path: Path,
    parts: dict[str, FeatureRows],
    *,
    split: str = "train",
    provenance: dict[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """A bank of these detections, its parts in a work folder beside it; returns `path`."""
    provenance = PROVENANCE if provenance is None else provenance
    checkpoint = {key: value for key, value in provenance.items() if key == "checkpoint_sha256"}
    folders = {
        name: write_small_part(
            path.with_suffix(".work") / str(number), name, rows, **{"attributes": checkpoint, **changes}
        )
        for number, (name, rows) in enumerate(parts.items())
    }
    assemble_bank(path, parts=folders, split=split, provenance=provenance)
    return path


def reseal_bank(path: Path, **changes: Any) -> None:
    """Write the digests anew, as a faulty writer would that meant what it wrote; `changes` are keys of the manifest."""
    manifest = read_sealed_json(path / MANIFEST)
    for name, part in parse_manifest(manifest, str(path)).parts.items():
        folder = path / part_folder(name)
        sets = {
            row_set: RowSet(
                each.rows,
                listing_digest(folder / row_set, each.files()),
                each.shard_bytes,
                {array: f"{file_crc32c(folder / row_set / shard_name(array)):08x}" for array in each.shard_crc32c},
            )
            for row_set, each in part.row_sets.items()
        }
        manifest["parts"][name] = Part(digest_file(folder / "zarr.json"), part.videos, sets).to_json()
    write_sealed_json(path / MANIFEST, {**manifest, "metadata_sha256": digest_file(path / "zarr.json"), **changes})
