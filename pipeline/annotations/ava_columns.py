"""Tell annotations from detector boxes in rows with AVA's columns. Both are kept as CSV, often side by side.

`video_id,timestamp,x1,y1,x2,y2` is followed by an action id and perhaps a person id, or by a score.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.errors import InputError
from pipeline.tables.csv_rows import CsvRows, Floats, Mask, numbers, read_rows, shown

WHOLE = r"^-?[0-9]+$"
WHOLE_FLOAT = r"^[0-9]+\.0*$"
ORDER = ("video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id", "person_id")
SIDES = frozenset(ORDER[2:6])
# Column names that people use, without punctuation, by the column that they mean.
_NAMES = {
    "video_id": ("videoid", "video", "videoname", "movie", "film", "clip", "clipid", "filename"),
    "timestamp": ("timestamp", "time", "second", "seconds", "middleframetimestamp", "frame", "frameid"),
    "x1": ("x1", "x", "xmin", "left", "bboxx1"),
    "y1": ("y1", "y", "ymin", "top", "bboxy1"),
    "x2": ("x2", "xmax", "right", "bboxx2"),
    "y2": ("y2", "ymax", "bottom", "bboxy2"),
    "width": ("w", "width"),
    "height": ("h", "height"),
    "action_id": ("actionid", "action", "label", "labelid", "class", "classid", "category", "categoryid"),
    "person_id": ("personid", "person", "entityid", "trackid", "objectid"),
    "score": ("score", "confidence", "conf", "probability"),
}
_MEANING = {name: meaning for meaning, names in _NAMES.items() for name in names}
_PLACES = {name: (place,) for place, name in enumerate(ORDER)} | {"score": (6, 7)}


@dataclass(frozen=True)
class Columns:
    """How the rows of a file continue after the box, as counts; rows of empty keyframes are not counted."""

    boxes: int
    "Number of rows that have a box, valid or not."
    labelled: int
    "Number of rows with an action id, followed by a person id or by nothing."
    in_eighth: int
    "Number of rows whose eighth field is a score."
    in_seventh: int
    "Number of rows with seven fields, the last of them a score."
    without: int
    "Number of rows with six fields: only a box."

    @property
    def are_annotations(self) -> bool:
        """Return whether most rows are annotations."""
        return self.labelled * 2 > max(self.boxes, 1)

    @property
    def are_boxes(self) -> bool:
        """Return whether most rows are boxes of a detector."""
        return max(self.in_eighth, self.in_seventh, self.without) * 2 > max(self.boxes, 1)

    @property
    def width(self) -> int:
        """Return the number of fields in a row of boxes: 7 or 6 if most rows have that many, else 8."""
        half = max(self.boxes, 1) / 2
        return 7 if self.in_seventh > half else 6 if self.without > half else 8


def header_of(rows: CsvRows) -> list[str]:
    """Return the meaning of each column name in the first row; empty if the first row is not a header.

    Unknown names are returned as they are. A table of other things, such as `video_id,split`, is not an AVA table.
    """
    names = [rows.column(index)[0].as_py() for index in range(int(rows.widths[0]))] if len(rows) else []
    if len(names) < 2 or not np.isnan(numbers(pa.array(names, pa.string()))).all():
        return []
    meant = [_MEANING.get("".join(filter(str.isalnum, name.lower())), name) for name in names]
    sides = len({*meant} & {*SIDES, "width", "height"})
    keys = len({*meant} & {"video_id", "timestamp"})
    return meant if (keys == 2 and (len(names) == 2 or sides > 1)) or (keys and sides > 3) else []


def read_ava_csv(path: Path) -> CsvRows:
    """Read the rows of a file with AVA's columns, without its header row if there is one.

    Raises:
        InputError: see `read_rows`; or the first row names the columns in another order.
    """
    rows = read_rows(path)
    header = header_of(rows)
    if not header:
        return rows
    if any(name in _NAMES and place not in _PLACES.get(name, ()) for place, name in enumerate(header)):
        written = ",".join(rows.column(place)[0].as_py() for place in range(len(header)))
        last = "[[,action_id],score]" if "score" in header else ",action_id[,person_id]"
        expected = f"{','.join(ORDER[:6])}{last}" if len(header) > 2 else ",".join(ORDER[:2])
        raise InputError(f"{path}: the columns are {shown(written)} by the first row, expected the order {expected}")
    return replace(rows, starts=rows.starts[1:], widths=rows.widths[1:], lines=rows.lines[1:])


def columns_of(rows: CsvRows) -> Columns:
    """Count what follows the box in the rows of a file."""
    fields = [rows.column(index) for index in range(2, 8)]
    boxed = ~np.logical_and.reduce([_is_blank(each) for each in fields])
    seventh, eighth = fields[4], fields[5]
    of_seventh, of_eighth = numbers(seventh), numbers(eighth)
    person = _matches(eighth, WHOLE) | _whole_floats(eighth, of_eighth)
    blank = _is_blank(eighth)
    fraction = _between(of_seventh) & (of_seventh != np.floor(of_seventh))
    in_seventh = boxed & (rows.widths == 7) & (fraction | _between_floats(seventh, of_seventh))
    labelled = boxed & ~_is_blank(seventh) & (person | blank) & ~in_seventh
    # A score of 1 or 0 looks like a person id, and is counted only where there is no action id.
    in_eighth = boxed & ~blank & _between(of_eighth) & (~person | _is_blank(seventh))
    without = boxed & (rows.widths == 6) & ~np.isnan(numbers(fields[3]))
    return Columns(*(int(each.sum()) for each in (boxed, labelled, in_eighth, in_seventh, without)))


def _whole_floats(column: pa.Array, values: Floats) -> Mask:
    """Mark whole numbers written as 3.0 (pandas does so). If none is above 1, mark nothing: they may be scores."""
    whole = _matches(column, WHOLE_FLOAT)
    return whole if bool((values[whole] > 1).any()) else np.zeros(len(values), bool)


def _between_floats(column: pa.Array, values: Floats) -> Mask:
    """Mark 1.0 and 0.0 if other fields of the column are fractions."""
    fraction = _between(values) & (values != np.floor(values))
    return _matches(column, WHOLE_FLOAT) & _between(values) & bool(fraction.any())


def _between(values: Floats) -> Mask:
    inside: Mask = (values >= 0) & (values <= 1)  # NaN is not
    return inside


def _is_blank(column: pa.Array) -> Mask:
    found: Mask = pc.equal(column, "").to_numpy(zero_copy_only=False)
    return found


def _matches(column: pa.Array, pattern: str) -> Mask:
    found: Mask = pc.match_substring_regex(column, pattern).to_numpy(zero_copy_only=False)
    return found
