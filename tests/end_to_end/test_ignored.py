"""What stages write never gets into git by `git add -A`; what belongs there is not kept out."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.base.files import write_bytes
from tests.end_to_end.harness import REPOSITORY, Project, new_project

PIPELINE: dict[str, Any] = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())
DATASETS = ("playground", "playground_mini", "mine", "ava22")
TRACKED = (
    "dvc.lock", "params.yaml", "conf/dataset/mine.yaml", "conf/none/boxes/README", ".dvc/config",
    "data/mine/source/annotations/train.csv", "data/mine/source/annotations/videos.csv",
    "data/mine/source/videos.dvc", "data/mine/source/annotations.dvc", "data/mine/frames.dvc", "data/mine/boxes.dvc",
    "data/mine/annotations.dvc", "data/playground/source/videos.dvc", "data/mine/bank/train.zarr.dvc",
    "data/mine/.gitignore", "data/.gitignore", "models/.gitignore", "models/kinetics.dvc",
    "models/kinetics/slowfast.safetensors.dvc", "models/kinetics/slowfast.json.dvc", "shared/train.zarr.dvc",
    "results/evaluate/metrics.json", "results/baseline/validation.tsv", "results/evaluate/per_class.csv",
)  # fmt: skip
IGNORED = (
    "data/mine/source/videos/a.mp4",
    "models/kinetics/slowfast.safetensors", "models/kinetics/slowfast.json", "models/other.pth",
    "results/errors/index.html", ".work/runs/evaluate/x.json",
)  # fmt: skip


def outs(*, cached: bool) -> list[str]:
    """Outs of every stage, for some data sets; the generated sources only of those that are generated."""
    found = []
    for stage in PIPELINE["stages"].values():
        stage = stage.get("do", stage)
        for kind in ("outs", "metrics", "plots"):
            for out in stage.get(kind, []):
                name, more = next(iter(out.items())) if isinstance(out, dict) else (out, {})
                if more.get("cache", True) == cached:
                    found += _named(name)
    return found


def _named(name: str) -> list[str]:
    if name.startswith("data/${item}/"):
        return [name.replace("${item}", dataset) for dataset in DATASETS[:2]]
    split = name.replace("${item}", "train")
    return sorted({split.replace("${dataset.name}", dataset) for dataset in DATASETS})


def ignored(folder: Path, names: Sequence[str]) -> set[str]:
    """Those of the names that git leaves out by the committed lines."""
    shutil.copy(REPOSITORY / ".gitignore", folder / ".gitignore")
    subprocess.run(["git", "init", "-q", folder], check=True)
    text = "\n".join(names)
    done = subprocess.run(
        ["git", "check-ignore", "--stdin"], cwd=folder, input=text, capture_output=True, text=True, check=False
    )
    return set(done.stdout.splitlines())


def test_every_out_that_dvc_keeps_is_ignored_from_the_start(tmp_path: Path) -> None:
    names = outs(cached=True)
    assert {"models/head.json", "results/detections", "data/mine/frames", "data/mine/bank/train.zarr"} <= set(names)
    below = [f"{name}/x" for name in names if "." not in Path(name).name]
    assert ignored(tmp_path, [*names, *below, *IGNORED]) == {*names, *below, *IGNORED}


def test_what_belongs_in_git_is_not_ignored(tmp_path: Path) -> None:
    names = [*outs(cached=False), *TRACKED]
    assert "results/head/metrics.json" in names
    assert ignored(tmp_path, names) == set()


def test_dvc_takes_data_below_the_ignored_places(tmp_path: Path) -> None:
    """`dvc add` refuses a file whose .dvc file git ignores."""
    project = Project(tmp_path / "project")
    project.folder.mkdir()
    shutil.copy(REPOSITORY / ".gitignore", project.folder / ".gitignore")
    project.git("init", "-q")
    project.dvc("init", "-q")
    added = ("data/mine/source/videos", "data/mine/frames", "models/kinetics/x.safetensors")
    for name in added:
        path = project.folder / name
        write_bytes(path if path.suffix else path / "a.bin", name.encode())
    project.dvc("add", "-q", *added)
    project.git("add", "-A")
    listed = project.git("ls-files").splitlines()
    assert {f"{name}.dvc" for name in added} <= set(listed)
    assert not [name for name in listed if name.endswith((".bin", ".safetensors"))]


def test_a_finished_run_adds_no_lines(finished: Project) -> None:
    """What DVC finds ignored it does not add to a .gitignore, so that the tree has nothing but results to commit."""
    listed = finished.git("show", "--stat=200", "--name-only", "--format=").split()
    assert [name for name in listed if not re.match(r"results/(\w+/)?[\w.]+$", name)] == ["dvc.lock"]
    assert finished.git("status", "--porcelain") == ""


@pytest.mark.slow
def test_a_failed_first_run_leaves_nothing_large_to_git(tmp_path: Path) -> None:
    project = new_project(tmp_path / "project")
    weights = project.folder / "models/kinetics/x.safetensors"
    write_bytes(weights, b"no weights")
    failed = project.dvc("exp", "run", "-S", "baseline.init=models/kinetics/x.safetensors", fails=True)
    assert "failed to reproduce 'train_baseline@baseline'" in failed
    assert list(project.folder.glob("data/playground_mini/frames/*.arrow"))
    project.git("add", "-A")
    added = project.git("diff", "--cached", "--name-only").split()
    assert [name for name in added if name.startswith(("data/", "models/"))] == []


@pytest.mark.slow
def test_a_bank_is_imported_below_data(project: Project, tmp_path: Path) -> None:
    second = new_project(tmp_path / "second")
    bank = "data/playground_mini/bank/train.zarr"
    (second.folder / "data/mine/bank").mkdir(parents=True)
    second.dvc("import", "-o", "data/mine/bank/train.zarr", str(project.folder), bank)
    second.git("add", "-A")
    assert "data/mine/bank/train.zarr.dvc" in second.git("diff", "--cached", "--name-only")
    assert "train.zarr/" not in second.git("diff", "--cached", "--name-only")
