"""Read a data set's person boxes into one table.

    python -m stages.import_boxes

Reads every `.pkl` (AVA proposals) and `.csv` (AVA CSV with scores) of the folder `dataset.proposals`, and the
out of import_annotations for the videos and their times. Writes `data/<name>/boxes`: `boxes.parquet` with
every box of score `boxes.min_score` or more, `summary.json` with what became of the rows of each file, and
`problems.json`. Each consumer applies its own threshold, so that changing one re-runs nothing here.
"""

import sys
from pathlib import Path

from pipeline.boxes.importing import import_boxes as read_boxes
from pipeline.command import new_app, run
from pipeline.files import replace_folder, write_json
from pipeline.params import load_params
from pipeline.problems import report_problems
from pipeline.tables import BOXES, TIMELINES, read_table, write_table
from pipeline.work import recorded_run

app = new_app()


@app.command()
def import_boxes() -> None:
    """Turn proposal pickles and scored CSVs into one table; a bad row is reported and left out."""
    params = load_params()
    data = Path("data", params.dataset.name)
    out = data / "boxes"
    with recorded_run("import_boxes", params.dataset.name), replace_folder(out) as folder:
        timelines = read_table(data / "annotations" / "timelines.parquet", TIMELINES)
        found = read_boxes(Path(params.dataset.proposals), timelines, min_score=params.boxes.min_score)
        for problem in found.problems[:10]:
            print(problem, file=sys.stderr)
        write_table(found.boxes, folder / "boxes.parquet", BOXES)
        write_json(folder / "summary.json", found.summary)
        report_problems(
            found.problems,
            total=found.rows,
            max_bad_fraction=params.boxes.max_bad_fraction,
            folder=folder,
            unit="rows",
        )
    counts = found.summary["all_files"]
    formats = ", ".join(f"{each['file']} as {each['format']}" for each in found.summary["files"])
    dropped = ", ".join(
        f"{counts[fate]} {name}"
        for fate, name in (
            ("bad", "bad"),
            ("unknown_video", "of unknown videos"),
            ("below_min_score", f"below {params.boxes.min_score:g}"),
            ("same_box_again", "repeated"),
            ("same_box_in_another_file", "in two files"),
        )
    )
    print(f"read {formats}")
    print(f"{out}: {found.boxes.num_rows} boxes of {counts['rows']} rows; left out: {dropped}")


if __name__ == "__main__":
    run(app)
