"""Read what a user says about each video beside the annotations: `videos.csv` and `split.csv`, with named columns."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.annotations.frame_times import Clock, Knots, read_frame_times
from pipeline.base.errors import InputError
from pipeline.base.randomness import seed_of
from pipeline.tables.csv_rows import VIDEO_ID_EXPECTED, numbers, read_rows, shown, video_id_fault
from pipeline.tables.film_ids import alike, film_of
from pipeline.tables.timelines import SPLITS, TwoSplitsError, split_in

# Limits of a frame rate in frames per second: from a time lapse to a high-speed camera.
SLOWEST, FASTEST = 0.001, 100_000.0
# From this many videos on, adding one moves no other to another split; below, the split has the exact share.
MANY = 20
COLUMNS = ("video_id", "split", "first_timestamp", "offset_seconds", "fps", "width", "height")


@dataclass(frozen=True)
class Listed:
    """What the files give for one video; None for a value that no column gives."""

    split: str | None = None
    first_timestamp: float | None = None
    offset_seconds: float | None = None
    fps: float | None = None
    width: float | None = None
    height: float | None = None
    knots: Knots = ()
    "For a film whose rate varies (`frame_times.csv`)."

    @property
    def size(self) -> tuple[float, float] | None:
        """Return width and height in pixels."""
        return None if self.width is None or self.height is None else (self.width, self.height)


def read_listed(folder: Path) -> dict[str, Listed]:
    """Read the videos of `videos.csv`, `split.csv` (`video_id,split`) and `frame_times.csv`; each file may be absent.

    The first row names the columns, in any order: `video_id` and any of the others. A field may be empty.

    Raises:
        InputError: a header, a row, a split or a number is wrong, or a file names a video twice.
    """
    listed: dict[str, Listed] = {}
    for name in ("videos.csv", "split.csv"):
        path = folder / name
        if path.exists():
            listed = _read(path, listed)
    for video_id, knots in read_frame_times(folder).items():
        listed[video_id] = replace(listed.get(video_id, Listed()), knots=knots)
    return listed


def _read(path: Path, listed: dict[str, Listed]) -> dict[str, Listed]:
    rows = read_rows(path)
    width = int(rows.widths[0]) if len(rows) else 0
    columns = [rows.column(index) for index in range(width)]
    header = [column[0].as_py().lower() for column in columns]
    if "video_id" not in header or not set(header) <= set(COLUMNS) or len(set(header)) != len(header):
        raise InputError(f"{path}: the first row is {shown(','.join(header))}, expected video_id and any of "
                         f"{', '.join(COLUMNS[1:])}")  # fmt: skip
    texts = {name: column.to_pylist() for name, column in zip(header, columns, strict=True)}
    values = {name: numbers(column) for name, column in zip(header, columns, strict=True)}
    seen = set()
    for row in range(1, len(rows)):
        where = f"{path}: row {rows.lines[row]}"
        video_id = film_of(texts["video_id"][row])
        if rows.widths[row] != width:
            raise InputError(f"{where}: {rows.widths[row]} columns, expected {','.join(header)}")
        if fault := video_id_fault(video_id):
            raise InputError(f"{where}: {fault}, expected {VIDEO_ID_EXPECTED}")
        if video_id in seen:
            raise InputError(f"{where}: video {video_id} is listed twice")
        seen.add(video_id)
        found = listed.get(video_id, Listed())
        for name in header:
            text = texts[name][row]
            if name == "video_id" or not text:
                continue
            if name == "split":
                if text not in SPLITS:
                    raise InputError(f"{where}: split {shown(text)}, expected train, val or test")
                found = replace(found, split=text)
                continue
            value, least = float(values[name][row]), (-1e9 if name.endswith(("timestamp", "seconds")) else 0.0)
            if not least < value < 1e9:
                raise InputError(f"{where}: {name} {shown(text)}, expected a number{'' if least else ' above 0'}")
            found = replace(found, **{name: value})  # type: ignore[arg-type]
        listed[video_id] = found
    return listed


def frame_rate(video_id: str, listed: dict[str, Listed], own: float | None, where: str) -> float:
    """Return the frame rate of a video whose annotations count frames; videos.csv wins over the annotation file.

    Raises:
        InputError: neither gives a rate, or the value is no frame rate.
    """
    fps = listed.get(video_id, Listed()).fps or own
    if fps is not None and not SLOWEST <= fps <= FASTEST:
        raise InputError(
            f"{where}: video {video_id} has {fps:g} frames a second, expected {SLOWEST:g} to {FASTEST:g}; a videos.csv "
            "with the columns video_id,fps goes before what the file says"
        )
    if fps is None:
        raise InputError(
            f"{where}: counts frames of video {video_id}, and nothing says how many a second has: expected "
            f"{_expected(video_id, listed, 'fps')}"
        )
    return fps


def frame_clock(video_id: str, listed: dict[str, Listed], own: float | None, where: str) -> Clock:
    """Return the clock of a video whose annotations count frames; frame_times.csv wins over a constant rate.

    Raises:
        InputError: no source gives a frame rate.
    """
    knots = listed.get(video_id, Listed()).knots
    if len(knots) > 1:
        return Clock(knots[-1][0] / (knots[-1][1] - knots[0][1]), knots)
    return Clock(frame_rate(video_id, listed, own, where))


def frame_size(
    video_id: str, listed: dict[str, Listed], own: tuple[float, float] | None, where: str
) -> tuple[float, float]:
    """Return width and height of a video whose annotations are in pixels; the file wins over videos.csv.

    Raises:
        InputError: neither gives the size.
    """
    size = own or listed.get(video_id, Listed()).size
    if size is None:
        raise InputError(
            f"{where}: holds pixels of video {video_id}, and nothing says its size: expected "
            f"{_expected(video_id, listed, 'width,height')}"
        )
    return size


def _expected(video_id: str, listed: Mapping[str, Listed], columns: str) -> str:
    other = alike(video_id, listed)
    if other and other != video_id:
        return f"one name in both (videos.csv has {other}; is it {video_id}?)"
    return f"a videos.csv with the columns video_id,{columns}"


def known_splits(video_ids: list[str], told: dict[str, str], listed: dict[str, Listed]) -> dict[str, str]:
    """Return the splits that `videos.csv` and `split.csv` give, or else the source itself."""
    known = {each: listed.get(each, Listed()).split or told.get(each) for each in video_ids}
    return {each: split for each, split in known.items() if split}


def splits_by_file(folder: Path, named: Iterable[tuple[str, Sequence[str]]]) -> dict[str, str]:
    """Return the splits that occur as a word in the names of files, or of the folders and archives that hold them.

    A word that is part of the film's own name does not count: `train_station.xml` of the film `train_station`.

    Args:
        folder: the annotation folder, for messages.
        named: files, by their names below the folder, and their videos.

    Raises:
        TwoSplitsError: files of two splits name a video.
    """
    told: dict[str, tuple[str, str]] = {}
    for file, video_ids in named:
        name = file.lower()
        for video_id in sorted(video_ids, key=len, reverse=True):
            name = re.sub(rf"(?<![a-z0-9]){re.escape(video_id.lower())}(?![a-z0-9])", " ", name)
        split = split_in(name)
        for video_id in video_ids if split else ():
            other, other_file = told.setdefault(video_id, (split, file))
            if other != split:
                raise TwoSplitsError(
                    f"{folder}: video {video_id} is in {other_file} and in {file}, whose names say {other} and "
                    f"{split}; a video belongs to one split: set it in the column split of videos.csv, or rename a file"
                )
    return {video_id: split for video_id, (split, _) in told.items()}


def assign_splits(
    video_ids: list[str], told: dict[str, str], listed: dict[str, Listed], *, val_fraction: float
) -> tuple[dict[str, str], list[str]]:
    """Return the split of every video, and lines that say how it was chosen.

    `videos.csv` and `split.csv` come first, then the source itself. The other videos are split by a hash of the id, a
    number in [0, 1). If there are fewer than MANY of them, the share `val_fraction` (rounded) with the lowest hashes is
    val. Otherwise every video with a hash below `val_fraction` is val, so that adding a video moves no other one. If
    that leaves train or val empty although there are two or more videos, the one with the nearest hash is moved.

    Args:
        video_ids: all videos.
        told: the splits that the source gives.
        listed: what the user's files give.
        val_fraction: about this share of videos is val.
    """
    splits = known_splits(video_ids, told, listed)
    rest = [each for each in video_ids if each not in splits]
    if not rest:
        return splits, []
    place = {each: seed_of("split", each) / 2**63 for each in rest}
    by_place = sorted(rest, key=lambda each: (place[each], each))
    lowest = set(by_place[: round(val_fraction * len(rest))])
    is_val = lowest.__contains__ if len(rest) < MANY else lambda each: place[each] < val_fraction
    drawn = {each: "val" if is_val(each) else "train" for each in rest}
    if len(video_ids) > 1 and 0 < val_fraction < 1:
        if "val" not in {*splits.values(), *drawn.values()}:
            drawn[by_place[0]] = "val"
        if "train" not in {*splits.values(), *drawn.values()}:
            drawn[by_place[-1]] = "train"
    val = sorted(each for each in rest if drawn[each] == "val")
    return splits | drawn, [
        f"splits: {len(rest)} videos are in no videos.csv or split.csv: by a hash of the id {len(val)} are val "
        f"(dataset.val_fraction {val_fraction:g}): {', '.join(val[:5])}{', ...' if len(val) > 5 else ''}"
    ]
