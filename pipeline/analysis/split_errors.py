"""Compare the detections of a split with its annotations, for `actionbank errors`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.analysis.error_kinds import Errors, find_errors
from pipeline.base.errors import InputError
from pipeline.params import Params
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import DETECTIONS, read_table
from pipeline.tables.split_tables import read_tables


@dataclass(frozen=True)
class SplitErrors:
    """The errors found, and the tables that they refer to."""

    errors: Errors
    annotations: pa.Table
    "ANNOTATIONS of the split."
    detections: pa.Table
    "DETECTIONS of the split's films."
    labels: Sequence[Label]
    "The scored classes."


def errors_of_split(params: Params, detections: Path, split: str) -> SplitErrors:
    """Find the errors of a table of detections by the rules of the parameters.

    Args:
        params: the parameters; their data set's annotations are the ground truth.
        detections: a table DETECTIONS.
        split: train, val or test.

    Raises:
        InputError: the metric is not ava, a table is bad, or no film of the split has a detection.
    """
    scoring = params.evaluation
    if scoring.metric == "multisports":
        raise InputError("evaluation.metric is multisports, expected ava: errors are told by its rules")
    folder = Path("data", params.dataset.name, "annotations")
    tables = read_tables(folder, None)
    truth, keyframes = tables.of_split(split)
    rows = read_table(detections, DETECTIONS)
    of_split = set(keyframes["video_id"].unique().to_pylist())
    if not of_split & set(rows["video_id"].unique().to_pylist()):
        raise InputError(f"{detections}: has no row of the {len(of_split)} videos of split {split} of {folder}")
    rows = rows.filter(pc.is_in(rows["video_id"], pa.array(sorted(of_split), pa.string())))
    labels = tables.scored_labels(scoring.classes, params.dataset.classes)
    found = find_errors(
        truth,
        rows,
        class_ids=[label.id for label in labels],
        keyframes=keyframes,
        iou=scoring.iou,
        protocol=scoring.protocol,
        cap=scoring.cap,
    )
    return SplitErrors(found, truth, rows, labels)
