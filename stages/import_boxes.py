"""Read a data set's boxes of persons and objects into one table.

    python -m stages.import_boxes

Reads every box file of the folder `boxes.source` (`dataset.proposals`, or with `boxes.detector` the out of
detect_boxes), and of `dataset.objects` or the detector's objects, in any of the formats of docs/data-layout.md, and
prints which format it found. The videos and their times come from the out of import_annotations. Writes
`data/<name>/boxes`: `boxes.parquet` with every box of score `boxes.min_score` or more (with `boxes.tracks` also with
ids over time), `summary.json` with the counts of used and unused rows of each file, and `problems.json`. Each consumer
applies its own threshold, so a change of one does not re-run this stage.
"""

from pathlib import Path

from pipeline.base.command import new_app, run
from pipeline.base.files import replace_folder

app = new_app()


@app.command()
def import_boxes() -> None:
    """Turn boxes of any format into one table; a bad row is reported and left out."""
    from pipeline.base.runs import recorded_run
    from pipeline.boxes.folders import folder_of_objects
    from pipeline.boxes.importing import import_boxes as read_boxes
    from pipeline.boxes.recall import recall_lines
    from pipeline.boxes.write_boxes import FILES, describe_rows, split_lines, write_boxes
    from pipeline.params import load_params
    from pipeline.tables.schemas import ANNOTATIONS, KEYFRAMES, TIMELINES, read_table

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
            person_class=boxes.person_class,
            # Not a dependency in dvc.yaml: the out of import_annotations, which is one, is made from these files.
            annotations=Path(params.dataset.annotations),
            objects=folder_of_objects(params.dataset.objects, Path(boxes.source)),
        )
        write_boxes(folder, found, boxes)
    print("\n".join(split_lines(found.summary)))
    # Not a dependency in dvc.yaml: labels change only the lines printed here, never the boxes.
    if (labels := annotations / "annotations.parquet").exists():
        for line in recall_lines(read_table(labels, ANNOTATIONS), keyframes, found.boxes):
            print(line)
    print(f"{out}: {describe_rows(found, boxes.min_score)}")


if __name__ == "__main__":
    run(app)
