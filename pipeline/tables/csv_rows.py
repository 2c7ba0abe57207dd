"""Read CSV files without a header and with rows of different lengths, by column and with line numbers.

AVA's files mix rows of 2, 7 and 8 columns, which general CSV readers refuse. They contain no quotes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.base.errors import InputError
from pipeline.base.files import refuse_special
from pipeline.base.problems import Fault, Problem, ProblemKind
from pipeline.tables.film_ids import ID_EXPECTED, composed, is_id

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

NUMBER = r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$"
VIDEO_ID_EXPECTED = f"an id of {ID_EXPECTED}"
# How far a coordinate may lie outside [0, 1]: by the rounding of a float32, no more.
TOLERANCE = 1e-6
# Larger coordinates are pixels: a share of the frame exceeds 1 only slightly, by careless annotation.
LEAST_PIXEL = 2.0


@dataclass(frozen=True)
class CsvRows:
    """The rows of one file that are not blank: all fields in one flat array, and where each row begins in it."""

    file: str
    fields: pa.LargeStringArray
    starts: Ints
    widths: Ints
    lines: Ints
    "Line numbers, from 1."

    def __len__(self) -> int:
        return len(self.starts)

    def column(self, index: int) -> pa.LargeStringArray:
        """Return field `index` of every row, trimmed; empty where a row has no such field."""
        there = self.widths > index
        places = pa.array(np.where(there, self.starts + index, 0), mask=~there)
        return pc.fill_null(self.fields.take(places), "")


def read_rows(path: Path) -> CsvRows:
    """Read a comma-separated file.

    Raises:
        InputError: the file cannot be opened or is not UTF-8 text.
    """
    refuse_special(path)
    try:
        data = path.read_bytes()
        text = composed(data.decode("utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}: row {line} is not UTF-8 text") from None
    lines = pa.array(text.split("\n"), pa.large_string())
    filled = pc.not_equal(pc.utf8_trim_whitespace(lines), "")
    split = pc.split_pattern(lines.filter(filled), ",")
    offsets = split.offsets.to_numpy().astype(np.int64)
    return CsvRows(
        file=path.name,
        fields=pc.utf8_trim_whitespace(split.values),
        starts=offsets[:-1],
        widths=np.diff(offsets),
        lines=np.flatnonzero(filled.to_numpy(zero_copy_only=False)) + 1,
    )


def numbers(column: pa.Array) -> Floats:
    """Convert decimal text to float64 [n], correctly rounded; anything that is not a finite number becomes NaN."""
    nothing = pa.scalar(None, column.type)
    column = pc.if_else(pc.equal(column, ""), nothing, column)
    try:
        values = pc.cast(column, pa.float64())
    except pa.ArrowInvalid:
        matched = pc.if_else(pc.match_substring_regex(column, NUMBER), column, nothing)
        values = pc.cast(matched, pa.float64())
    found: Floats = values.to_numpy(zero_copy_only=False).astype(np.float64)
    return np.where(np.isfinite(found), found, np.nan)


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value from a file is a finite number of reasonable size."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def shown(text: str) -> str:
    """Quote a foreign text for a message: one line, shortened."""
    return repr(text) if len(text) <= 60 else repr(text[:57]) + "..."


def shown_box(box: Iterable[float]) -> str:
    """Format a box for a message."""
    return "box " + " ".join(f"{value:.10g}" for value in box)


def video_id_fault(video_id: str) -> str:
    """Describe what is wrong with a video id, which becomes part of file names; empty if nothing is wrong."""
    if not video_id:
        return "no video id"
    # MultiSports' ids are several such names joined by slashes.
    return "" if all(map(is_id, video_id.split("/"))) else f"video id {shown(video_id)}"


class Faults:
    """Collects the bad rows of one file, with the first fault of each; `bad` marks the rows to leave out.

    Args:
        file: name of the file, for the problems.
        where: describes the place of row i ("row 17").
        count: number of rows.
    """

    def __init__(self, file: str, where: Callable[[int], str], count: int) -> None:
        self.file = file
        self.where = where
        self.bad: Mask = np.zeros(count, bool)
        self._found: dict[int, Problem] = {}

    def add(self, mask: Mask, found: Callable[[int], str], expected: str, kind: ProblemKind = "unreadable") -> None:
        """Record a fault for the rows of `mask` that have none yet; `found(i)` describes what row i holds."""
        for index in np.flatnonzero(mask & ~self.bad).tolist():
            self._found[index] = Problem(self.file, self.where(index), found(index), expected, kind)
        self.bad |= mask

    def add_each(self, faults: Iterable[Fault | None]) -> None:
        """Record the fault of each row; None for a row without one."""
        for index, fault in enumerate(faults):
            if fault is not None and not self.bad[index]:
                self._found[index] = Problem(self.file, self.where(index), *fault)
                self.bad[index] = True

    def leave_out(self, mask: Mask) -> None:
        """Mark rows to be left out that have no fault."""
        self.bad |= mask

    def add_video_ids(self, video_ids: pa.Array) -> None:
        """Record the ids that cannot be part of a file name."""
        coded = pc.dictionary_encode(video_ids)
        faults = [video_id_fault(each) for each in coded.dictionary.to_pylist()]
        codes = coded.indices.to_numpy()
        self.add(
            np.array([bool(fault) for fault in faults], bool)[codes],
            lambda i: faults[codes[i]],
            VIDEO_ID_EXPECTED,
            "video-id",
        )

    def add_boxes(self, boxes: Floats, texts: list[pa.Array] | None, rows: Mask) -> None:
        """Record the boxes [n, 4] among `rows` that are not `0 <= x1 < x2 <= 1`, and the same in y.

        Args:
            boxes: NaN stands for text that is not a number.
            texts: the four columns as written, for the messages; None if the source was numeric.
            rows: mask of the rows that have a box.
        """
        for index, name in enumerate(("x1", "y1", "x2", "y2")):

            def as_found(i: int, name: str = name, index: int = index) -> str:
                return f"{name} {shown(texts[index][i].as_py()) if texts else boxes[i, index]}"

            self.add(rows & ~np.isfinite(boxes[:, index]), as_found, "a finite number")

        def as_box(i: int) -> str:
            return shown_box(boxes[i])

        expected = "coordinates from 0 to 1, as shares of the frame's width and height"
        self.add(rows & (np.abs(boxes) > LEAST_PIXEL).any(axis=1), as_box, expected, "box-in-pixels")
        outside = ((boxes < -TOLERANCE) | (boxes > 1 + TOLERANCE)).any(axis=1)
        self.add(rows & outside, as_box, expected, "box-outside")
        self.add_flat(boxes, as_box, "x1 < x2 and y1 < y2", rows)

    def add_flat(self, boxes: Floats, found: Callable[[int], str], expected: str, rows: Mask) -> None:
        """Record the boxes [n, 4] among `rows` that are not x1 < x2 and y1 < y2."""
        equal = (boxes[:, 2] == boxes[:, 0]) | (boxes[:, 3] == boxes[:, 1])
        self.add(rows & equal, found, expected, "box-zero-area")
        inverted = (boxes[:, 2] < boxes[:, 0]) | (boxes[:, 3] < boxes[:, 1])
        self.add(rows & inverted, found, expected, "box-inverted")

    def problems(self) -> list[Problem]:
        """Return one problem per bad row, in the order of the rows."""
        return [self._found[index] for index in sorted(self._found)]
