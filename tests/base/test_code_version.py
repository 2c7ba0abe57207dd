"""Which code each stage runs, what an edit re-runs, and the parameters that dvc.yaml declares."""

import ast
import importlib.metadata
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.base import code_version as closure
from pipeline.base.code_version import (
    ABSENT,
    BROUGHT_ALONG,
    NO_BYTES,
    code_record,
    code_texts,
    code_version,
    import_closure,
    imported_modules,
    library_versions,
    stage_modules,
)

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PIPELINES = {
    file: yaml.safe_load((REPOSITORY / file).read_text())["stages"] for file in ("dvc.yaml", "recognition/dvc.yaml")
}
WATCHING = "training"
"The block that says how a training is watched: what it changes is in no out (docs/watching.md)."
STAGES = {(file, name): stage.get("do", stage) for file, stages in PIPELINES.items() for name, stage in stages.items()}
CODE = STAGES["dvc.yaml", "code"]
KEYED = sorted({name for _, name in STAGES if name != "code"})
PAGE = (REPOSITORY / "docs/caching.md").read_text()
EDITS = dict(re.findall(r"^\| `([\w/.]+\.py)` \| (.*) \|$", PAGE, re.MULTILINE))
"The rows of the page's table: an edited file, and the stages whose code it is."
UPDATES = dict(re.findall(r"^\| library `([\w-]+)` \| (.*) \|$", PAGE, re.MULTILINE))


def test_imports_inside_functions_count() -> None:
    source = "import a.b\ndef f():\n    from c import d\n"
    assert imported_modules(source) == {"a.b", "c", "c.d"}


def stages_of(cell: str) -> set[str]:
    """The stages that a cell of the table names."""
    word = cell.partition(":")[0]
    return {"all": {*KEYED}, "none": set[str]()}.get(word) or set(re.findall(r"`(\w+)`", word))


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return code_texts()


@pytest.fixture(scope="module")
def records() -> dict[str, dict[str, Any]]:
    return {name: code_record(f"stages.{name}") for name in KEYED}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source. A test leaves it as it was."""
    root = tmp_path_factory.mktemp("source")
    for package in closure.PACKAGES:
        shutil.copytree(REPOSITORY / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    assert before.keys() == after.keys()
    return {Path(name).stem for name in before if before[name] != after[name]}


def test_the_table_of_edits_is_read() -> None:
    assert len(EDITS) >= 15
    assert len(UPDATES) >= 6
    assert len(re.findall(r"^\| (?:library )?`.*\|$", PAGE, re.MULTILINE)) == len(EDITS) + len(UPDATES)


@pytest.mark.parametrize(("path", "cell"), EDITS.items(), ids=EDITS)
def test_an_edit_changes_the_files_of_the_stages_that_the_page_says(
    path: str, cell: str, copy: Path, texts: dict[str, str]
) -> None:
    source = (copy / path).read_text()
    try:
        (copy / path).write_text(f"{source}# edited\n")
        assert changed(texts, code_texts(copy)) == stages_of(cell)
    finally:
        (copy / path).write_text(source)


def test_a_file_that_is_only_added_changes_nothing(copy: Path, texts: dict[str, str]) -> None:
    added = copy / "pipeline/doctor/added.py"
    added.write_text("import torch\n")
    assert code_texts(copy) == texts
    added.unlink()


def test_a_new_import_brings_its_file_and_its_library(copy: Path, texts: dict[str, str]) -> None:
    path, added = copy / "pipeline/boxes/yolo.py", copy / "pipeline/boxes/added.py"
    source = path.read_text()
    path.write_text(f"{source}\n\ndef late():\n    import pipeline.boxes.added\n")
    added.write_text("import h5py\n")
    record = code_record("stages.import_boxes", root=copy)
    assert "pipeline/boxes/added.py" in record["files"]
    assert record["libraries"]["h5py"] == importlib.metadata.version("h5py")
    path.write_text(source)
    added.unlink()
    assert code_texts(copy) == texts


@pytest.mark.parametrize(("library", "cell"), UPDATES.items(), ids=UPDATES)
def test_an_update_changes_the_files_of_the_stages_that_the_page_says(
    library: str, cell: str, texts: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.1" if name == library else version(name))
    assert changed(texts, code_texts()) == stages_of(cell)


def test_a_build_for_other_hardware_is_the_same_version(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for build in ("2.11.0", "2.11.0+cpu", "2.11.0+cu126", "2.11.1+cpu"):
        monkeypatch.setattr(importlib.metadata, "version", lambda name, build=build: build)
        found[build] = library_versions({"torch.nn"})
    same = {"torch": "2.11.0"}
    assert [*found.values()] == [same, same, same, {"torch": "2.11.1"}]


def test_libraries_are_those_that_make_bytes() -> None:
    """By the names of distributions; the standard library, our own files and what only locks or shows are none."""
    names = {"os.path", "pipeline.base.files", "stages.code", "yaml", "zarr.codecs", "typer", "tqdm", "no_such_library"}
    found = library_versions(names)
    assert found.keys() == {"PyYAML", "zarr", "numcodecs", "no_such_library"}
    assert found["no_such_library"] == ABSENT
    assert found["zarr"] == importlib.metadata.version("zarr")


def test_what_is_said_of_libraries_is_said_of_ones_that_stages_import(records: dict[str, dict[str, Any]]) -> None:
    paths = {path for record in records.values() for path in record["files"]}
    imported = {each.partition(".")[0] for path in paths for each in imported_modules((REPOSITORY / path).read_text())}
    assert imported >= NO_BYTES | {*BROUGHT_ALONG}
    assert not {version for record in records.values() for version in record["libraries"].values()} & {ABSENT}


def test_a_key_is_the_digest_that_the_stage_writes(records: dict[str, dict[str, Any]], texts: dict[str, str]) -> None:
    """Both are taken from the source."""
    for name in KEYED:
        assert code_version(f"stages.{name}") == records[name]["digest"]
        assert f'"digest": "{records[name]["digest"]}"' in texts[f"{name}.json"]


def test_a_key_of_several_modules_knows_all_that_they_reach() -> None:
    motion, store = "pipeline.boxes.motion", "pipeline.video.store"
    both = code_record(motion, store)
    assert both["files"].keys() == {*import_closure(motion), *import_closure(store)}
    assert {"scipy", "simplejpeg"} <= both["libraries"].keys()
    assert len({code_version(motion), code_version(store), code_version(motion, store)}) == 3


def test_every_stage_depends_on_its_own_code_and_on_no_file_of_it() -> None:
    assert [module.partition(".")[2] for module in stage_modules()] == KEYED
    for (_, name), stage in STAGES.items():
        if name != "code":
            assert [each for each in stage["deps"] if each.startswith(".code")] == [f".code/{name}.json"]
    assert not [each for stage in STAGES.values() for each in stage["deps"] if each.endswith(".py")]
    assert CODE["deps"] == [*closure.PACKAGES, "requirements.lock"]
    assert CODE["outs"] == [str(closure.CODE)]


def declared(file: str, name: str) -> list[str]:
    """The parameters of a stage, as it names them itself: without the block of the second pipeline."""
    return [str(each).removeprefix("recognition.") for each in STAGES[file, name].get("params", [])]


@pytest.mark.parametrize(("file", "name"), STAGES)
def test_parameters_that_a_stage_reads_are_declared(file: str, name: str) -> None:
    files = [f"stages/{name}.py", *(each for each in import_closure(f"stages.{name}") if "pipeline/params/" in each)]
    read = {
        node.attr
        for each in files
        for node in ast.walk(ast.parse((REPOSITORY / each).read_text()))
        if getattr(node, "attr", None) != WATCHING
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "params"
    }
    assert read == {each.split(".")[0] for each in declared(file, name)}


@pytest.mark.parametrize(("file", "name"), STAGES)
def test_single_parameters_that_a_stage_reads_are_declared(file: str, name: str) -> None:
    """`params.block.key`, where not the whole block is declared."""
    read = {
        f"{node.value.attr}.{node.attr}"
        for node in ast.walk(ast.parse((REPOSITORY / "stages" / f"{name}.py").read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr != WATCHING
        and isinstance(node.value.value, ast.Name)
        and node.value.value.id == "params"
    }
    made = PIPELINES[file][name].get("foreach", "").strip("${}").removeprefix("recognition.")
    known = {*declared(file, name), made}
    assert not {each for each in read if not {each, each.split(".")[0]} & known}


@pytest.mark.parametrize(
    ("stage", "package"),
    [
        ("extract_frames", "models"),
        ("extract_frames", "evaluation"),
        ("train_baseline", "bank"),
        ("infer_bank", "training"),
        ("infer_bank", "models/heads/lfb_nl"),
        ("infer_memory", "training"),
        ("infer_memory", "models/heads/lfb_nl"),
        ("evaluate", "training"),
        ("import_labels", "models"),
        ("train_recognizer", "bank"),
        ("train_recognizer", "models/detector"),
        ("train_recognizer", "models/heads/table"),
        ("evaluate_recognizer", "training"),
        ("evaluate_recognizer", "bank"),
    ],
)
def test_what_a_stage_must_not_reach(stage: str, package: str) -> None:
    assert not [
        path
        for path in import_closure(f"stages.{stage}")
        if path.startswith((f"pipeline/{package}/", f"pipeline/{package}."))
    ]


def test_bank_knows_no_model_and_models_know_tensors_only() -> None:
    for path in (REPOSITORY / "pipeline/bank").rglob("*.py"):
        bank = import_closure(".".join(path.relative_to(REPOSITORY).with_suffix("").parts))
        assert not [each for each in bank if each.startswith("pipeline/models")], path
    models = import_closure("pipeline.models.build")
    others = {path for path in models if not path.startswith("pipeline/models")}
    assert others <= {"pipeline/base/errors.py", "pipeline/base/omitted_fields.py", "pipeline/tables/window_span.py"}


def test_nothing_imports_the_stages() -> None:
    for path in (REPOSITORY / "pipeline").rglob("*.py"):
        if path.name != "cli.py":
            names = imported_modules(path.read_text())
            assert not [name for name in names if name.split(".")[0] == "stages"], path
