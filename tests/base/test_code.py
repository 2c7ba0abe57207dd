"""dvc.yaml names exactly the code that each stage runs."""

import ast
from pathlib import Path

import pytest
import yaml

from pipeline.base.code import code_version, import_closure, imported_modules

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PIPELINE = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
WATCHING = "training"
"The block that says how a training is watched: what it changes is in no out (docs/watching.md)."
STAGES = {name: stage.get("do", stage) for name, stage in PIPELINE.items()}


def test_imports_inside_functions_count() -> None:
    source = "import a.b\ndef f():\n    from c import d\n"
    assert imported_modules(source) == {"a.b", "c", "c.d"}


@pytest.mark.parametrize("name", STAGES)
def test_code_dependencies_are_the_import_closure(name: str) -> None:
    declared = {each for each in STAGES[name]["deps"] if each.endswith(".py")}
    assert declared == set(import_closure(f"stages.{name}"))


@pytest.mark.parametrize("name", STAGES)
def test_parameters_that_a_stage_reads_are_declared(name: str) -> None:
    tree = ast.parse((REPOSITORY / "stages" / f"{name}.py").read_text())
    read = {
        node.attr
        for node in ast.walk(tree)
        if getattr(node, "attr", None) != WATCHING
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "params"
    }
    declared = {each.split(".")[0] for each in STAGES[name].get("params", []) if isinstance(each, str)}
    assert read == declared


@pytest.mark.parametrize("name", STAGES)
def test_single_parameters_that_a_stage_reads_are_declared(name: str) -> None:
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
    known = {*map(str, STAGES[name].get("params", [])), PIPELINE[name].get("foreach", "").strip("${}")}
    assert not {each for each in read if not {each, each.split(".")[0]} & known}


@pytest.mark.parametrize(
    ("stage", "package"),
    [
        ("extract_frames", "models"),
        ("extract_frames", "evaluation"),
        ("train_baseline", "bank"),
        ("infer_bank", "training"),
        pytest.param(
            "evaluate",
            "training",
            marks=pytest.mark.xfail(strict=True, reason="stages/arguments.py builds the settings of training too"),
        ),
    ],
)
def test_what_a_stage_must_not_reach(stage: str, package: str) -> None:
    assert not [path for path in import_closure(f"stages.{stage}") if path.startswith(f"pipeline/{package}/")]


def test_bank_knows_no_model_and_models_know_tensors_only() -> None:
    for path in (REPOSITORY / "pipeline/bank").rglob("*.py"):
        bank = import_closure(".".join(path.relative_to(REPOSITORY).with_suffix("").parts))
        assert not [each for each in bank if each.startswith("pipeline/models")], path
    models = import_closure("pipeline.models.build")
    assert [path for path in models if not path.startswith("pipeline/models")] in ([], ["pipeline/base/errors.py"])


def test_nothing_imports_the_stages() -> None:
    for path in (REPOSITORY / "pipeline").rglob("*.py"):
        if path.name != "cli.py":
            names = imported_modules(path.read_text())
            assert not [name for name in names if name.split(".")[0] == "stages"], path


def test_the_code_version_is_stable_and_knows_its_libraries() -> None:
    assert code_version("stages.extract_frames", "av") == code_version("stages.extract_frames", "av")
    assert code_version("stages.extract_frames", "av") != code_version("stages.extract_frames", "decord")
