"""`actionbank score-multisports`: compute frame-mAP and video-mAP against MultiSports' ground truth."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipeline.base.errors import InputError
from pipeline.base.files import check_report, write_json
from pipeline.commands.score import warn
from pipeline.evaluation.protocols import MIN_FRAMES

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.tables.label_map import Label

SHOWN = ("0.2", "0.5", "0.10:0.90")


def score_multisports(
    ground_truth: Annotated[Path, typer.Option(help="MultiSports' pickle of tubes, e.g. multisports_GT.pkl.")],
    detections: Annotated[
        Path,
        typer.Option(
            help="CSV of video_id, frame number (from 1), x1, y1, x2, y2 (shares of the frame), "
            "action_id (class of the pickle + 1), score."
        ),
    ],
    split: Annotated[Literal["train", "val"], typer.Option(help="val is the pickle's test_videos.")] = "val",
    protocol: Annotated[
        Literal["official", "mmaction2_1x"],
        typer.Option(help="mmaction2_1x: link all boxes with the score of the last row, as MMAction2 does by a slip."),
    ] = "official",
    split_number: Annotated[
        int, typer.Option(min=1, help="Which of several ways to split the videos counts (JHMDB has three).")
    ] = 1,
    min_frames: Annotated[int, typer.Option(min=1, help="Shorter detected tubes are dropped.")] = MIN_FRAMES,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Also write frame_map, video_map and per_class to this file.")
    ] = None,
) -> None:
    """Score detections as MultiSports does: frame-mAP at IoU 0.5, and video-mAP of the tubes linked from them.

    A row should be a box's best class, as MMAction2 scores it. All numbers are from 0 to 1.
    """
    from pipeline.analysis.suspicions import LOW, suspicions
    from pipeline.annotations.multisports_pickle import read_multisports
    from pipeline.evaluation.ava_csv import read_detections
    from pipeline.evaluation.multisports.metric import evaluate_multisports

    if json_path:
        check_report(json_path, "frame_map", "video_map", "per_class")
    truth = read_multisports(ground_truth, split, fps=25, number=split_number)
    found = read_detections(detections)
    class_ids = [label.id for label in truth.labels]
    try:
        tables = (truth.annotations, truth.keyframes, found.boxes)
        result = evaluate_multisports(
            *tables, truth.labels, protocol=protocol, sizes=truth.sizes, min_frames=min_frames
        )
    except InputError:
        warn(suspicions(truth.annotations, found.boxes, class_ids=class_ids))
        raise
    is_low = not result["frame_map"] >= LOW
    _print_classes(result["per_class"], truth.labels)
    classes = result["per_class"].values()
    boxes, tubes = (sum(each[name] for each in classes) for name in ("detected_boxes", "detected_tubes"))
    print(f"{len(found.boxes)} detections, of which {boxes} count, in {tubes} tubes")
    video_map = ", ".join(f"@{name} {result['video_map'][name]:.6f}" for name in SHOWN)
    if truth.splits > 1:
        several = f"{ground_truth.name} has {truth.splits} ways to split its videos"
        print(f"{several}; number {split_number} counts (--split-number)")
    warn(suspicions(truth.annotations, found.boxes, class_ids=class_ids, is_low=is_low))
    _warn_of_early(found.boxes)
    print(f"frame-mAP@0.5 {result['frame_map']:.6f}, video-mAP {video_map}, protocol {protocol}")
    if json_path:
        write_json(json_path, {**result, "per_class": {str(key): each for key, each in result["per_class"].items()}})


def _warn_of_early(boxes: "pa.Table") -> None:
    """Warn of detections before the first frame."""
    import pyarrow.compute as pc

    if early := pc.sum(pc.less(boxes["timestamp"], 1)).as_py():
        warn([f"{early} rows of the detections are of frames before 1, the first: do they count from 0?"])


def _print_classes(per_class: dict[int, Any], labels: "list[Label]") -> None:
    """Print the results of the classes that have ground truth."""
    width = max(len(label.name) for label in labels)
    header = "".join(f"{'@' + name:>11}" for name in SHOWN)
    print(f"{'id':>4}  {'class':<{width}}  {'boxes':>7}  {'AP':>6}  {'tubes':>6}{header}")
    for label in labels:
        each = per_class.get(label.id)
        if each and each["boxes"]:
            video_aps = "".join(f"{each['video_ap'][name]:>11.4f}" for name in SHOWN)
            counts = f"{each['boxes']:>7}  {each['frame_ap']:.4f}  {each['tubes']:>6}"
            print(f"{label.id:>4}  {label.name:<{width}}  {counts}{video_aps}")
