"""What rows in AVA's columns are: annotations, or boxes of a detector. Both are kept in CSV, often side by side.

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
# What people call a column, without signs: the places at which it may stand.
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
    """How the n rows of a file that are not empty keyframes go on behind the box."""

    boxes: int
    "How many rows hold a box, or try to."
    labelled: int
    "Rows with an action id, and behind it a person or nothing."
    in_eighth: int
    "Rows whose eighth field is a score."
    in_seventh: int
    "Rows of seven fields whose last one is a score."
    without: int
    "Rows of six fields: a box and nothing else."

    @property
    def are_annotations(self) -> bool:
        """Whether most rows are annotations."""
        return self.labelled * 2 > max(self.boxes, 1)

    @property
    def are_boxes(self) -> bool:
        """Whether most rows are boxes of a detector."""
        return max(self.in_eighth, self.in_seventh, self.without) * 2 > max(self.boxes, 1)

    @property
    def width(self) -> int:
        """Fields of a row of boxes: 8, or 7 or 6 where most rows have so many."""
        half = max(self.boxes, 1) / 2
        return 7 if self.in_seventh > half else 6 if self.without > half else 8


def header_of(rows: CsvRows) -> list[str]:
    """What a first row of names of columns means, field by field; empty where the first row is none.

    Names that mean nothing here stay as they are. Tables of other things, such as `video_id,split`, are none of AVA's.
    """
    names = [rows.column(index)[0].as_py() for index in range(int(rows.widths[0]))] if len(rows) else []
    if len(names) < 2 or not np.isnan(numbers(pa.array(names, pa.string()))).all():
        return []
    meant = [_MEANING.get("".join(filter(str.isalnum, name.lower())), name) for name in names]
    sides = len({*meant} & {*SIDES, "width", "height"})
    keys = len({*meant} & {"video_id", "timestamp"})
    return meant if (keys == 2 and (len(names) == 2 or sides > 1)) or (keys and sides > 3) else []


def read_ava_csv(path: Path) -> CsvRows:
    """The rows of a file in AVA's columns, without a first row that names them.

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
    """Look at all rows of a file."""
    fields = [rows.column(index) for index in range(2, 8)]
    boxed = ~np.logical_and.reduce([_is_blank(each) for each in fields])
    seventh, eighth = fields[4], fields[5]
    of_seventh, of_eighth = numbers(seventh), numbers(eighth)
    person = _matches(eighth, WHOLE) | _whole_floats(eighth, of_eighth)
    blank = _is_blank(eighth)
    fraction = _between(of_seventh) & (of_seventh != np.floor(of_seventh))
    in_seventh = boxed & (rows.widths == 7) & (fraction | _between_floats(seventh, of_seventh))
    labelled = boxed & ~_is_blank(seventh) & (person | blank) & ~in_seventh
    # Of scores that are whole numbers a few may be among the others: 1, or 0.
    in_eighth = boxed & ~blank & _between(of_eighth) & (~person | _is_blank(seventh))
    without = boxed & (rows.widths == 6) & ~np.isnan(numbers(fields[3]))
    return Columns(*(int(each.sum()) for each in (boxed, labelled, in_eighth, in_seventh, without)))


def _whole_floats(column: pa.Array, values: Floats) -> Mask:
    """Whole numbers written as 3.0 (pandas does it), unless none is above 1: then they may be scores."""
    whole = _matches(column, WHOLE_FLOAT)
    return whole if bool((values[whole] > 1).any()) else np.zeros(len(values), bool)


def _between_floats(column: pa.Array, values: Floats) -> Mask:
    """1.0 and 0.0, where the other fields of the column are fractions."""
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
