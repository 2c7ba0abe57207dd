"""Write the out of import_boxes: the table of a data set's boxes, and print a summary."""

from pathlib import Path
from typing import Any

from pipeline.base.errors import InputError, counted
from pipeline.base.files import write_json
from pipeline.base.problems import print_first, report_problems
from pipeline.boxes.importing import BoxImport
from pipeline.boxes.person_tracks import with_tracks
from pipeline.boxes.recall import THRESHOLD_KEYS
from pipeline.boxes.settings import Boxes
from pipeline.tables.schemas import BOXES, write_table

FILES = ("boxes.parquet", "summary.json", "problems.json")


def write_boxes(folder: Path, found: BoxImport, boxes: Boxes) -> None:
    """Write FILES; print how the source was read, and the first problems.

    Args:
        folder: an empty folder to write to.
        found: the imported boxes.
        boxes: the parameters of the import.

    Raises:
        InputError: no box reaches `boxes.min_score`, or the share of bad rows exceeds `boxes.max_bad_fraction`.
    """
    print("\n".join(found.told))
    if found.boxes.num_rows == found.objects:
        raise InputError(
            f"{boxes.source}: no box has a score of at least {boxes.min_score:g} (boxes.min_score), the highest "
            f"is {found.highest:.4g}; set boxes.min_score, and {', '.join(THRESHOLD_KEYS)}, to what they mean"
        )
    print_first(found.problems)
    table = with_tracks(found.boxes) if boxes.tracks == "iou" else found.boxes
    write_table(table, folder / "boxes.parquet", BOXES)
    write_json(folder / "summary.json", found.summary)
    report_problems(
        found.problems,
        total=found.rows,
        max_bad_fraction=boxes.max_bad_fraction,
        key="boxes.max_bad_fraction",
        folder=folder,
        unit="rows",
        bad=found.bad,
    )


def split_lines(summary: dict[str, Any]) -> list[str]:
    """Return lines on the scores, and on the boxes of each split."""
    counts = summary["score_histogram"]["counts"]
    tenths = [sum(counts[place : place + 2]) for place in range(0, len(counts), 2)]
    lines = ["scores from 0 to 1 in tenths: " + " ".join(map(str, tenths))]
    for split, each in summary["splits"].items():
        videos = f"{each['videos'] - each['videos_without_a_box']} of {each['videos']} videos"
        bare = f"{each['annotated_keyframes_without_a_box']} of {each['annotated_keyframes']} annotated keyframes"
        things = f"; {counted(each['objects'], 'object')}" if "objects" in each else ""
        lines.append(f"{split}: {counted(each['boxes'], 'box', 'boxes')} in {videos}; {bare} without a box{things}")
    return lines


def describe_rows(found: BoxImport, min_score: float) -> str:
    """Say how many boxes were kept, and what happened to the other rows."""
    counts = found.summary["all_files"]
    dropped = ", ".join(
        f"{counts[fate]} {name}"
        for fate, name in (
            ("bad", "bad"),
            ("unknown_video", "of unknown videos"),
            ("below_min_score", f"below {min_score:g}"),
            ("same_box_again", "repeated"),
            ("same_box_in_another_file", "in two files"),
        )
    )
    kept = counted(found.boxes.num_rows - found.objects, "box", "boxes")
    kept += f" and {counted(found.objects, 'object')}" if found.objects else ""
    return f"{kept} of {counted(counts['rows'], 'row')}; left out: {dropped}"
