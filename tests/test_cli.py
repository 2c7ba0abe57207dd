"""Every command is documented, helps, and fails in one line."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from pipeline.cli import build_app
from tests.stages.zoo import FRAMES, NAME

REPOSITORY = Path(__file__).resolve().parent.parent
SLOW = {"torch", "torchvision", "numpy", "scipy", "pyarrow", "zarr", "av", "decord", "hydra", "yaml", "dvc"}
"What takes long to import: 0.05 s (NumPy) to 1.3 s (PyTorch) of CPU."


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if hasattr(command, "commands"):
        for name, each in command.commands.items():
            yield from commands(each, (*words, name))
    else:
        yield words, command


COMMANDS = dict(commands(typer.main.get_command(build_app())))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_and_option_says_what_it_does(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    assert command.help
    assert len(command.help) > 20
    for parameter in command.params:
        if parameter.name != "help":
            assert getattr(parameter, "help", None), f"{' '.join(words)}: {parameter.name} has no help"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_stands_in_the_docs(words: tuple[str, ...]) -> None:
    pages = [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]
    assert any(f"actionbank {' '.join(words)}" in page.read_text() for page in pages)


def test_every_stage_is_a_command_and_runs_as_a_module() -> None:
    stages = {path.stem for path in (REPOSITORY / "stages").glob("*.py")} - {
        "__init__",
        "arguments",
        "bank_arguments",
        "window_arguments",
    }
    assert stages - {"make_videos"} <= {words[0].replace("-", "_") for words in COMMANDS}
    for name in stages:
        text = (REPOSITORY / "stages" / f"{name}.py").read_text()
        assert f"python -m stages.{name}" in text.split('"""')[1], f"{name}: the docstring is its run-book"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["import-annotations"], "params.yaml: no such file"),
        (["bank", "info", "nowhere.zarr"], "nowhere.zarr: no such bank"),
        (["score", "--ground-truth", "gt.csv", "--detections", "det.csv"], "gt.csv"),
        (["compose", "--check"], "params.yaml"),
    ],
)
def test_what_a_user_can_cause_is_one_line_without_a_traceback(tmp_path: Path, words: list[str], message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *words], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_help_imports_nothing_that_takes_long() -> None:
    """Of any command and any stage: their modules are imported, and nothing of what they run."""
    program = f"""
import sys
from typer.testing import CliRunner
from pipeline.cli import build_app
app = build_app()
for words in ([], *{[list(words) for words in COMMANDS]}):
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0 and "Usage" in done.output, done.output
print(*sorted({SLOW} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    assert done.stdout == "\n"


def test_a_command_is_imported_alone() -> None:
    program = "import sys; from pipeline.cli import build_app; build_app('score'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    found = {each for each in done.stdout.split() if each.startswith(("pipeline.commands.", "stages."))}
    assert found == {"pipeline.commands.score"}


def test_the_table_of_counts_is_all_that_models_needs() -> None:
    program = f"""
import sys
from typer.testing import CliRunner
from pipeline.cli import build_app
done = CliRunner().invoke(build_app("models"), ["models"])
assert done.exit_code == 0, done.output
print(*sorted({SLOW - {"numpy"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    assert done.stdout == "\n"


def test_stages_without_tensors_do_without_pytorch(tmp_path: Path) -> None:
    """From films to boxes, as `dvc repro` runs them; the films are a few seconds long."""
    shutil.copytree(REPOSITORY / "conf", tmp_path / "conf")
    overrides = ["frames.allow_smaller=true", "boxes.detector=motion", *FRAMES]
    program = f"""
import sys
from pathlib import Path
from pipeline.project.compose import compose_params, params_text
from stages import code, detect_boxes, extract_frames, import_annotations, import_boxes, make_videos
Path("params.yaml").write_text(params_text(compose_params({overrides})))
code.code()
make_videos.make_videos({NAME!r}, workers=1)
extract_frames.extract_frames(workers=1)
import_annotations.import_annotations()
detect_boxes.detect_boxes("motion", workers=1)
import_boxes.import_boxes()
print(*sorted({{"torch", "zarr", "dvc"}} & sys.modules.keys()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, check=False, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "DVC_ROOT": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ""
