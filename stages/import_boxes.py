"""Read a data set's person boxes into one table.

    python -m stages.import_boxes

Reads every box file of the folder `boxes.source` (`dataset.proposals`, or with `boxes.detector` what detect_boxes
wrote), in any of the formats of docs/data-layout.md, says which it found, and takes the videos and their times from the
out of import_annotations. Writes `data/<name>/boxes`: `boxes.parquet` with every box of score `boxes.min_score` or more
(and ids over time, with `boxes.tracks`), `summary.json` with what became of the rows of each file, and `problems.json`.
Each consumer applies its own threshold, so that changing one re-runs nothing here.
"""

from pathlib import Path

from pipeline.base.command import new_app, run
from pipeline.base.files import replace_folder
from pipeline.base.runs import recorded_run
from pipeline.boxes.importing import import_boxes as read_boxes
from pipeline.boxes.recall import recall_lines
from pipeline.boxes.write_boxes import FILES, describe_rows, split_lines, write_boxes
from pipeline.params import load_params
from pipeline.tables.schemas import ANNOTATIONS, KEYFRAMES, TIMELINES, read_table

app = new_app()


@app.command()
def import_boxes() -> None:
    """Turn person boxes of any format into one table; a bad row is reported and left out."""
    params = load_params()
    boxes, data = params.boxes, Path("data", params.dataset.name)
    out, annotations = data / "boxes", data / "annotations"
    keyframes = read_table(annotations / "keyframes.parquet", KEYFRAMES)
    with recorded_run("import_boxes", "", dataset=params.dataset.name), replace_folder(out, FILES) as folder:
        found = read_boxes(
            Path(boxes.source),
            read_table(annotations / "timelines.parquet", TIMELINES),
            min_score=boxes.min_score,
            keyframes=keyframes,
            detector="" if boxes.detector == "none" else boxes.detector,
            tracks=boxes.tracks == "iou",
            person_class=boxes.person_class,
            # No dependency: what import_annotations made of these files is one.
            annotations=Path(params.dataset.annotations),
        )
        write_boxes(folder, found, boxes)
    print("\n".join(split_lines(found.summary)))
    # No dependency: the boxes are the same whatever their labels, and only these lines are not.
    if (labels := annotations / "annotations.parquet").exists():
        for line in recall_lines(read_table(labels, ANNOTATIONS), keyframes, found.boxes):
            print(line)
    print(f"{out}: {describe_rows(found, boxes.min_score)}")


if __name__ == "__main__":
    run(app)
