"""What the doctor found: one kind of fault, how often, where, and what to do."""

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

    error: a stage would stop, or what it computes would be wrong. warning: something is left out, or a result would be
    worse. note: good to know.
    """

    code: str
    "Stable, for scripts: `film-missing`."
    severity: Severity
    title: str
    count: int
    "How many films, rows, boxes or classes, as the title says."
    examples: tuple[Problem, ...]
    "The first ones."
    remedy: str


@dataclass(frozen=True)
class Examination:
    """All that the doctor found of a data set."""

    dataset: str
    facts: Mapping[str, str] = field(default_factory=dict)
    "What there is, in words: name -> line."
    findings: Sequence[Finding] = ()
    "Errors first."
    unchecked: Sequence[str] = ()
    "Checks that could not be made, and why."

    def counts(self) -> dict[Severity, int]:
        """Findings of each severity."""
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
    """One finding with the first of its problems as examples; none where there is no problem.

    Args:
        code: see `Finding`.
        severity: see `Finding`.
        title: what is wrong.
        problems: all of them, in a fixed order.
        remedy: what to do.
        count: how many, where that is not the number of problems.
    """
    if not problems:
        return []
    return [
        Finding(code, severity, title, len(problems) if count is None else count, tuple(problems[:EXAMPLES]), remedy)
    ]


def problem_of(message: str, file: str, item: str, expected: str) -> Problem:
    """A refusal as a problem: its own words on what was expected go before `expected`.

    Args:
        message: of an InputError, without the name of the file.
        file: see `Problem`.
        item: see `Problem`.
        expected: where the message does not say it.
    """
    found, comma, own = message.rpartition(", expected ")
    if not comma:
        found, comma, own = message.partition(": expected ")
    found = (found if comma else message).removeprefix("found ")
    # A message may quote a problem: `no row can be used: a.json: image 1: found ..., expected ...`.
    return Problem(file, item, found.replace(": found ", ": "), own if comma else expected)


def by_share(bad: int, total: int, limit: float) -> Severity:
    """error where the share of bad items is above `limit`, at which a stage ends; else warning."""
    return "error" if total and bad / total > limit else "warning"


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """Errors, then warnings, then notes; as they came within each."""
    return sorted(findings, key=lambda each: SEVERITIES.index(each.severity))
