"""A bank goes to a remote, and a colleague trains a head with it: no videos, no frames, no weights."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.bank.reader import open_bank
from tests.end_to_end.harness import REPOSITORY, Project, new_project
from tests.pages import blocks, commands, differences, is_typed
from tests.s3 import CREDENTIALS, s3_service

ADDRESS = "https://git.example.org/films.git"
BANK = "data/playground_mini/bank"
NEEDED = [f"{BANK}/{split}.zarr" for split in ("train", "val")]
NEEDED += ["data/playground_mini/annotations", "models/baseline.json", ".code"]


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[str]:
    """An S3 endpoint on loopback, with a bucket."""
    with s3_service(tmp_path) as endpoint:
        yield endpoint


def share_through(project: Project, place: str, endpoint: str | None = None) -> None:
    """Make `place` the default remote."""
    project.dvc("remote", "add", "-d", "shared", place)
    if endpoint is not None:
        project.dvc("remote", "modify", "shared", "endpointurl", endpoint)


def from_the_page(what: str) -> str:
    """A block of docs/sharing.md, by the comment above it."""
    page = (REPOSITORY / "docs/sharing.md").read_text()
    (block,) = re.findall(rf"<!-- {re.escape(what)} -->\n```\w+\n(.*?)```\n", page, re.DOTALL)
    return str(block)


def follow(project: Project, what: str, repository: Path, environment: dict[str, str]) -> str:
    """Run the commands of a block of the page, compare what they print with what it shows, and return it."""
    page = (REPOSITORY / "docs/sharing.md").read_text()
    shown = {
        each.command: each for block in blocks(page) if is_typed(block) for each in commands(block) if each.is_shown
    }
    printed = ""
    for line in from_the_page(what).splitlines():
        if line.startswith("git push"):
            continue
        words = shlex.split(line.replace(ADDRESS, str(repository)))
        printed += (output := project.run(*words, environment=environment))
        if line in shown:
            found = differences([(shown[line], output.replace(str(repository), ADDRESS))])
            assert not found, found[0]
    return printed


@pytest.mark.slow
def test_a_second_repository_trains_on_imported_banks_as_the_page_says(
    project: Project, tmp_path: Path, s3: str
) -> None:
    share_through(project, "s3://banks/films", s3)
    follow(project, "run: publish", project.folder, CREDENTIALS)
    shutil.rmtree(project.folder / ".dvc/cache")  # what is imported comes out of the bucket
    second = new_project(tmp_path / "heads")
    checked = follow(second, "run: import", project.folder, CREDENTIALS)
    assert checked.count(" rows: whole\n") == 2
    producer = open_bank(project.folder / BANK / "train.zarr").provenance["checkpoint_sha256"]
    assert f"    checkpoint_sha256: {producer}\n" in checked
    experiment = re.sub(r"(?<=producer: )\S+", producer, from_the_page("file: conf/experiment/shared.yaml"))
    (second.folder / "conf/experiment/shared.yaml").write_text(experiment)
    output = follow(second, "run: train", project.folder, CREDENTIALS)
    stages = re.findall("Running stage '(.*)'", output)
    assert stages == ["code", "import_annotations", "train_head", "evaluate", "train_head", "evaluate"]
    assert second.metrics()["head"] == "linear"
    sidecar = json.loads((second.folder / "models/head.json").read_text())
    assert (sidecar["producer"], sidecar["baseline"]) == (producer, producer)
    assert sidecar["banks"] == {
        split: open_bank(project.folder / BANK / f"{split}.zarr").digest for split in ("train", "val")
    }
    data = second.folder / "data/playground_mini"
    assert [path.name for path in data.iterdir() if path.name != ".gitignore"] == ["annotations"]
    assert not list((second.folder / "models").glob("baseline*"))
    info = follow(second, "run: info", project.folder, CREDENTIALS)
    assert info.startswith(f"{project.folder} at banks-1: {BANK}/val.zarr: feature bank of split val, format version")


def train_from_the_remote(project: Project, folder: Path, environment: dict[str, str] | None = None) -> None:
    """Push everything, clone, pull only the bank and the annotations, and train another head."""
    project.commit("a remote")
    project.run("dvc", "push", environment=environment)
    colleague = project.clone(folder)
    pull, with_bank, with_frames = (shlex.split(line) for line in from_the_page("run: clone").splitlines())
    assert pull == ["dvc", "pull", *NEEDED]
    colleague.run(*pull, environment=environment)
    assert not (colleague.folder / "data/playground_mini/frames").exists()
    assert not (colleague.folder / "data/playground_mini/source/videos").exists()
    verified = colleague.run("actionbank", "bank", "verify", "data/playground_mini/bank/train.zarr")
    assert verified.endswith(" rows: whole\n")
    output = colleague.run(*with_bank, environment=environment)
    assert "Running stage 'train_head'" in output
    assert "Running stage 'extract_frames'" not in output
    assert colleague.metrics()["head"] == "lfb_nl"
    assert not (colleague.folder / "models/baseline.safetensors").exists()
    without = [word for word in with_frames if word != "--pull"]
    refused = colleague.run(*without, fails=True, environment=environment)
    assert re.search(r"\[Errno 2\] No such file or directory: '.*/data/playground_mini/frames'", refused)
    output = colleague.run(*with_frames, environment=environment)
    assert re.findall("Running stage '(.*)'", output) == ["train_head", "evaluate"]
    assert colleague.metrics()["head"] == "linear"
    assert (colleague.folder / "data/playground_mini/frames").exists()


@pytest.mark.slow
def test_a_colleague_trains_as_the_readme_says(finished: Project, tmp_path: Path) -> None:
    """On the mini data set, with folders for the addresses; the environment is there already."""
    subprocess.run(["git", "clone", "-q", "--bare", finished.folder, tmp_path / "films.git"], check=True)
    mine = Project(tmp_path / "mine")
    subprocess.run(["git", "clone", "-q", tmp_path / "films.git", mine.folder], check=True)
    subprocess.run(["cp", "-a", finished.folder / ".dvc/cache", mine.folder / ".dvc/cache"], check=True)
    readme = (REPOSITORY / "README.md").read_text()
    (block,) = re.findall(r"## Share a bank\n\n```sh\n(.*?)```\n", readme, re.DOTALL)
    for old, new in (
        ("/mnt/shared/films", str(tmp_path / "remote")),
        ("https://git.example.org/films.git", str(tmp_path / "films.git")),
        ("./run setup && export PATH=$PWD/.venv/bin:$PATH\n", ""),
        ("playground", "playground_mini"),
    ):
        assert old in block
        block = block.replace(old, new)
    publish, colleague = block.split("# a colleague: ")
    mine.run("bash", "-ec", publish)
    (tmp_path / "there").mkdir()
    output = Project(tmp_path / "there").run("bash", "-ec", f"# {colleague}")
    assert "data/playground_mini/bank/train.zarr: 3 videos in 3 parts, 449 rows: whole\n" in output
    assert re.findall("Running stage '(.*)'", output) == ["train_head", "evaluate"]
    theirs = Project(tmp_path / "there/films")
    assert theirs.metrics()["head"] == "lfb_nl"
    assert not (theirs.folder / "data/playground_mini/frames").exists()
    assert not (theirs.folder / "models/baseline.safetensors").exists()


@pytest.mark.slow
def test_a_clone_trains_on_a_bank_out_of_s3(project: Project, tmp_path: Path, s3: str) -> None:
    share_through(project, "s3://banks/project", s3)
    train_from_the_remote(project, tmp_path / "colleague", CREDENTIALS)


@pytest.mark.slow
def test_a_second_repository_refuses_banks_of_another_checkpoint(project: Project, tmp_path: Path) -> None:
    share_through(project, str(tmp_path / "remote"))
    follow(project, "run: publish", project.folder, {})
    second = new_project(tmp_path / "heads")
    follow(second, "run: import", project.folder, {})
    expected = "0" * 64
    experiment = re.sub(r"(?<=producer: )\S+", f'"{expected}"', from_the_page("file: conf/experiment/shared.yaml"))
    (second.folder / "conf/experiment/shared.yaml").write_text(experiment)
    second.run("actionbank", "compose", "+experiment=shared")
    output = second.run("dvc", "repro", "evaluate", fails=True)
    producer = open_bank(project.folder / BANK / "train.zarr").provenance["checkpoint_sha256"]
    assert (
        f"error: shared/train.zarr: was made by checkpoint {producer}, expected {expected}; if it is the bank you "
        f"want, bank.producer={producer} takes it, and bank.allow_mixed=true takes any\n"
    ) in output


def test_a_bank_says_where_it_comes_from(finished: Project) -> None:
    info = json.loads(finished.run("actionbank", "bank", "info", "data/playground_mini/bank/val.zarr", "--json"))
    sidecar = json.loads((finished.folder / "models/baseline.json").read_text())
    assert sidecar["sha256"] in json.dumps(info)
