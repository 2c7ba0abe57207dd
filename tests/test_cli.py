"""Every command is documented, helps, and fails in one line."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from pipeline.cli import LIGHT, build_app

REPOSITORY = Path(__file__).resolve().parent.parent


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
        (["train-head"], "params.yaml: no such file"),
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


def test_light_commands_do_without_pytorch() -> None:
    assert {words[0] for words in COMMANDS} >= set(LIGHT)
    code = "import sys; from pipeline.cli import build_app; build_app('score'); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)
