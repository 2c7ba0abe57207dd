"""`actionbank correct`, and the loop: predict, correct, a new data set."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.command import new_app
from pipeline.commands.correct import correct
from pipeline.commands.new_dataset import new_dataset
from pipeline.project.compose import compose_params
from pipeline.tables.label_map import read_label_map
from tests.predict.made import Person, of_playground, predicted

REPOSITORY = Path(__file__).resolve().parent.parent.parent
APP = new_app("Commands.")
APP.command()(correct)
APP.command()(new_dataset)
Rows = set[tuple[object, ...]]


def run(*words: str) -> str:
    done = CliRunner().invoke(APP, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return str(done.output)


@pytest.fixture(scope="module")
def playground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a prediction, and the films below it."""
    folder = tmp_path_factory.mktemp("playground")
    found = of_playground(folder / "films")
    (folder / "out").mkdir()
    found.write(folder / "out")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(REPOSITORY / "conf", folder / "conf")
    monkeypatch.chdir(folder)
    return folder


def dataset(name: str, videos: Path, annotations: Path) -> Rows:
    """Make a data set as a user does; returns its labels as the stage imports them."""
    run("new-dataset", name, "--videos", str(videos), "--annotations", str(annotations), "--workers", "1")
    values = compose_params([f"dataset={name}"], Path("conf"))["dataset"]
    found = import_source(annotations, SourceOptions(classes=values["classes"]))
    assert found.problems == []
    return {tuple(row.values()) for row in found.annotations.to_pylist()}


def untick(path: Path) -> str:
    """Take away one action of one person who is seen, of a film in CVAT; returns its name."""
    lines = path.read_text().splitlines(keepends=True)
    seen, ticked = False, []
    for number, line in enumerate(lines):
        seen = 'outside="0"' in line if "<box" in line else seen
        ticked += [number] if seen and ">true<" in line else []
    at = ticked[len(ticked) // 2]
    lines[at] = lines[at].replace(">true<", ">false<")
    path.write_text("".join(lines))
    return lines[at].split('"')[1]


def reword(path: Path) -> str:
    """Change the second row of VIA's CSV: the person does nothing that was found."""
    lines = path.read_text().splitlines(keepends=True)
    (options,) = re.findall(r'"options":({"0".*?})', lines[2])
    at = next(n for n, line in enumerate(lines) if n > 5 and re.search(r'""1"":""\d+""', line))
    (number,) = re.findall(r'""1"":""(\d+)""', lines[at])
    lines[at] = lines[at].replace(f'""1"":""{number}""', '""1"":""""')
    path.write_text("".join(lines))
    return str(json.loads(options)[number])


def drop(path: Path) -> str:
    """Take away a row of AVA's CSV; returns its action id."""
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join(rows[:3] + rows[4:]))
    return rows[3].split(",")[6]


@pytest.mark.parametrize(
    ("tool", "change", "file"),
    [("cvat", untick, "val_000.xml"), ("via", reword, "predicted.csv"), ("ava", drop, "predicted.csv")],
)
def test_the_loop_closes(
    playground: Path, project: Path, tmp_path: Path, tool: str, change: Callable[[Path], str], file: str
) -> None:
    """A data set of what was predicted, and one after a person changed one action, differ in this action alone."""
    out = tmp_path / "mine"
    said = run("correct", str(playground / "out"), "--format", tool, "--out", str(out))
    assert f"{out}: written: " in said
    before = dataset("before", playground / "films/videos", out / "annotations")
    name = change(out / "annotations" / file)
    after = dataset("after", playground / "films/videos", out / "annotations")
    assert after < before
    (gone,) = before - after
    labels = read_label_map(out / "annotations/labelmap.pbtxt")
    assert name in (str(gone[7]), next(label.name for label in labels if label.id == gone[7]))


def test_options(tmp_path: Path) -> None:
    predicted(*(Person(n + 0.5, 3, {2: 0.26, 4: 0.9}) for n in range(10))).write(tmp_path)
    said = run("correct", str(tmp_path), "--format", "cvat", "--uncertain", "3", "--exclusive", "hands")
    assert f"{tmp_path}/correct-cvat: written: 3 boxes at 3 seconds of 1 film, for cvat" in said
    text = (tmp_path / "correct-cvat/annotations/a.xml").read_text()
    assert text.count('outside="0"') == 3
    assert "<input_type>select</input_type>" in text
    run("correct", str(tmp_path), "--format", "cvat", "--force")
    assert (tmp_path / "correct-cvat/annotations/a.xml").read_text().count('outside="0"') == 10
