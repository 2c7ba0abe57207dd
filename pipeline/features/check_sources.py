"""Check that a bank's rows agree with the boxes, annotations and checkpoint it was made from, beyond its digests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.bank.reader import Bank
from pipeline.base.problems import Problem
from pipeline.base.progress import progress
from pipeline.features.film_objects import best_rows
from pipeline.features.requests import Floats, choose_boxes, rows_by_video
from pipeline.tables.film_ends import is_beyond
from pipeline.tables.schemas import ANNOTATIONS, BOX_COLUMNS, BOXES, KEYFRAMES, read_table
from pipeline.tables.select_boxes import BoxRule

Report = Callable[[str, str, str], None]  # item, found, expected
COLUMNS = ["timestamp", *BOX_COLUMNS]


def check_sources(
    bank: Bank, *, boxes: Path | None = None, annotations: Path | None = None, checkpoint: Path | None = None
) -> list[Problem]:
    """Compare a bank with the sources that it should have been made from; sources that are None are not checked.

    Args:
        bank: a bank whose own digests are right.
        boxes: the folder of `import_boxes`. `detections` must hold exactly its boxes at the seconds seen that pass the
            threshold, by the rule that the bank's provenance names, and `objects` the best of its objects.
        annotations: the folder of `import_annotations`. `ground_truth` must hold exactly its distinct boxes.
        checkpoint: weights, of which only the sidecar is read. They must be the bank's producer.

    Returns:
        The findings; empty if everything agrees.

    Raises:
        InputError: a source is absent or has another form.
    """
    findings: list[Problem] = []

    def report(item: str, found: str, expected: str) -> None:
        findings.append(Problem(bank.where, item, found, expected))

    if checkpoint is not None:
        from pipeline.checkpoint.weights import read_checkpoint  # imports PyTorch, which takes seconds

        expected, found = read_checkpoint(checkpoint).sha256, bank.provenance.get("checkpoint_sha256")
        if found != expected:
            report("checkpoint_sha256", str(found), f"{expected} of {checkpoint}")
    if boxes is not None:
        table = read_table(boxes / "boxes.parquet", BOXES)
        _check_boxes(bank, table, report)
        _check_objects(bank, table, report)
    if annotations is not None:
        keyframes = read_table(annotations / "keyframes.parquet", KEYFRAMES)
        annotated = pc.any(pc.equal(keyframes["split"], bank.split)).as_py() or False
        table = read_table(annotations / "annotations.parquet", ANNOTATIONS)
        _check_ground_truth(bank, rows_by_video(table, [*COLUMNS, "time_seconds"]), annotated, report)
    return findings


def _check_boxes(bank: Bank, boxes: pa.Table, report: Report) -> None:
    threshold = bank.provenance.get("box_threshold")
    if not isinstance(threshold, int | float):
        report("provenance: box_threshold", repr(threshold), "a number, to tell which boxes belong into it")
        return
    lower, full_frame = (bool(bank.provenance.get(key)) for key in ("lower_threshold", "full_frame_box"))
    rule = BoxRule(float(threshold), lower, full_frame)
    table = rows_by_video(boxes.filter(pc.is_null(boxes["label"])), [*COLUMNS, "score"])
    for video in progress(bank.videos, what="verify boxes", unit="video"):
        where = f"video {video!r}: detections"
        rows = bank.rows(video, "detections")
        if rows.score is None or np.isnan(rows.boxes_xyxy).any():
            report(where, "rows without box or score", "both, to compare them with the table")
            continue
        seen = np.asarray(bank.timestamps_seen(video), np.float64)
        chosen = choose_boxes(table.get(video, np.empty((0, 6))), seen, rule)
        chosen[:, 5] = chosen[:, 5].astype(np.float32)  # the type in which scores are stored
        found = np.column_stack([rows.timestamp, rows.boxes_xyxy, rows.score])
        _compare(found, chosen, where, "boxes of the table that pass the threshold", report)


def _check_objects(bank: Bank, boxes: pa.Table, report: Report) -> None:
    """Compare the rows of objects of a bank that has any with the best objects of each second."""
    best = bank.provenance.get("objects")
    if not isinstance(best, int):
        return
    table = rows_by_video(boxes.filter(pc.is_valid(boxes["label"])), [*COLUMNS, "score"])
    for video in progress(bank.videos, what="verify objects", unit="video"):
        where = f"video {video!r}: objects"
        if not bank.has_rows(video, "objects"):
            report(where, "no such row set", "one in every video, as the bank stores objects")
            continue
        rows = bank.rows(video, "objects")
        seen = np.asarray(bank.timestamps_seen(video), np.float64)
        chosen = best_rows(table.get(video, np.empty((0, 6))), seen, best)
        chosen[:, 5] = chosen[:, 5].astype(np.float32)  # the type in which scores are stored
        score = np.full(len(rows), np.nan) if rows.score is None else rows.score
        found = np.column_stack([rows.timestamp, rows.boxes_xyxy, score])
        _compare(found, chosen, where, f"the best {best} objects of each second in the table", report)


def _check_ground_truth(bank: Bank, table: dict[str, Floats], annotated: bool, report: Report) -> None:
    for video in progress(bank.videos, what="verify annotations", unit="video"):
        where = f"video {video!r}: ground_truth"
        if bank.has_rows(video, "ground_truth") != annotated:
            there, state = ("it", "no annotations") if not annotated else ("no such row set", "annotations")
            report(where, there, f"split {bank.split} has {state}")
        elif annotated:
            rows = bank.rows(video, "ground_truth")
            expected = table.get(video, np.empty((0, 6)))
            length = bank.attributes(video).get("duration_seconds", np.inf)  # no box is looked at beyond it
            expected = np.unique(expected[~is_beyond(expected[:, 5], length), :5], axis=0)
            found = np.column_stack([rows.timestamp, rows.boxes_xyxy])
            _compare(found, expected, where, "annotated boxes", report)


def _compare(found: Floats, expected: Floats, where: str, what: str, report: Report) -> None:
    """Report the rows that only one side has: how many, and the first of them."""
    ours, theirs = _counts(found), _counts(expected)
    extra = sorted(row for row in ours if ours[row] > theirs.get(row, 0))
    absent = sorted(row for row in theirs if theirs[row] > ours.get(row, 0))
    if extra:
        report(where, f"{len(extra)} rows that are none, the first is {_shown(extra[0])}", what)
    if absent:
        report(where, f"{len(absent)} that have no row, the first is {_shown(absent[0])}", what)


def _counts(rows: Floats) -> dict[tuple[float, ...], int]:
    values, counts = np.unique(rows, axis=0, return_counts=True)
    return dict(zip(map(tuple, values.tolist()), counts.tolist(), strict=True))


def _shown(row: tuple[float, ...]) -> str:
    at, *numbers = (f"{number:g}" for number in row)
    score = f" score {numbers[4]}" if len(numbers) > 4 else ""
    return f"timestamp {at} box {' '.join(numbers[:4])}{score}"
