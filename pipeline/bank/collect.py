"""Make a bank from videos of other banks: link whole parts, and rewrite the videos of parts that are taken partly."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.bank.feature_rows import VideoRows
from pipeline.bank.format import FEATURE_DTYPES, PART_RECORD
from pipeline.bank.output import parts_folder
from pipeline.bank.parts import PartRecord, check_stored
from pipeline.bank.reader import Bank
from pipeline.bank.writer import assemble_bank, write_part
from pipeline.base.checksums import write_sealed_json
from pipeline.base.files import link_file
from pipeline.base.progress import progress

ChosenVideos = Sequence[tuple[Bank, Collection[str]]]  # banks of one type, with the videos that are taken from each


def collect_videos(out: Path, chosen: ChosenVideos, *, split: str, provenance: Mapping[str, Any], what: str) -> None:
    """Make the bank `out`, which appears (or is replaced) whole, of videos of other banks.

    Args:
        out: `<split>.zarr`.
        chosen: see `ChosenVideos`; no video is taken from two banks.
        split: train, val or test.
        provenance: of the new bank.
        what: name of the progress bar.

    Raises:
        InputError: a file of a bank is missing, or its rows do not fit the provenance.
    """
    plan = list(_plan(chosen, loosen=False))
    if len({name for name, _, _ in plan}) < len(plan):  # packed parts of two banks may have the same name
        plan = list(_plan(chosen, loosen=True))
    with parts_folder(out) as folder:
        parts = {}
        for number, (name, bank, video) in enumerate(progress(plan, what=what, unit="part")):
            parts[name] = folder / str(number)
            if video is None:
                _link_part(bank, name, parts[name])
            else:
                _rewrite_video(bank, video, parts[name])
        assemble_bank(out, parts=parts, split=split, provenance=provenance)


def _plan(chosen: ChosenVideos, *, loosen: bool) -> Iterator[tuple[str, Bank, str | None]]:
    """Yield each new part's id, its source bank, and the video to be rewritten (None where the part is linked)."""
    for bank, wanted in chosen:
        for name, part in bank.manifest.parts.items():
            videos = list(part.videos)
            kept = [video for video in videos if video in wanted]
            if kept == videos and (videos == [name] or not loosen):
                yield name, bank, None
            else:
                for video in kept:
                    yield video, bank, video


def _link_part(bank: Bank, name: str, folder: Path) -> None:
    """Make a part folder as `write_part` does, from hard links (or copies where the file system allows no links)."""
    source, entry, manifest = bank.folders[name], bank.manifest.parts[name], bank.manifest
    check_stored(source, entry, f"{bank.where}: part {name!r}")
    for file in entry.files():
        link_file(source / file, folder / file)
    attributes = bank.part_attributes(name)
    record = PartRecord(name, manifest.channels, manifest.dtype, manifest.codec, attributes, entry)
    write_sealed_json(folder / PART_RECORD, record.to_json())


def _rewrite_video(bank: Bank, video: str, folder: Path) -> None:
    dtype = next(short for short, name in FEATURE_DTYPES.items() if name == bank.manifest.dtype)
    write_part(
        folder,
        part=video,
        rows=VideoRows(
            **{name: bank.rows(video, name) for name in bank.manifest.row_sets if bank.has_rows(video, name)}
        ),
        seconds_seen=bank.timestamps_seen(video),
        attributes=bank.attributes(video),
        dtype=dtype,
        codec=bank.manifest.codec,
    )
