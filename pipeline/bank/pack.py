"""Pack several videos into one part (`dataset.pack`): a bank of very many short videos then has few files.

The id of a video alone decides its part. A packed part is an item of `.work`, keyed by the digests of its videos' own
parts. So a changed, new or removed video rewrites one part, and a killed run continues where it stopped.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.bank.arrays import read_array
from pipeline.bank.format import PART_RECORD, ROW_SETS, array_spec
from pipeline.bank.parts import (
    PartRecord,
    check_alike,
    check_shards,
    read_part_record,
    video_attributes,
    video_seconds,
)
from pipeline.bank.writer import write_part_files
from pipeline.base.code_version import code_version
from pipeline.base.errors import InputError
from pipeline.base.files import digest_value
from pipeline.base.packing import pack_name, packed
from pipeline.base.progress import progress
from pipeline.base.work import item_key, make_item

STAGE = "bank_packs"


def pack_parts(parts: Mapping[str, Path], packs: int) -> dict[str, Path]:
    """Make the packed parts of these videos that are not yet in `.work`, and return all of them: part to folder.

    Each part is put together in memory.

    Args:
        parts: video to the folder of its own part, as `write_part` left it.
        packs: the number of packs to spread the videos over; a pack without videos does not exist.

    Raises:
        InputError: a part is unfinished or belongs to another video, or the videos of a part differ in channels, dtype,
            codec or arrays.
    """
    version = code_version("pipeline.bank.pack")
    made = {}
    for number, videos in progress(packed(parts, packs).items(), what="pack", unit="part"):
        name = pack_name(number, packs)
        members = {video: parts[video] for video in videos}
        records = [read_part_record(folder, video) for video, folder in members.items()]
        key = item_key(part=name, videos=[digest_value(record.to_json()) for record in records], code=version)
        made[name] = make_item(STAGE, key, partial(write_packed_part, part=name, members=members))
    return made


def write_packed_part(folder: Path, *, part: str, members: Mapping[str, Path]) -> None:
    """Write one part that holds several videos; `folder` appears (or is replaced) as a whole.

    Args:
        folder: a work folder of this part alone.
        part: the part's id.
        members: video to the folder of its own part, as `write_part` left it.

    Raises:
        InputError: see `pack_parts`.
    """
    folders = dict(sorted(members.items()))
    records = [read_part_record(path, video) for video, path in folders.items()]
    check_alike(records)
    recorded = {
        record.part: video_attributes(record.attributes, record.part, f"{folders[record.part] / PART_RECORD}")
        for record in records
    }
    first = recorded[records[0].part]
    common = {
        key: value
        for key, value in first.items()
        if all(key in each and each[key] == value for each in recorded.values())
    }
    videos = {
        record.part: {
            "rows": dict(record.entry.videos[record.part]),
            "timestamps_seen": video_seconds(record.attributes, record.part, record.part),
            "attributes": {key: value for key, value in recorded[record.part].items() if key not in common},
        }
        for record in records
    }
    row_sets = {
        name: _joined(records, folders, name)
        for name in ROW_SETS
        if any(name in record.entry.row_sets for record in records)
    }
    write_part_files(folder, part=part, videos=videos, row_sets=row_sets, attributes=common, codec=records[0].codec)


def _joined(records: Sequence[PartRecord], folders: Mapping[str, Path], row_set: str) -> dict[str, npt.NDArray[Any]]:
    """Concatenate the arrays of one row set over all videos."""
    there = [record for record in records if row_set in record.entry.row_sets]
    # A video without rows does not count: its list of arrays may differ from that of the others.
    filled = [record for record in there if record.entry.row_sets[row_set].rows] or there[:1]
    names = sorted(filled[0].entry.row_sets[row_set].shard_bytes)
    for record in filled:
        entry = record.entry.row_sets[row_set]
        if sorted(entry.shard_bytes) != names:
            raise InputError(
                f"videos of one part differ in the arrays of {row_set}: {filled[0].part!r} has {', '.join(names)}, "
                f"{record.part!r} has {', '.join(sorted(entry.shard_bytes))}"
            )
        check_shards(folders[record.part] / row_set, entry, f"part {record.part!r}: {row_set}")
    # Copied, so that only one file is mapped at a time: there may be more videos than a process may open files.
    return {
        name: np.concatenate([np.array(_read(record, folders, row_set, name)) for record in filled]) for name in names
    }


def _read(record: PartRecord, folders: Mapping[str, Path], row_set: str, name: str) -> npt.NDArray[Any]:
    dtype, shape = array_spec(name, record.entry.row_sets[row_set].rows, record.channels, record.dtype)
    return read_array(folders[record.part] / row_set, name, dtype, shape, codec=record.codec)
