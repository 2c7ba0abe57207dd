"""Sections of a long benchmark: each row is measured, failed, or listed with the reason why not."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.sections import Section, Setup, ends, last_line, measure_rows, run_sections, run_until, section_text


def rows(setup: Setup) -> dict[str, object]:
    def fails() -> Sequence[str]:
        raise RuntimeError("first\nCUDA error: a | b\n\n")

    return {"one": lambda: ["1", 2], "two": fails, "three": lambda: [3, 4]}


SECTION = Section("Some rows", ("a", "b"), 10, rows, "A note.")  # type: ignore[arg-type]


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def test_a_failure_costs_its_row_alone(tmp_path: Path) -> None:
    setup, path = Setup("cpu", True, tmp_path), tmp_path / "rows.jsonl"
    measure_rows(SECTION.rows(setup), path)
    assert lines(section_text(SECTION, ["one", "two", "three"], path, None)) == [
        "## Some rows",
        "|  | a | b |",
        "| --- | --- | --- |",
        "| one | 1 | 2 |",
        "| two | failed: CUDA error: a / b |  |",
        "| three | 3 | 4 |",
        "A note.",
    ]


def test_rows_that_did_not_fit_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"row": "one", "cells": ["1", "2"]}) + '\n{"row": "two", "ce')
    assert lines(section_text(SECTION, ["one", "two", "three"], path, "its 30 s were up"))[3:] == [
        "| one | 1 | 2 |",
        "| two | not measured: its 30 s were up |  |",
        "| three | not measured: its 30 s were up |  |",
        "2 of 3 rows not measured: its 30 s were up.",
        "A note.",
    ]
    nothing = section_text(SECTION, ["one"], tmp_path / "absent.jsonl", "no time was left")
    assert "| one | not measured: no time was left |  |" in nothing


def test_sections_share_the_time() -> None:
    parts = [Section("x", (), seconds, rows) for seconds in (10, 30, 60)]  # type: ignore[arg-type]
    assert ends(parts, 200) == [20, 80, 200]


def test_a_program_is_ended_with_its_children_when_its_time_is_up(tmp_path: Path) -> None:
    log, alive = tmp_path / "log", tmp_path / "alive"
    command = ["sh", "-c", f"(sleep 30; touch {alive}) & sleep 30"]
    assert run_until(command, log, seconds=0.1) == "its 0.1 s were up"
    assert run_until(command, log, seconds=0.0) == "no time was left"
    assert run_until(["sh", "-c", "true"], log, seconds=60) is None
    said = run_until(["sh", "-c", "echo first; echo at last >&2; exit 3"], log, seconds=60)
    assert said == "status 3, at last"


def test_the_last_line_fits_a_cell() -> None:
    assert last_line("a\n b | c \n\n") == "b / c"
    assert last_line("") == "nothing was said"
    assert len(last_line("x" * 1000)) == 300


def test_every_section_is_printed_and_kept_as_soon_as_it_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(name: str, results: Path) -> list[str]:
        code = f"import sys; sys.exit('no such card') if {name!r} == 'bad' else None"
        code += f'; open({str(results)!r}, \'w\').write(\'{{"row": "one", "cells": ["1", "2"]}}\\n\')'
        return [sys.executable, "-S", "-c", code]

    (tmp_path / "bad.jsonl").write_text('{"row": "one", "cells": ["of an earlier run", ""]}\n')
    kept: list[int] = []
    sections = {"good": SECTION, "bad": SECTION}
    setup = Setup("cpu", True, tmp_path)
    run_sections(sections, command, setup, seconds=120, keep=lambda texts: kept.append(len(texts)))
    said = capsys.readouterr().out
    assert kept == [1, 2]
    assert "| one | 1 | 2 |" in said
    assert "2 of 3 rows not measured: its process ended before it." in said
    assert said.count("not measured: status 1, no such card |") == 3
    assert "earlier" not in said
