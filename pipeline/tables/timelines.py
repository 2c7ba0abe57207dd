"""`videos.csv`: the split of each video, and the relation of its timestamps to times in the film."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.errors import InputError
from pipeline.tables.csv_rows import VIDEO_ID_EXPECTED, numbers, read_rows, shown, video_id_fault
from pipeline.tables.film_ids import film_of
from pipeline.tables.schemas import TIMELINES

SPLITS = ("train", "val", "test")
BOTH = "train+val"
"Split of a film that is partly train and partly val (`time_split.py`); each of its keyframes is in one of the two."
_IN_NAME = re.compile(r"(?<![a-z])(train|val|test)(?:ing|id|idation)?(?![a-z])")
HEADER = ["video_id", "split", "first_timestamp", "offset_seconds"]
# AVA's films start at second 900 of the source film.
AVA_FIRST_TIMESTAMP = 900.0


class TwoSplitsError(InputError):
    """A film is in two splits."""


@dataclass(frozen=True)
class Timeline:
    """The split of a video, and its times: `time_seconds = timestamp - first_timestamp + offset_seconds`."""

    split: str
    first_timestamp: float = AVA_FIRST_TIMESTAMP
    offset_seconds: float = 0.0

    @property
    def first_allowed(self) -> float:
        """The timestamp of the film's first frame."""
        return self.first_timestamp - self.offset_seconds


def split_in(name: str) -> str:
    """Return the split that a file name contains as a word; empty if it contains none, or two."""
    found = {match[1] for match in _IN_NAME.finditer(name.lower())}
    return found.pop() if len(found) == 1 else ""


def films_of(table: pa.Table, split: str) -> pa.Table:
    """Select the rows of TIMELINES or KEYFRAMES of a split, including films that train and val share."""
    return table.filter(pc.is_in(table["split"], pa.array([split, *([BOTH] if split in BOTH.split("+") else [])])))


def read_timelines(path: Path) -> dict[str, Timeline]:
    """Read `videos.csv`. A wrong row ends the run, because a wrong time would put every label on another frame.

    Returns:
        The timeline of each video; its split is empty if the row leaves the split to the annotations.

    Raises:
        InputError: the header, a row, a split or a number is wrong, or a video is listed twice.
    """
    rows = read_rows(path)
    columns = [rows.column(index).to_pylist() for index in range(len(HEADER))]
    values = [numbers(rows.column(index)) for index in range(len(HEADER))]
    if not len(rows) or [column[0].lower() for column in columns] != HEADER or rows.widths[0] != len(HEADER):
        raise InputError(f"{path}: the first row is not the header {','.join(HEADER)}")
    timelines: dict[str, Timeline] = {}
    for index in range(1, len(rows)):
        where = f"{path}: row {rows.lines[index]}"
        video_id, split = film_of(columns[0][index]), columns[1][index]
        if rows.widths[index] != len(HEADER):
            raise InputError(f"{where}: {rows.widths[index]} columns, expected {','.join(HEADER)}")
        if fault := video_id_fault(video_id):
            raise InputError(f"{where}: {fault}, expected {VIDEO_ID_EXPECTED}")
        if split and split not in SPLITS:
            raise InputError(f"{where}: split {shown(split)}, expected train, val or test")
        for column in (2, 3):
            text = columns[column][index]
            if not abs(values[column][index]) < 1e9:
                raise InputError(f"{where}: {HEADER[column]} {shown(text)}, expected a number of seconds")
        if video_id in timelines:
            raise InputError(f"{where}: video {video_id} is listed twice")
        timelines[video_id] = Timeline(split, float(values[2][index]), float(values[3][index]))
    return timelines


def assign_timelines(
    folder: Path,
    named: dict[str, list[str]],
    listed: dict[str, Timeline] | None,
    *,
    files: Mapping[str, str] | None = None,
) -> dict[str, Timeline]:
    """Assign a timeline to every video.

    Args:
        folder: the annotation folder, for messages.
        named: split -> the videos that `<split>.csv` names.
        listed: the timelines of `videos.csv`, without a split where `named` gives it; None if there is no such file,
            and then AVA's times apply.
        files: split -> the name of its file, if that is not `<split>.csv`.

    Raises:
        TwoSplitsError: a video is in two splits.
        InputError: a video is missing from `videos.csv`.
    """
    timelines = dict(listed or {})
    names = {split: f"{split}.csv" for split in SPLITS} | dict(files or {})
    for split, video_ids in named.items():
        path = folder / names[split]
        unlisted = [each for each in video_ids if listed is not None and each not in listed]
        if unlisted:
            raise InputError(
                f"{path}: video {_first(unlisted)} is not in videos.csv; list every video there, "
                "or remove that file if AVA's times hold (first_timestamp 900)"
            )
        foreign = [each for each in video_ids if each in timelines and timelines[each].split not in ("", split)]
        if foreign:
            other = timelines[foreign[0]].split
            by_list = listed is not None and listed[foreign[0]].split
            where = f"of {other} in videos.csv" if by_list else f"in {names[other]} too"
            raise TwoSplitsError(f"{path}: video {_first(foreign)} is {where}; a video belongs to one split")
        timelines |= {each: replace(timelines.get(each, Timeline("")), split=split) for each in video_ids}
    return timelines


def _first(video_ids: list[str]) -> str:
    return video_ids[0] + (f" (and {len(video_ids) - 1} more)" if len(video_ids) > 1 else "")


def timelines_table(timelines: dict[str, Timeline]) -> pa.Table:
    """Build the TIMELINES table, sorted by video."""
    rows = sorted(timelines.items())
    return pa.table(
        {
            "video_id": [video_id for video_id, _ in rows],
            "split": [each.split for _, each in rows],
            "first_timestamp": [each.first_timestamp for _, each in rows],
            "offset_seconds": [each.offset_seconds for _, each in rows],
        },
        TIMELINES,
    )
