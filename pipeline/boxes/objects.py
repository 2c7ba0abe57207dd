"""Read the boxes of objects that lie in a folder of their own, beside those of persons."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.errors import InputError
from pipeline.boxes.box_rows import BoxRows
from pipeline.boxes.formats_of_boxes import BoxFiles, read_box_files

UNNAMED = "object"
"The label of an object whose file does not say its class."


def read_objects(folder: Path, annotations: Path | None, lists: Sequence[Path]) -> BoxFiles:
    """Read every file of a folder as objects; names of files begin with that of the folder.

    Args:
        folder: `dataset.objects`.
        annotations: see `read_box_files`.
        lists: other folders; the first of them is that of the persons' boxes.

    Raises:
        InputError: it is the folder of the persons' boxes, or as `read_box_files`.
    """
    if lists and folder.resolve() == lists[0].resolve():
        raise InputError(
            f"{folder}: is the folder of persons (boxes.source) and of objects (dataset.objects), expected two; a file "
            "of COCO's results is read for both, and needs no dataset.objects"
        )
    found = read_box_files(folder, annotations, objects=True, lists=lists)
    named = {f"{folder.name}/{name}": as_objects(rows) for name, rows in found.rows.items()}
    problems = [replace(each, file=f"{folder.name}/{each.file}") for each in found.problems]
    return found._replace(rows=named, problems=problems)


def as_objects(rows: BoxRows) -> BoxRows:
    """Return the rows with a label each: what their file says, or UNNAMED."""
    labels = pa.nulls(len(rows), pa.string()) if rows.labels is None else rows.labels
    return replace(rows, labels=pc.fill_null(labels, UNNAMED))
