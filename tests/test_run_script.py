"""`./run` in a small clone: made, moved, copied, with a blank in its name; what it installs is what lies there."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
[project]
name = "actionbank"
version = "0.1.0"
[project.scripts]
where = "pipeline.where:main"
[tool.setuptools.packages.find]
include = ["pipeline*"]
"""
WHERE = "def main():\n    print(__file__, *__import__('sys').argv[1:])\n"


def run(folder: Path, *words: str, fails: bool = False) -> str:
    """`./run WORDS` from elsewhere; what it printed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))}
    offline = {"UV_OFFLINE": "1", "PIP_NO_INDEX": "1"}
    done = subprocess.run(
        [folder / "run", *words], cwd="/", env={**inherited, **offline, "PYTHON": sys.executable},
        text=True, check=False, timeout=120, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert (done.returncode != 0) == fails, done.stdout
    return done.stdout.strip()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of a project of one program, after `./run setup`; tests move or change copies of it."""
    uv = Path(sysconfig.get_path("scripts"), "uv")
    if not uv.is_file():
        pytest.skip("uv is not in this environment, and no test fetches it")
    folder = tmp_path_factory.mktemp("clone") / "clone"
    (folder / "pipeline").mkdir(parents=True)
    for name, text in {"pyproject.toml": PYPROJECT, "requirements.lock": "", "pipeline/where.py": WHERE}.items():
        (folder / name).write_text(text)
    (folder / "pipeline/__init__.py").touch()
    shutil.copy(REPOSITORY / "run", folder / "run")
    _make_environment(folder, uv)
    assert run(folder, "where", "a b") == f"{folder}/pipeline/where.py a b"
    return folder


def _make_environment(folder: Path, uv: Path) -> None:
    """What `./run setup` would fetch: uv, and setuptools to build with."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    shutil.copy(uv, folder / ".venv/bin/uv")
    (packages,) = folder.glob(".venv/lib/python*/site-packages")
    (packages / "outer.pth").write_text(sysconfig.get_path("purelib"))


def copy(folder: Path, target: Path) -> Path:
    subprocess.run(["cp", "-a", folder, target], check=True)
    return target


def test_what_is_made_is_not_made_again(made: Path) -> None:
    stamp = (made / ".venv/.installed").stat()
    assert run(made, "setup") == ""
    assert (made / ".venv/.installed").stat().st_mtime_ns == stamp.st_mtime_ns


def test_a_copy_runs_its_own_code_and_the_first_one_goes_on(made: Path, tmp_path: Path) -> None:
    second = copy(made, tmp_path / "second clone")
    run(second, "setup")
    assert run(second, "where") == f"{second}/pipeline/where.py"
    assert run(made, "where") == f"{made}/pipeline/where.py"
    activate = (second / ".venv/bin/activate").read_text()
    assert str(second) in activate
    assert str(made) not in activate


@pytest.mark.parametrize("name", ["with a blank", pytest.param("l" * 200, marks=pytest.mark.slow)])
def test_a_moved_clone_works_after_setup(made: Path, tmp_path: Path, name: str) -> None:
    moved = copy(made, tmp_path / "first").rename(tmp_path / name)
    run(moved, "setup")
    assert run(moved, "where") == f"{moved}/pipeline/where.py"
    program = subprocess.run([moved / ".venv/bin/where"], capture_output=True, text=True, check=True, cwd="/")
    assert program.stdout.strip() == f"{moved}/pipeline/where.py"


@pytest.mark.slow
def test_a_clone_that_was_made_by_an_older_run_and_moved_works(made: Path, tmp_path: Path) -> None:
    """Its stamp names no folder, and its programs name the old one."""
    moved = copy(made, tmp_path / "old")
    (moved / ".venv/.installed").write_text(PYPROJECT)
    for head in (f"#!{made}/.venv/bin/python", f"#!/bin/sh\n'''exec' '{made}/.venv/bin/python' \"$0\" \"$@\"\n' '''"):
        (moved / ".venv/bin/older").write_text(f"{head}\nprint('older')\n")
        (moved / ".venv/.installed").unlink(missing_ok=True)
        assert run(moved, "older") == "older"


@pytest.mark.slow
def test_a_python_that_is_gone_or_another_makes_the_environment_again(made: Path, tmp_path: Path) -> None:
    broken = copy(made, tmp_path / "broken")
    for path in broken.glob(".venv/bin/python*"):
        path.unlink()
        path.symlink_to("/nowhere/python3")
    run(broken, "setup", fails=True)  # it would fetch uv, which it may not here
    assert not (broken / ".venv/.installed").exists()
    assert subprocess.run([broken / ".venv/bin/python", "-c", ""], check=False).returncode == 0
