"""Read the results of an experiment from a folder, or from a git revision whose outs DVC keeps in its cache."""

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.analysis.compare_results import Experiment
from pipeline.base.errors import InputError
from pipeline.base.plain_yaml import parse_yaml
from pipeline.evaluation.validate import of_split
from pipeline.tables.label_map import read_labels
from pipeline.tables.schemas import ANNOTATIONS, DETECTIONS, KEYFRAMES, read_table

WORKSPACE = "workspace"
Locate = Callable[[str], Path]  # a project's file -> the path to read it from


def read_experiment(source: str, *, boxes: str, split: str) -> Experiment:
    """Read the detections of one experiment, and the ground truth that it was scored on.

    Args:
        source: `workspace`, the project in the current folder; another folder that holds a project; or a git
            revision or experiment name, whose outs are taken from DVC's cache or its remote.
        boxes: "detected" or "ground_truth".
        split: the split that was evaluated.

    Raises:
        InputError: the folder, revision or file does not exist, or a file is bad.
    """
    with located(source) as locate:
        annotations = f"data/{_dataset(source, locate('params.yaml'))}/annotations"
        truth, keyframes = of_split(
            read_table(locate(f"{annotations}/annotations.parquet"), ANNOTATIONS),
            read_table(locate(f"{annotations}/keyframes.parquet"), KEYFRAMES),
            split,
        )
        return Experiment(
            name=source,
            annotations=truth,
            keyframes=keyframes,
            labels=read_labels(locate(f"{annotations}/labels.json")),
            detections=read_table(locate(f"results/detections/{boxes}.parquet"), DETECTIONS),
        )


def _dataset(source: str, params: Path) -> str:
    """Return the name of the data set, which is part of paths."""
    dataset = parse_yaml(params.read_bytes(), f"{source}: params.yaml").get("dataset")
    name = dataset.get("name") if isinstance(dataset, dict) else None
    if not isinstance(name, str) or not re.fullmatch("[a-z0-9_]+", name):
        raise InputError(f"{source}: params.yaml: dataset.name is {name!r}, expected a composed params.yaml")
    return name


@contextlib.contextmanager
def located(source: str) -> Iterator[Locate]:
    """Yield a function that returns the path of a project's file; files of a revision are copied while it is open.

    Raises:
        InputError: there is no such revision; the function raises it for a file that is not there.
    """
    if source == WORKSPACE or Path(source).is_dir():
        root = Path() if source == WORKSPACE else Path(source)

        def in_folder(path: str) -> Path:
            if not (root / path).is_file():
                raise InputError(f"{source}: {path}: no such file; run `dvc repro` or `dvc checkout` there")
            return root / path

        yield in_folder
        return
    # Imported here: DVC takes a second to import, and only revisions need it.
    from dvc.api import DVCFileSystem
    from dvc.scm import SCMError

    files = DVCFileSystem(rev=source)
    with tempfile.TemporaryDirectory() as temporary:

        def in_revision(path: str) -> Path:
            target = Path(temporary) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                files.get_file(path, str(target))
            except FileNotFoundError as error:
                if "storage" in str(error):
                    raise InputError(f"{source}: {path}: not in DVC's cache or remote; run `dvc fetch`") from None
                raise InputError(
                    f"{source}: {path}: not in that revision; a result is part of one when it is committed after "
                    "`dvc repro` (`git add -A && git commit`), or is an experiment (`dvc exp run`)"
                ) from None
            except SCMError as error:
                raise InputError(f"{source}: neither a folder nor a revision: {_one_line(error)}") from None
            except Exception as error:  # DVC passes on whatever a remote raises, of any type
                raise InputError(f"{source}: {path}: DVC cannot read it: {_one_line(error)}") from None
            return target

        yield in_revision


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
