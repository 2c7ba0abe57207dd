"""Read a data set's annotations into tables.

    python -m stages.import_annotations

Reads the folder `dataset.annotations`, in any of the formats of docs/datasets.md, and prints which format it found.
Writes `data/<name>/annotations`: `annotations.parquet`, `keyframes.parquet`, `timelines.parquet`, `labels.json`,
`summary.json` with counts per split and class, and `problems.json` with every row that was left out. All of AVA takes
seconds.
"""

from pathlib import Path

from pipeline.base.command import new_app, run
from pipeline.base.files import replace_folder

app = new_app()


@app.command()
def import_annotations() -> None:
    """Turn annotations of any format, label map and video list into tables; a bad row is reported and left out."""
    from pipeline.annotations.sources import import_source
    from pipeline.annotations.write_tables import FILES, write_tables
    from pipeline.base.runs import recorded_run
    from pipeline.params import load_params
    from pipeline.params.source_options import source_options

    params = load_params()
    dataset = params.dataset
    out = Path("data", dataset.name, "annotations")
    with recorded_run("import_annotations", "", dataset=dataset.name), replace_folder(out, FILES) as folder:
        found = import_source(Path(dataset.annotations), source_options(dataset))
        told = write_tables(folder, found, source=dataset.annotations, max_bad_fraction=dataset.max_bad_fraction)
    print(f"{out}: {told}")


if __name__ == "__main__":
    run(app)
