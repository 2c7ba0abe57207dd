"""Describe what the doctor found: one kind of fault, how often, where, and what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pipeline.base.problems import Problem

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
EXAMPLES = 3


@dataclass(frozen=True)
class Finding:
    """One kind of fault.

    The severity is error if a stage would stop or compute something wrong, warning if something is left out or a result
    would be worse, and note for useful information.
    """

    code: str
    "Stable name for scripts: `film-missing`."
    severity: Severity
    title: str
    count: int
    "Number of films, rows, boxes or classes, as the title says."
    examples: tuple[Problem, ...]
    "The first problems."
    remedy: str


@dataclass(frozen=True)
class Examination:
    """All findings of the doctor on a data set."""

    dataset: str
    facts: Mapping[str, str] = field(default_factory=dict)
    "What exists, as name -> line of text."
    findings: Sequence[Finding] = ()
    "Sorted by severity, errors first."
    unchecked: Sequence[str] = ()
    "Checks that could not be made, and why."
    run: str = ""
    "The command that runs the pipeline on the data set; empty: that of a data set for detection."

    def counts(self) -> dict[Severity, int]:
        """Return the number of findings of each severity."""
        return {each: sum(one.severity == each for one in self.findings) for each in SEVERITIES}


def findings_of(
    code: str,
    severity: Severity,
    title: str,
    problems: Sequence[Problem],
    remedy: str,
    *,
    count: int | None = None,
) -> list[Finding]:
    """Return one finding with the first problems as examples; an empty list if there is no problem.

    Args:
        code: see `Finding`.
        severity: see `Finding`.
        title: what is wrong.
        problems: all of them, in a fixed order.
        remedy: what to do.
        count: the count, if it is not the number of problems.
    """
    if not problems:
        return []
    return [
        Finding(code, severity, title, len(problems) if count is None else count, tuple(problems[:EXAMPLES]), remedy)
    ]


def problem_of(message: str, file: str, item: str, expected: str) -> Problem:
    """Turn the message of an error into a problem; what it expected wins over `expected`.

    Args:
        message: the message of an InputError, without the name of the file.
        file: see `Problem`.
        item: see `Problem`.
        expected: what was expected, if the message does not say it.
    """
    found, comma, own = message.rpartition(", expected ")
    if not comma:
        found, comma, own = message.partition(": expected ")
    found = (found if comma else message).removeprefix("found ")
    # A message may quote a problem: `no row can be used: a.json: image 1: found ..., expected ...`.
    return Problem(file, item, found.replace(": found ", ": "), own if comma else expected)


def by_share(bad: int, total: int, limit: float) -> Severity:
    """Return error if the share of bad items is above `limit`, where a stage stops; else warning."""
    return "error" if total and bad / total > limit else "warning"


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """Return errors, then warnings, then notes; the order within each severity stays."""
    return sorted(findings, key=lambda each: SEVERITIES.index(each.severity))
