"""Read a data set's person boxes into one table.

    python -m stages.import_boxes

Reads every box file of the folder `boxes.source` (`dataset.proposals`, or with `boxes.detector` what detect_boxes
wrote), in any of the formats of docs/data-layout.md, says which it found, and takes the videos and their times from the
out of import_annotations. Writes `data/<name>/boxes`: `boxes.parquet` with every box of score `boxes.min_score` or more
(and ids over time, with `boxes.tracks`), `summary.json` with what became of the rows of each file, and `problems.json`.
Each consumer applies its own threshold, so that changing one re-runs nothing here.
"""

import sys
from pathlib import Path
from typing import Any

from pipeline.base.command import new_app, run
from pipeline.base.errors import InputError, counted
from pipeline.base.files import replace_folder, write_json
from pipeline.base.problems import report_problems
from pipeline.base.runs import recorded_run
from pipeline.boxes.importing import import_boxes as read_boxes
from pipeline.boxes.recall import THRESHOLD_KEYS, recall_lines
from pipeline.params import load_params
from pipeline.tables.schemas import ANNOTATIONS, BOXES, KEYFRAMES, TIMELINES, read_table, write_table

app = new_app()
OUT = ("boxes.parquet", "summary.json", "problems.json")


@app.command()
def import_boxes() -> None:
    """Turn person boxes of any format into one table; a bad row is reported and left out."""
    params = load_params()
    boxes, data = params.boxes, Path("data", params.dataset.name)
    out = data / "boxes"
    keyframes = read_table(data / "annotations" / "keyframes.parquet", KEYFRAMES)
    with recorded_run("import_boxes", "", dataset=params.dataset.name), replace_folder(out, OUT) as folder:
        found = read_boxes(
            Path(boxes.source),
            read_table(data / "annotations" / "timelines.parquet", TIMELINES),
            min_score=boxes.min_score,
            keyframes=keyframes,
            detector="" if boxes.detector == "none" else boxes.detector,
            tracks=boxes.tracks == "iou",
            person_class=boxes.person_class,
            # No dependency: what import_annotations made of these files is one.
            annotations=Path(params.dataset.annotations),
        )
        print("\n".join(found.told))
        if not found.boxes.num_rows:
            raise InputError(
                f"{boxes.source}: no box has a score of at least {boxes.min_score:g} (boxes.min_score), the highest "
                f"is {found.highest:.4g}; set boxes.min_score, and {', '.join(THRESHOLD_KEYS)}, to what they mean"
            )
        for problem in found.problems[:10]:
            print(problem, file=sys.stderr)
        write_table(found.boxes, folder / "boxes.parquet", BOXES)
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
    _tell(found.summary)
    # No dependency: the boxes are the same whatever their labels, and only these lines are not.
    if (labels := data / "annotations" / "annotations.parquet").exists():
        lines = recall_lines(read_table(labels, ANNOTATIONS), keyframes, found.boxes)
        print("".join(f"{line}\n" for line in lines), end="")
    counts = found.summary["all_files"]
    dropped = ", ".join(
        f"{counts[fate]} {name}"
        for fate, name in (
            ("bad", "bad"),
            ("unknown_video", "of unknown videos"),
            ("below_min_score", f"below {boxes.min_score:g}"),
            ("same_box_again", "repeated"),
            ("same_box_in_another_file", "in two files"),
        )
    )
    kept = counted(found.boxes.num_rows, "box", "boxes")
    print(f"{out}: {kept} of {counted(counts['rows'], 'row')}; left out: {dropped}")


def _tell(summary: dict[str, Any]) -> None:
    counts = summary["score_histogram"]["counts"]
    tenths = [sum(counts[place : place + 2]) for place in range(0, len(counts), 2)]
    print("scores from 0 to 1 in tenths: " + " ".join(map(str, tenths)))
    for split, each in summary["splits"].items():
        videos = f"{each['videos'] - each['videos_without_a_box']} of {each['videos']} videos"
        bare = f"{each['annotated_keyframes_without_a_box']} of {each['annotated_keyframes']} annotated keyframes"
        print(f"{split}: {counted(each['boxes'], 'box', 'boxes')} in {videos}; {bare} without a box")


if __name__ == "__main__":
    run(app)
