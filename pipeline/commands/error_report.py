"""`actionbank errors`: report where the AP is lost."""

from pathlib import Path
from typing import Annotated, Literal

import typer

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
    # Imported here because PyTorch takes seconds to import.
    from pipeline.analysis.confusions import find_confusions
    from pipeline.analysis.errors_page import write_page
    from pipeline.analysis.errors_report import error_summary, text, write_error_tables
    from pipeline.analysis.learning_curves import curves_section
    from pipeline.analysis.split_errors import errors_of_split
    from pipeline.base.files import check_own, replace_folder
    from pipeline.params import load_params
    from pipeline.video.store import FrameStore

    check_own(out, REPORT)
    params = load_params()
    path = detections or Path("results/detections", f"{boxes}.parquet")
    found = errors_of_split(params, path, split)
    confusions = find_confusions(found.errors)
    curves = "" if detections else curves_section(Path("results"))  # other detections come from another training
    frames = Path("data", params.dataset.name, "frames")
    store = FrameStore(frames) if worst and frames.is_dir() else None
    total = error_summary(found.errors)
    found_map = "none" if total["map"] != total["map"] else f"{total['map']:.4f}"
    title = f"{path}, split {split}: mAP {found_map} at IoU {params.evaluation.iou:g}, {total['labels']} labels"
    with replace_folder(out, REPORT) as folder:
        write_error_tables(folder, found.errors, confusions, found.labels)
        pictures = write_page(folder, found, confusions, store=store, title=title, worst=worst, curves=curves)
    print(f"{title}\n{text(found.errors, confusions, found.labels)}", end="")
    without = "" if store or not worst else f" ({frames} is not there)"
    print(f"{out / 'index.html'}: the worst keyframes, {pictures} of them with a picture{without}")
