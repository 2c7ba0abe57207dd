"""`actionbank score`: AVA mAP of two CSV files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from pipeline.evaluation.ava import OFFICIAL_CAP, Evaluation, evaluate, mean_ap
from pipeline.evaluation.files import keyframes_table, read_detections, read_ground_truth, read_keyframe_list
from pipeline.evaluation.protocols import ProtocolName
from pipeline.files import check_report, write_json
from pipeline.labels import AVA_EVALUATED, Label, read_label_map


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
    if json_path:
        check_report(json_path, "map", "ap", "num_gt")
    truth, found = read_ground_truth(ground_truth), read_detections(detections)
    lists = {"empty": truth.keyframes}
    if excluded:
        lists["excluded"] = read_keyframe_list(excluded)
    classes = read_label_map(labels) if labels else AVA_EVALUATED
    result = evaluate(
        truth.boxes,
        found.boxes,
        class_ids=[label.id for label in classes],
        keyframes=keyframes_table(**lists),
        iou=iou,
        protocol=protocol,
        cap=cap,
    )
    _print_classes(result, classes)
    counted, defined = int(result.num_detections.sum()), int(np.isfinite(result.ap).sum())
    print(f"{len(found.boxes)} detections, of which {counted} count; {int(result.num_gt.sum())} ground-truth boxes")
    print(f"mAP {result.map:.6f} over {defined} of {len(classes)} classes, IoU {iou:g}, protocol {protocol}")
    if len(found.boxes) and not counted:
        typer.echo("warning: no detection has a keyframe of the ground truth and a scored class", err=True)
    if json_path:
        ids = [str(class_id) for class_id in result.class_ids]
        ap, num_gt = (dict(zip(ids, each.tolist(), strict=True)) for each in (result.ap, result.num_gt))
        write_json(json_path, {"map": result.map, "ap": ap, "num_gt": num_gt})


def _print_classes(result: Evaluation, labels: Sequence[Label]) -> None:
    """AP of each class that has one, then of each group."""
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
