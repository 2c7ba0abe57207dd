"""Write the out of import_annotations: the tables of a data set's annotations, and print a summary."""

import sys
from pathlib import Path

from pipeline.annotations.assemble import AvaImport
from pipeline.annotations.time_split import more_of
from pipeline.base.errors import InputError
from pipeline.base.files import write_json
from pipeline.base.problems import print_first, report_problems
from pipeline.tables.label_map import write_labels
from pipeline.tables.schemas import ANNOTATIONS, KEYFRAMES, TIMELINES, write_table

FILES = (
    "annotations.parquet", "keyframes.parquet", "timelines.parquet", "labels.json", "summary.json", "problems.json"
)  # fmt: skip
DOCS = "docs/datasets.md#splits"


def write_tables(folder: Path, found: AvaImport, *, source: str, max_bad_fraction: float) -> str:
    """Write FILES; print how the source was read, and the first problems.

    Args:
        folder: an empty folder to write to.
        found: the annotations.
        source: the folder that it was read from, for messages.
        max_bad_fraction: largest accepted share of bad rows (dataset.max_bad_fraction).

    Returns:
        a line that says how much was read.

    Raises:
        InputError: too many rows are bad, or there is no keyframe of val.
    """
    print("\n".join(found.told))
    print_first(found.problems)
    if "train" not in found.summary["splits"]:  # no error: an existing model may be scored on val alone
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
        max_bad_fraction=max_bad_fraction,
        key="dataset.max_bad_fraction",
        folder=folder,
        unit="rows",
        missing=found.missing,
    )
    _check_val(source, found)
    splits = ", ".join(f"{split} {each['videos']}" for split, each in found.summary["splits"].items())
    return (
        f"{found.annotations.num_rows} labels in {found.keyframes.num_rows} keyframes of "
        f"{found.timelines.num_rows} videos ({splits}); {len(found.problems)} of {found.rows} rows are bad"
    )


def _check_val(source: str, found: AvaImport) -> None:
    """Check that val has keyframes, before hours of training: without them no bank of val can be made.

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
