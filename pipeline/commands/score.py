"""`actionbank score`: compute AVA mAP from two CSV files."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.base.errors import InputError
from pipeline.base.files import check_report, write_json
from pipeline.evaluation.protocols import OFFICIAL_CAP, ProtocolName

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.evaluation.ava_map import Evaluation
    from pipeline.tables.label_map import Label


def score(
    ground_truth: Annotated[
        Path, typer.Option(help="CSV of video_id, timestamp, x1, y1, x2, y2, action_id[, person_id].")
    ],
    detections: Annotated[Path, typer.Option(help="CSV of video_id, timestamp, x1, y1, x2, y2, action_id, score.")],
    excluded: Annotated[
        Path | None, typer.Option(help="CSV of video_id, timestamp: keyframes that do not count.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Label map of the classes to score: pbtxt, CSV, 'id: name' lines or labels.json. "
            "Without it the 60 evaluated classes of AVA."
        ),
    ] = None,
    iou: Annotated[float, typer.Option(min=0, max=1, help="Least overlap of a true positive.")] = 0.5,
    protocol: Annotated[
        ProtocolName, typer.Option(help="Whose rules: the official code's, or those of a copy of it.")
    ] = "official",
    cap: Annotated[
        int, typer.Option(min=0, help="Rows of a keyframe that protocol official keeps; 0 keeps all.")
    ] = OFFICIAL_CAP,
    json_path: Annotated[
        Path | None,
        typer.Option("--json", help="Also write map, and ap and num_gt by class id, to this file."),
    ] = None,
) -> None:
    """Score detections against ground truth: AVA mAP, as the official script computes it.

    A row of two columns is a keyframe without boxes. Where scores tie, precision and recall are taken at
    distinct scores, so that the result does not depend on the order of rows.
    """
    from pipeline.analysis.suspicions import LOW, suspicions
    from pipeline.evaluation.ava_csv import keyframes_table, read_detections, read_ground_truth, read_keyframe_list
    from pipeline.evaluation.ava_map import evaluate

    if json_path:
        check_report(json_path, "map", "ap", "num_gt")
    truth, found = read_ground_truth(ground_truth), read_detections(detections)
    lists = {"empty": truth.keyframes} | ({"excluded": read_keyframe_list(excluded)} if excluded else {})
    classes, first_id = _read_classes(labels)
    boxes, detected = (_in_tables_ids(each.boxes, first_id) for each in (truth, found))
    class_ids = [label.id for label in classes]
    keyframes = keyframes_table(**{name: _of_films(each) for name, each in lists.items()})
    try:
        result = evaluate(
            boxes, detected, class_ids=class_ids, keyframes=keyframes, iou=iou, protocol=protocol, cap=cap
        )
    except InputError:
        warn(suspicions(boxes, detected, class_ids=class_ids, keyframes=_of_films(truth.keyframes)))
        raise
    is_low = not result.map >= LOW
    warnings = suspicions(boxes, detected, class_ids=class_ids, keyframes=_of_films(truth.keyframes), is_low=is_low)
    _print_classes(result, [replace(label, id=label.id - 1 + first_id) for label in classes])
    _print_total(result, len(found.boxes), len(classes), f"IoU {iou:g}, protocol {protocol}")
    warn(warnings or _none_counts(result, len(found.boxes)))
    if json_path:
        _write_report(json_path, result, first_id)


def _read_classes(labels: Path | None) -> "tuple[list[Label], int]":
    """Return the classes to score, and the id in the file that is 1 in tables."""
    from pipeline.annotations.class_ids import read_shifted_label_map
    from pipeline.tables.label_map import AVA_EVALUATED

    return read_shifted_label_map(labels) if labels else (list(AVA_EVALUATED), 1)


def _none_counts(result: "Evaluation", detections: int) -> list[str]:
    if not detections or result.num_detections.sum():
        return []
    return ["no detection has a keyframe of the ground truth, a scored class and a box with an area"]


def _print_total(result: "Evaluation", detections: int, classes: int, rules: str) -> None:
    import numpy as np

    counted, defined = int(result.num_detections.sum()), int(np.isfinite(result.ap).sum())
    print(f"{detections} detections, of which {counted} count; {int(result.num_gt.sum())} ground-truth boxes")
    print(f"mAP {result.map:.6f} over {defined} of {classes} classes, {rules}")


def _write_report(path: Path, result: "Evaluation", first_id: int) -> None:
    ids = [str(class_id - 1 + first_id) for class_id in result.class_ids]
    ap, num_gt = (dict(zip(ids, each.tolist(), strict=True)) for each in (result.ap, result.num_gt))
    write_json(path, {"map": result.map, "ap": ap, "num_gt": num_gt})


def _in_tables_ids(table: "pa.Table", first_id: int) -> "pa.Table":
    """Return boxes as `import_annotations` reads them: action ids from 1, and ids of films instead of file names."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = _of_films(table)
    if first_id == 1:
        return table
    at = table.schema.get_field_index("action_id")
    return table.set_column(at, table.schema.field(at), pc.add(table["action_id"], 1 - first_id).cast(pa.int32()))


def _of_films(table: "pa.Table") -> "pa.Table":
    """Return the table with file names replaced by the ids of the films."""
    import pyarrow as pa

    from pipeline.tables.film_ids import composed, film_of

    names = table["video_id"].combine_chunks()
    if not pa.types.is_dictionary(names.type):
        names = names.dictionary_encode()
    if isinstance(names, pa.ChunkedArray):
        names = names.unify_dictionaries().combine_chunks()
    ids = [film_of(composed(each.strip())) for each in names.dictionary.to_pylist()]
    if ids == names.dictionary.to_pylist():
        return table
    column = pa.DictionaryArray.from_arrays(names.indices, pa.array(ids, pa.string()))
    return table.set_column(0, "video_id", column)


def warn(lines: Sequence[str]) -> None:
    """Print warnings."""
    for line in lines:
        typer.echo(f"warning: {line}", err=True)


def _print_classes(result: "Evaluation", labels: "Sequence[Label]") -> None:
    """Print the AP of each class that has one, then of each group."""
    import numpy as np

    from pipeline.evaluation.ava_map import mean_ap

    width = max(len(text) for label in labels for text in (label.name, label.group))
    print(f"{'id':>4}  {'class':<{width}}  {'boxes':>7}  {'AP':>6}")
    for label, ap, examples in zip(labels, result.ap, result.num_gt, strict=True):
        if np.isfinite(ap):
            print(f"{label.id:>4}  {label.name:<{width}}  {examples:>7}  {ap:.4f}")
    groups = np.asarray([label.group for label in labels])
    for group in dict.fromkeys(groups.tolist()):
        chosen = groups == group
        if np.isfinite(result.ap[chosen]).any():
            total = int(result.num_gt[chosen].sum())
            print(f"{'':>4}  {group:<{width}}  {total:>7}  {mean_ap(result.ap[chosen]):.4f}")
