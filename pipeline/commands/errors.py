"""`actionbank errors`: where the AP is lost."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.base.errors import InputError

REPORT = ("errors.json", "index.html", "per_class.csv", "confusions.csv", "keyframes.csv", "keyframes/*.jpg")


def errors(
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="The split that was scored.")] = "val",
    boxes: Annotated[
        Literal["detected", "ground_truth"], typer.Option(help="Of the two tables that evaluate writes, which.")
    ] = "detected",
    detections: Annotated[
        Path | None,
        typer.Option(
            help="Another table of detections (Parquet); absent: results/detections/<boxes>.parquet.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder of the report; an earlier report is replaced, and nothing else.")
    ] = Path("results/errors"),
    worst: Annotated[int, typer.Option(min=0, help="How many keyframes are shown, those that cost most.")] = 20,
) -> None:
    """Tell where the AP is lost: missed persons, badly placed boxes, wrong classes (docs/errors.md).

    Prints what each kind of error costs and which classes are confused, and writes the tables of all classes, the
    worst keyframes as pictures and the learning curves of the trainings.
    """
    # PyTorch takes seconds to import.
    import pyarrow as pa
    import pyarrow.compute as pc

    from pipeline.analysis.confusions import find_confusions
    from pipeline.analysis.error_kinds import find_errors
    from pipeline.analysis.errors_page import write_page
    from pipeline.analysis.errors_report import summary, text, write_tables
    from pipeline.analysis.learning_curves import curves_section
    from pipeline.base.files import check_own, replace_folder
    from pipeline.params import load_params
    from pipeline.tables.schemas import DETECTIONS, read_table
    from pipeline.tables.split_tables import read_tables
    from pipeline.video.store import FrameStore

    check_own(out, REPORT)
    params = load_params()
    scoring, data = params.evaluation, Path("data", params.dataset.name)
    if scoring.metric == "multisports":
        raise InputError("evaluation.metric is multisports, expected ava: errors are told by its rules")
    path = detections or Path("results/detections", f"{boxes}.parquet")
    tables = read_tables(data / "annotations", None)
    truth, keyframes = tables.of_split(split)
    rows = read_table(path, DETECTIONS)
    of_split = set(keyframes["video_id"].unique().to_pylist())
    if not of_split & set(rows["video_id"].unique().to_pylist()):
        raise InputError(f"{path}: has no row of the {len(of_split)} videos of split {split} of {data / 'annotations'}")
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
    confusions = find_confusions(found)
    curves = "" if detections else curves_section(Path("results"))  # other detections are of another training
    frames = data / "frames"
    store = FrameStore(frames) if worst and frames.is_dir() else None
    total = summary(found)
    found_map = "none" if total["map"] != total["map"] else f"{total['map']:.4f}"
    title = f"{path}, split {split}: mAP {found_map} at IoU {scoring.iou:g}, {total['labels']} labels"
    with replace_folder(out, REPORT) as folder:
        write_tables(folder, found, confusions, labels)
        pictures = write_page(
            folder,
            found,
            confusions,
            annotations=truth,
            detections=rows,
            labels=labels,
            store=store,
            title=title,
            worst=worst,
            curves=curves,
        )
    print(f"{title}\n{text(found, confusions, labels)}", end="")
    without = "" if store or not worst else f" ({frames} is not there)"
    print(f"{out / 'index.html'}: the worst keyframes, {pictures} of them with a picture{without}")
