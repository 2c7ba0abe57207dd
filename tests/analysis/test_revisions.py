"""Results from folders, from the work tree and from DVC's cache."""

import subprocess
from pathlib import Path

import pyarrow as pa
import pytest
from dvc.repo import Repo

from pipeline.analysis.revisions import read_experiment
from pipeline.base.errors import InputError
from pipeline.tables.label_map import Label, write_labels
from pipeline.tables.schemas import ANNOTATIONS, DETECTIONS, KEYFRAMES, write_table

BOX = (0.1, 0.1, 0.5, 0.5)


def table(schema: pa.Schema, rows: list[tuple]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)


def write_project(root: Path, score: float) -> None:
    """Two val videos and one of train, each with one box; every box is found with this score."""
    frames = [("a", 902.0, 2.0), ("b", 902.0, 2.0), ("t", 902.0, 2.0)]
    splits = {"a": "val", "b": "val", "t": "train"}
    folder = root / "data" / "tiny" / "annotations"
    write_table(
        table(ANNOTATIONS, [(*frame, *BOX, 1, 0) for frame in frames]), folder / "annotations.parquet", ANNOTATIONS
    )
    listed = table(KEYFRAMES, [(*frame, splits[frame[0]], "annotated") for frame in frames])
    write_table(listed, folder / "keyframes.parquet", KEYFRAMES)
    write_labels(folder / "labels.json", [Label(1, "sit", "posture"), Label(2, "stand", "posture")])
    results = root / "results" / "detections"
    for kind, found in ("detected", frames[:1]), ("ground_truth", frames[:2]):
        rows = [(*frame, *BOX, 1, score) for frame in found]
        write_table(table(DETECTIONS, rows), results / f"{kind}.parquet", DETECTIONS)
    (root / "params.yaml").write_text("dataset: {name: tiny}\n")


def command(root: Path, *words: str) -> str:
    return subprocess.run(words, cwd=root, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A DVC repository: revision `first` has score 0.25, the work tree and the experiment `better` have 0.5."""
    root = tmp_path_factory.mktemp("repository")
    command(root, "git", "init", "-q")
    Repo.init(str(root)).close()
    for score, name in (0.25, "first"), (0.5, "second"):
        write_project(root, score)
        with Repo(str(root)) as repo:
            repo.add([str(root / "results/detections"), str(root / "data/tiny/annotations")])
        command(root, "git", "add", "-A")
        command(root, "git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", name)
        command(root, "git", "tag", name)
    first = command(root, "git", "rev-parse", "first")
    command(root, "git", "update-ref", f"refs/exps/{first[:2]}/{first[2:]}/better", "second")
    return root


def scores(experiment):
    return experiment.detections["score"].to_pylist()


def test_a_folder(tmp_path):
    write_project(tmp_path, 0.5)
    found = read_experiment(str(tmp_path), boxes="ground_truth", split="val")
    assert found.annotations["video_id"].to_pylist() == ["a", "b"]
    assert found.keyframes["video_id"].to_pylist() == ["a", "b"]
    assert [label.name for label in found.labels] == ["sit", "stand"]
    assert scores(found) == [0.5, 0.5]
    assert scores(read_experiment(str(tmp_path), boxes="detected", split="val")) == [0.5]


def test_revisions_and_the_work_tree(repository, monkeypatch):
    monkeypatch.chdir(repository)
    assert scores(read_experiment("first", boxes="detected", split="val")) == [0.25]
    assert scores(read_experiment("better", boxes="detected", split="val")) == [0.5]
    assert scores(read_experiment("HEAD", boxes="detected", split="val")) == [0.5]
    assert scores(read_experiment("workspace", boxes="detected", split="val")) == [0.5]
    first = read_experiment("first", boxes="detected", split="val")
    assert first.annotations == read_experiment("workspace", boxes="detected", split="val").annotations


def test_what_is_not_there(repository, monkeypatch, tmp_path):
    monkeypatch.chdir(repository)
    with pytest.raises(InputError, match=r"^nope: neither a folder nor a revision: unknown Git revision 'nope'$"):
        read_experiment("nope", boxes="detected", split="val")
    with pytest.raises(
        InputError, match=r"^first: results/detections/x\.parquet: not in that revision; a result is part of one when"
    ):
        read_experiment("first", boxes="x", split="val")
    message = r"^workspace: results/detections/x\.parquet: no such file; run `dvc repro` or `dvc checkout` there$"
    with pytest.raises(InputError, match=message):
        read_experiment("workspace", boxes="x", split="val")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^first: neither a folder nor a revision: .* is not a git repository$"):
        read_experiment("first", boxes="detected", split="val")


def test_outs_that_are_in_no_cache(repository, monkeypatch, tmp_path):
    command(tmp_path, "git", "clone", "-q", str(repository), "clone")
    monkeypatch.chdir(tmp_path / "clone")
    with pytest.raises(InputError) as caught:
        read_experiment("first", boxes="detected", split="val")
    assert str(caught.value).startswith("first: data/tiny/annotations/annotations.parquet: DVC cannot read it: ")
    assert "\n" not in str(caught.value)
    for listing in repository.glob(".dvc/cache/files/md5/*/*.dir"):  # the lists of files, without the files
        copied = tmp_path / "clone" / listing.relative_to(repository)
        copied.parent.mkdir(parents=True)
        copied.write_bytes(listing.read_bytes())
    with pytest.raises(InputError) as caught:
        read_experiment("first", boxes="detected", split="val")
    path = "data/tiny/annotations/annotations.parquet"
    assert str(caught.value) == f"first: {path}: not in DVC's cache or remote; run `dvc fetch`"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("dataset: 3", "dataset.name is None, expected a composed params.yaml"),
        ("dataset: {name: ../x}", "dataset.name is '../x', expected a composed params.yaml"),
        ("", "found nothing, expected a mapping (`key: value` lines)"),
        ("{", "not YAML: "),
    ],
)
def test_bad_params(tmp_path, params, message):
    (tmp_path / "params.yaml").write_text(params)
    with pytest.raises(InputError) as caught:
        read_experiment(str(tmp_path), boxes="detected", split="val")
    assert str(caught.value).startswith(f"{tmp_path}: params.yaml: {message}")
