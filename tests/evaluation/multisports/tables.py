"""Make tables from rows in the form of the reference."""

import pyarrow as pa

from pipeline.tables.schemas import ANNOTATIONS, DETECTIONS, KEYFRAMES


def annotations(rows: list[tuple], step: float = 1.0) -> pa.Table:
    """Rows (video, frame, class, box, person)."""
    return _table(ANNOTATIONS, [(v, at * step, 0.0, *box, label, person) for v, at, label, box, person in rows])


def detections(rows: list[tuple], step: float = 1.0) -> pa.Table:
    """Rows (video, frame, class, box, score)."""
    return _table(DETECTIONS, [(v, at * step, 0.0, *box, label, score) for v, at, label, box, score in rows])


def keyframes(rows: list[tuple], step: float = 1.0) -> pa.Table:
    """Rows (video, frame, status)."""
    return _table(KEYFRAMES, [(video, at * step, 0.0, "val", status) for video, at, status in rows])


def _table(schema: pa.Schema, rows: list[tuple]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)
