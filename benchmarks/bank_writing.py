"""Measure how fast a bank's part is written, against one plain file of the same bytes; make very large banks."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.bank_memory import drop_from_cache
from benchmarks.measuring import in_turns, median_ratio
from benchmarks.synthetic_bank import PRODUCER, SETTINGS, Size, make_film, write_film
from pipeline.bank.feature_rows import VideoRows
from pipeline.bank.format import PART_RECORD
from pipeline.bank.writer import assemble_bank, write_part
from pipeline.base.checksums import SEAL_TEXT, seal_json
from pipeline.base.files import digest_file, files_below, link_file, write_bytes


def write_speed(folder: Path, size: Size, *, films: int, repeats: int) -> dict[str, Any]:
    """Seconds of both ways to write the detections of some films, synced to the disk, turn by turn."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [make_film(number, size) for number in range(films)]
    payload = [b"".join(array.tobytes() for array in rows.arrays().values()) for _, rows, _ in made]

    def bank(sync: bool) -> None:
        for table, detections, _ in made:
            write_part(
                folder / "part" / table.video_id, part=table.video_id, rows=VideoRows(detections),
                seconds_seen=table.seen, attributes={"checkpoint_sha256": PRODUCER}, dtype="fp16", codec="none",
            )  # fmt: skip
            for name in files_below(folder / "part" / table.video_id) if sync else ():
                sync_file(folder / "part" / table.video_id / name)

    def raw(sync: bool) -> None:
        for number, data in enumerate(payload):
            path = folder / f"{number}.raw"
            with path.open("wb", buffering=0) as file:
                file.write(data)
                if sync:
                    os.fsync(file.fileno())

    def digest() -> None:
        for data in payload:
            hashlib.sha256(data).digest()

    sides: dict[str, Callable[[int], None]] = {
        "bank": lambda _: bank(True),
        "raw file": lambda _: raw(True),
        "bank, not synced": lambda _: bank(False),
        "raw file, not synced": lambda _: raw(False),
        "sha256 alone": lambda _: digest(),
    }
    seconds = in_turns(sides, repeats)
    drop_from_cache(folder)
    shutil.rmtree(folder)
    speed = median_ratio(seconds["raw file"], seconds["bank"])
    return {"seconds": seconds, "bytes": sum(map(len, payload)), "share_of_raw": speed}


def sync_file(path: Path) -> None:
    """Wait until the file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_large_bank(path: Path, size: Size, *, films: int, distinct: int = 4) -> None:
    """A bank of very many films whose arrays are hard links of a few films' arrays: a large bank on a small disk."""
    work = path.with_suffix(".work")
    real = [write_film(number, size=size, folder=work / "real", annotated=False).video_id for number in range(distinct)]
    parts = {}
    for number in range(films):
        video = f"many_{number:05d}"
        parts[video] = work / "many" / video
        _link_renamed(work / "real" / real[number % distinct], parts[video], real[number % distinct], video)
    assemble_bank(path, parts=parts, split="train", provenance={**SETTINGS, "checkpoint_sha256": PRODUCER})
    shutil.rmtree(work)


def _link_renamed(source: Path, target: Path, old: str, new: str) -> None:
    """A part under another id: the id's files are written anew, the rest is linked."""
    for name in files_below(source):
        if str(name) not in ("zarr.json", PART_RECORD):
            link_file(source / name, target / name)
    (target / "zarr.json").write_text((source / "zarr.json").read_text().replace(old, new))
    record = (source / PART_RECORD).read_text().replace(old, new)
    record = record.replace(digest_file(source / "zarr.json"), digest_file(target / "zarr.json"))
    write_bytes(target / PART_RECORD, seal_json(SEAL_TEXT.sub(b'"file_crc32c": "00000000"', record.encode())))
