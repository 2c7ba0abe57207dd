"""Read a data set's annotations into tables.

    python -m stages.import_annotations

Reads the folder `dataset.annotations`, in any of the formats of docs/datasets.md, and says which it found. Writes
`data/<name>/annotations`: `annotations.parquet`, `keyframes.parquet`, `timelines.parquet`, `labels.json`,
`summary.json` with counts per split and class, and `problems.json` with every row that was left out. Seconds for all
of AVA.
"""

import sys
from pathlib import Path

from pipeline.annotations.assemble import AvaImport
from pipeline.annotations.source_options import source_options
from pipeline.annotations.sources import import_source
from pipeline.annotations.time_split import more_of
from pipeline.base.command import new_app, run
from pipeline.base.errors import InputError
from pipeline.base.files import replace_folder, write_json
from pipeline.base.problems import report_problems
from pipeline.base.runs import recorded_run
from pipeline.params import load_params
from pipeline.tables.label_map import write_labels
from pipeline.tables.schemas import ANNOTATIONS, KEYFRAMES, TIMELINES, write_table

app = new_app()
OUT = (
    "annotations.parquet", "keyframes.parquet", "timelines.parquet", "labels.json", "summary.json", "problems.json"
)  # fmt: skip

DOCS = "docs/datasets.md#splits"


@app.command()
def import_annotations() -> None:
    """Turn annotations of any format, label map and video list into tables; a bad row is reported and left out."""
    params = load_params()
    dataset = params.dataset
    out = Path("data", dataset.name, "annotations")
    with recorded_run("import_annotations", "", dataset=dataset.name), replace_folder(out, OUT) as folder:
        found = import_source(Path(dataset.annotations), source_options(dataset))
        print("\n".join(found.told))
        for problem in found.problems[:10]:
            print(problem, file=sys.stderr)
        if "train" not in found.summary["splits"]:  # a model that is there may be scored
            then = "there is nothing to train, and train_baseline stops"
            print(f"no film is of train: {then}. {more_of('train', found)[0]} ({DOCS})", file=sys.stderr)
        write_table(found.annotations, folder / "annotations.parquet", ANNOTATIONS)
        write_table(found.keyframes, folder / "keyframes.parquet", KEYFRAMES)
        write_table(found.timelines, folder / "timelines.parquet", TIMELINES)
        write_labels(folder / "labels.json", found.labels)
        write_json(folder / "summary.json", found.summary)
        report_problems(
            found.problems,
            total=found.rows,
            max_bad_fraction=dataset.max_bad_fraction,
            key="dataset.max_bad_fraction",
            folder=folder,
            unit="rows",
            missing=found.missing,
        )
        _check_val(dataset.annotations, found)
    splits = ", ".join(f"{split} {each['videos']}" for split, each in found.summary["splits"].items())
    print(
        f"{out}: {found.annotations.num_rows} labels in {found.keyframes.num_rows} keyframes of "
        f"{found.timelines.num_rows} videos ({splits}); {len(found.problems)} of {found.rows} rows are bad"
    )


def _check_val(source: str, found: AvaImport) -> None:
    """Refuse what no bank of val can be made of, before the baseline is trained for hours.

    Raises:
        InputError: there is no keyframe of val.
    """
    of_val = found.summary["splits"].get("val")
    if of_val is None or not of_val["keyframes"]["annotated"] + of_val["keyframes"]["empty"]:
        what = "film is of val" if of_val is None else f"keyframe is of val, which has {of_val['videos']} films"
        raise InputError(
            f"{source}: no {what}: infer_bank and evaluate would stop after the training, since there is nothing to "
            f"score. {more_of('val', found)[0]} ({DOCS})"
        )


if __name__ == "__main__":
    run(app)
