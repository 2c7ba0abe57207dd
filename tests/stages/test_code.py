import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.base.code_version import code_record, code_texts
from stages.code import code

REPOSITORY = Path(__file__).resolve().parent.parent.parent


def test_it_writes_one_file_per_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code()
    code()  # over its own files
    written = {path.name: path.read_text() for path in (tmp_path / ".code").iterdir()}
    assert written == code_texts()
    assert json.loads(written["evaluate.json"]) == code_record("stages.evaluate")
    assert capsys.readouterr().out == f".code: {len(written)} stages\n" * 2


def test_it_waits_for_no_library_that_takes_long() -> None:
    program = """
import sys, stages.code
stages.code.code_texts()
print(sorted({"torch", "numpy", "pyarrow", "zarr", "hydra"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
