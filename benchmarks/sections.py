"""Run the sections of a long benchmark, each in a process of its own until its time is up; what did not fit is said.

A section is a table whose rows are measured one after the other. A row that fails is shown with the last line of its
error, and so is every row that was not measured with the reason. Time that a section leaves goes to those after it.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from benchmarks.measuring import table

Row = Callable[[], Sequence[Any]]
"Measures a row, and returns its cells."


@dataclass(frozen=True)
class Setup:
    """What all sections share."""

    device: str
    tiny: bool
    "Sizes at which every row takes about a second on a CPU."
    folder: Path
    "For films, banks and weights; sections may leave files for those after them."


@dataclass(frozen=True)
class Section:
    """A table."""

    title: str
    columns: tuple[str, ...]
    seconds: float
    "Its share of the time."
    rows: Callable[[Setup], Mapping[str, Row]]
    "Its rows by name; to name them costs nothing."
    note: str = ""


def ends(sections: Sequence[Section], seconds: float) -> list[float]:
    """Seconds after the start at which each section must have ended, if all have `seconds` together."""
    total = sum(each.seconds for each in sections)
    return [seconds * each / total for each in accumulate(each.seconds for each in sections)]


def last_line(text: str) -> str:
    """The last line of an error or a log that says something, fit for a cell of a table."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].replace("|", "/")[:300] if lines else "nothing was said"


def measure_rows(rows: Mapping[str, Row], path: Path) -> None:
    """Measure the rows; append a line of JSON to `path` as soon as a row is known, so that a kill loses one at most."""
    with path.open("a") as file:
        for name, measure in rows.items():
            found: dict[str, Any] = {"row": name}
            try:
                found["cells"] = [str(cell) for cell in measure()]
            except Exception as error:  # the other rows may go well
                found["failed"] = last_line(f"{type(error).__name__}: {error}")
            file.write(json.dumps(found) + "\n")
            file.flush()


def run_until(command: Sequence[str], log: Path, *, seconds: float) -> str | None:
    """Run a program, and end it with all that it has started after some seconds.

    Returns:
        None if it ended well, else what went wrong.
    """
    if seconds <= 0:
        return "no time was left"
    with (
        log.open("w") as said,
        subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, start_new_session=True) as process,
    ):
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"its {seconds:.3g} s were up"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return None if status == 0 else f"status {status}, {last_line(log.read_text(errors='replace'))}"


def section_text(section: Section, names: Sequence[str], results: Path, wrong: str | None) -> str:
    """The section as Markdown, with a line for each of its rows."""
    wrong = wrong or "its process ended before it"
    found: dict[str, dict[str, Any]] = {}
    for line in results.read_text().splitlines() if results.exists() else []:
        with suppress(json.JSONDecodeError):  # the last line of a killed process
            record = json.loads(line)
            found[record["row"]] = record
    lines = []
    for name in names:
        record = found.get(name, {"cells": [f"not measured: {wrong}"]})
        cells = record["cells"] if "cells" in record else [f"failed: {record['failed']}"]
        lines.append([name, *cells, *[""] * (len(section.columns) - len(cells))])
    missing = sum(name not in found for name in names)
    text = [f"## {section.title}", "", table(["", *section.columns], lines)]
    text += ["", f"{missing} of {len(names)} rows not measured: {wrong}."] if missing else []
    return "\n".join([*text, *(["", section.note] if section.note else [])])


def run_sections(
    sections: Mapping[str, Section],
    command: Callable[[str, Path], Sequence[str]],
    setup: Setup,
    *,
    seconds: float,
    keep: Callable[[list[str]], None],
) -> None:
    """Run the sections and print each as soon as it has ended.

    Args:
        sections: by name.
        command: the program that measures the rows of the section with this name into this file (`measure_rows`).
        setup: see `Setup`.
        seconds: for all together.
        keep: gets all sections so far as Markdown, after each.
    """
    texts: list[str] = []
    start = time.monotonic()
    for (name, section), end in zip(sections.items(), ends(list(sections.values()), seconds), strict=True):
        results = setup.folder / f"{name}.jsonl"
        results.unlink(missing_ok=True)
        left = start + end - time.monotonic()
        wrong = run_until(command(name, results), setup.folder / f"{name}.log", seconds=left)
        texts.append(section_text(section, list(section.rows(setup)), results, wrong))
        print(f"\n{texts[-1]}", flush=True)
        keep(texts)
