"""How a program ends with an error, without a process of its own, which would import PyTorch anew."""

import contextlib
import io
import sys
from typing import Any
from unittest.mock import patch

import pytest
import typer

from pipeline.base import command


def ended(app: typer.Typer, *words: Any) -> tuple[int, str, str]:
    """Run an app as a program does; returns its status and what it printed on either stream. It must not succeed."""
    printed, complained = io.StringIO(), io.StringIO()
    with (
        patch.object(sys, "argv", ["actionbank", *map(str, words)]),
        patch.object(command, "atexit"),
        patch("os._exit", side_effect=AssertionError("it ended without an error")),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(complained),
        pytest.raises(SystemExit) as end,
    ):
        command.run(app)
    return int(end.value.code or 0), printed.getvalue(), complained.getvalue()
