"""Read AVA CSV files with Arrow: ground truth, detections and lists of excluded keyframes.

A row is `video_id,timestamp,x1,y1,x2,y2,action_id[,value]` without a header; the value is a detection's score
or a ground-truth box's person id. A row `video_id,timestamp` is a keyframe without boxes. Blank lines are
skipped.
"""

import csv
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from pipeline.base.errors import InputError
from pipeline.base.files import atomic_path, refuse_special
from pipeline.evaluation.box_arrays import Ints
from pipeline.tables.csv_rows import numbers, read_rows
from pipeline.tables.schemas import BOX_COLUMNS

KEYFRAME_ROW = ("video_id", "timestamp")
BOX_ROW = (*KEYFRAME_ROW, *BOX_COLUMNS, "action_id")
_TYPES = {name: pa.float64() for name in ("timestamp", *BOX_COLUMNS, "score", "person_id")} | {
    "video_id": pa.dictionary(pa.int32(), pa.string()),
    "action_id": pa.int32(),
}
_BAD_VALUE = re.compile(r"In CSV column #(\d+): Row #(\d+): CSV conversion error to \S+: invalid value '(.*)'", re.S)
# Largest timestamp, in seconds or frames: with six decimals it fits into a 64-bit integer.
LATEST = 9e12
_OddRows = list[tuple[int, list[str]]]  # row number and cells of rows with an unusual number of columns


@dataclass(frozen=True)
class BoxFile:
    """The content of an AVA CSV: boxes in file order, and the keyframes of two-column rows."""

    boxes: pa.Table  # video_id, timestamp, x1, y1, x2, y2, action_id, and score or person_id
    keyframes: pa.Table  # video_id, timestamp


def read_ground_truth(path: Path) -> BoxFile:
    """Read ground truth; `person_id` is 1 in rows of seven columns, as in the official reader.

    Raises:
        InputError: the file is absent or a row is bad; the message gives file, row, what was found and expected.
    """
    return _read_boxes(path, "person_id")


def read_detections(path: Path) -> BoxFile:
    """Read detections; `score` is 1 in rows of seven columns, as in the official reader.

    Raises:
        InputError: as `read_ground_truth`.
    """
    return _read_boxes(path, "score")


def read_keyframe_list(path: Path) -> pa.Table:
    """Read rows `video_id,timestamp`, such as the excluded timestamps of AVA.

    Raises:
        InputError: as `read_ground_truth`.
    """
    table, odd = _read_csv(path, KEYFRAME_ROW)
    for number, cells in odd:
        raise InputError(f"{path}: row {number}: found {len(cells)} columns, expected 2")
    return _finite(path, table, [])


def keyframes_table(**lists: pa.Table) -> pa.Table:
    """Join lists of keyframes, named by their status, into one table video_id, timestamp, status."""
    parts = []
    for status, table in lists.items():
        names = table["video_id"].cast(pa.string())
        columns = {"video_id": names, "timestamp": table["timestamp"], "status": [status] * len(table)}
        parts.append(pa.table(columns, pa.schema([(*each,) for each in _KEYFRAME_FIELDS])))
    return pa.concat_tables(parts)


_KEYFRAME_FIELDS = (("video_id", pa.string()), ("timestamp", pa.float64()), ("status", pa.string()))


def write_detections(path: Path, detections: pa.Table) -> None:
    """Write detections as AVA CSV; every number has the digits that read back to the same value.

    Args:
        path: the CSV.
        detections: columns video_id, timestamp, x1, y1, x2, y2, action_id, score.
    """
    write_detection_parts(path, lambda: [detections])


def write_detection_parts(path: Path, parts: Callable[[], Iterable[pa.Table]]) -> None:
    """Write detections that come in parts as `write_detections` does.

    Args:
        path: the CSV.
        parts: gives the parts, again where it is called again.
    """
    with atomic_path(path) as partial:
        try:
            _write_rows(partial, parts(), quoting="none")
        except pa.ArrowInvalid:  # a video id has a comma or a quote; with this option Arrow quotes every text
            _write_rows(partial, parts(), quoting="needed")


def _write_rows(path: Path, parts: Iterable[pa.Table], *, quoting: Literal["none", "needed"]) -> None:
    options = pacsv.WriteOptions(include_header=False, quoting_style=quoting)
    with path.open("wb") as file:
        for part in parts:
            pacsv.write_csv(_rows_of(part), file, options)


def _rows_of(detections: pa.Table) -> pa.Table:
    stamps = detections["timestamp"].combine_chunks().dictionary_encode()
    texts = pa.array([timestamp_text(value) for value in stamps.dictionary.to_pylist()], pa.string())
    table = detections.select([*BOX_ROW, "score"]).set_column(1, "timestamp", texts.take(stamps.indices))
    return table.combine_chunks()  # Arrow's writer fills rows after an empty chunk with bytes of no meaning


def timestamp_text(value: float) -> str:
    """Format a timestamp as AVA does: 902 is `0902`, the only form that copies of the official code read."""
    return f"{int(value):04d}" if value.is_integer() else repr(value)


def _read_boxes(path: Path, value: str) -> BoxFile:
    columns = (*BOX_ROW, value)
    try:
        return _read_fast(path, value, columns)
    except InputError:
        if (loose := _read_loosely(path, value)) is None:
            raise
        return loose


def _read_loosely(path: Path, value: str) -> BoxFile | None:
    """Read the file with the number rules of import_annotations: `3.0` as an id, blanks around fields, empty fields.

    Return None if it has a row that is bad by these rules too; the caller then keeps the fast reader's error.
    """
    try:
        rows = read_rows(path)
    except InputError:
        return None
    fields = [rows.column(index) for index in range(8)]
    if not np.isin(rows.widths, (2, 7, 8)).all() or pc.any(pc.match_substring(rows.fields, '"')).as_py():
        return None
    values = np.column_stack([numbers(each) for each in fields[1:]])
    is_empty = pc.equal(fields[7], "").to_numpy(zero_copy_only=False)
    may_be_empty = is_empty if value == "person_id" else rows.widths < 8
    values[may_be_empty, 6] = 1.0
    has_box = rows.widths > 2
    whole = (values[:, 5] == np.floor(values[:, 5])) & (np.abs(values[:, 5]) < 2**31)
    if not (np.abs(values[:, 0]) < LATEST).all() or not (np.isfinite(values).all(axis=1) & whole)[has_box].all():
        return None
    kept, empty = pa.array(np.flatnonzero(has_box)), pa.array(np.flatnonzero(~has_box))
    names = fields[0].cast(pa.string())
    columns = [values[has_box, index] for index in range(7)]
    table = pa.table([names.take(kept).dictionary_encode(), *columns], [*BOX_ROW, value])
    keyframes = pa.table([names.take(empty).dictionary_encode(), values[~has_box, 0]], [*KEYFRAME_ROW])
    return BoxFile(table.cast(_schema((*BOX_ROW, value))), keyframes.cast(_schema(KEYFRAME_ROW)))


def _read_fast(path: Path, value: str, columns: tuple[str, ...]) -> BoxFile:
    table, odd = _read_csv(path, columns[:7] if len(_first_row(path)) == 7 else columns)
    if value not in table.column_names:
        table = table.append_column(value, pa.array(np.ones(len(table))))
    for number, cells in odd:
        if len(cells) not in (2, 7, 8):
            raise InputError(f"{path}: row {number}: found {len(cells)} columns, expected 2, 7 or 8")
    two_columns = [(number, cells) for number, cells in odd if len(cells) == 2]
    listed = [_parse(path, number, cells, KEYFRAME_ROW) for number, cells in two_columns]
    others = [(number, _parse(path, number, cells, columns)) for number, cells in odd if len(cells) > 2]
    if others:
        added = pa.Table.from_pylist([{value: 1.0, **cells} for _, cells in others], _schema(columns))
        places = [*_row_numbers(len(table), odd), *(number for number, _ in others)]
        table = pa.concat_tables([table.select(columns).unify_dictionaries(), added]).unify_dictionaries()
        table = table.combine_chunks().take(np.argsort(places))
    keyframes = pa.Table.from_pylist(listed, _schema(KEYFRAME_ROW))
    return BoxFile(_finite(path, table, two_columns), keyframes)


def _schema(columns: tuple[str, ...]) -> pa.Schema:
    return pa.schema([(name, _TYPES[name]) for name in columns])


def _first_row(path: Path) -> list[str]:
    refuse_special(path)
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            return next((row for row in csv.reader(file) if row), [])
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except csv.Error as error:
        raise InputError(f"{path}: not CSV: {error}") from None


def _read_csv(path: Path, columns: tuple[str, ...]) -> tuple[pa.Table, _OddRows]:
    """Read the rows with these columns, and the rows with another number of columns."""
    if not _first_row(path):
        return _schema(columns).empty_table(), []
    try:
        return _read_arrow(path, columns, None), []
    except pa.ArrowInvalid:
        _refuse_other_encodings(path)  # before the callback meets such a row, which Arrow cannot pass to it
    set_aside: list[tuple[int, str]] = []

    def skip(row: Any) -> str:
        set_aside.append((row.number, row.text))
        return "skip"

    try:
        table = _read_arrow(path, columns, skip)
    except pa.ArrowInvalid as error:
        found = _BAD_VALUE.match(str(error))
        if not found:
            raise InputError(f"{path}: {' '.join(str(error).split())}") from None
        raise _bad_value(path, int(found[2]), columns[int(found[1])], found[3]) from None
    try:
        return table, [(number, next(csv.reader([text]), [])) for number, text in set_aside]
    except csv.Error as error:
        raise InputError(f"{path}: not CSV: {error}") from None


def _read_arrow(path: Path, columns: tuple[str, ...], on_odd_row: Callable[[Any], str] | None) -> pa.Table:
    return pacsv.read_csv(
        path,
        # With one thread the rows are numbered; a second thread would only add CPU time.
        read_options=pacsv.ReadOptions(column_names=columns, use_threads=False),
        parse_options=pacsv.ParseOptions(invalid_row_handler=on_odd_row),
        convert_options=pacsv.ConvertOptions(column_types=_schema(columns), null_values=[]),
    )


def _refuse_other_encodings(path: Path) -> None:
    content = path.read_bytes()
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}: line {line}: not UTF-8 text, expected CSV") from None


def _parse(path: Path, row: int, cells: list[str], columns: tuple[str, ...]) -> dict[str, Any]:
    """Return the values of one row, in the types that Arrow would read."""
    values: dict[str, Any] = {"video_id": cells[0]}
    for column, cell in list(zip(columns, cells, strict=False))[1:]:
        try:
            values[column] = pa.scalar(cell.strip()).cast(_TYPES[column]).as_py()
        except pa.ArrowInvalid:
            raise _bad_value(path, row, column, cell) from None
        if not math.isfinite(values[column]) or (column == "timestamp" and abs(values[column]) >= LATEST):
            raise _bad_value(path, row, column, cell)
    return values


def _row_numbers(rows: int, left_out: _OddRows) -> Ints:
    """Return the row numbers, from 1, of the rows that are not left out."""
    return np.setdiff1d(np.arange(1, rows + len(left_out) + 1), [number for number, _ in left_out])


def _finite(path: Path, table: pa.Table, left_out: _OddRows) -> pa.Table:
    for column in table.column_names:
        # Chunk by chunk: joining the chunks would copy the column.
        limit = LATEST if column == "timestamp" else np.inf
        if _TYPES[column] == pa.float64() and not all((np.abs(chunk) < limit).all() for chunk in table[column].chunks):
            at = int(np.argmin(np.abs(table[column].to_numpy()) < limit))
            row = int(_row_numbers(len(table), left_out)[at])
            raise _bad_value(path, row, column, str(table[column][at]))
    return table


def _bad_value(path: Path, row: int, column: str, value: str) -> InputError:
    expected = "an integer" if column == "action_id" else "a finite number"
    if column == "timestamp" and re.fullmatch(r"[-+0-9.eE]+", value):
        expected += f" below {LATEST:g}"
    return InputError(f"{path}: row {row}: {column} is {value!r}, expected {expected}")
