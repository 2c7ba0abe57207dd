"""Format an examination as text for a terminal, as one self-contained HTML file, and as JSON."""

import textwrap
from dataclasses import asdict
from html import escape
from typing import Any

from pipeline.base.problems import Problem
from pipeline.doctor.finding import SEVERITIES, Examination, Finding

WIDTH = 118
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1d2126; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 0 0 .4rem; } code { color: #555b63; font-size: .85rem; }
section { border: 1px solid #d6dade; border-left: .5rem solid #888; border-radius: .3rem; padding: .8rem 1rem;
margin: 1rem 0; } section.error { border-left-color: #c0262d; } section.warning { border-left-color: #d08700; }
section.note { border-left-color: #3572b0; } table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .2rem .6rem .2rem 0; overflow-wrap: anywhere; }
th { color: #555b63; font-weight: 600; } .next { font-weight: 600; }
"""


def summary_line(examined: Examination) -> str:
    """Return the numbers of errors, warnings and notes in one line."""
    counts = examined.counts()
    words = [f"{counts[each]} {each}{'' if counts[each] == 1 else 's'}" for each in SEVERITIES]
    return f"{examined.dataset}: {words[0]}, {words[1]}, {words[2]}"


def next_line(examined: Examination) -> str:
    """Return a line that says what to do next."""
    first = next(iter(examined.findings), None)
    if first and first.severity == "error":
        return f"next: mend {first.code} ({first.count:,}), then run actionbank doctor again"
    command = examined.run or f"dvc exp run -S dataset={examined.dataset}"
    if first and first.severity == "warning":
        return f"next: read the warnings; {command} runs with them"
    return f"next: {command}"


def as_text(examined: Examination) -> str:
    """Return the report as text for a terminal."""
    lines = [f"data set {examined.dataset}"]
    wide = max((len(name) for name in examined.facts), default=0)
    lines += [f"  {name:<{wide}}  {fact}" for name, fact in examined.facts.items()]
    for finding in examined.findings:
        lines += ["", f"{finding.severity.upper()} {finding.code} ({finding.count:,}): {finding.title}"]
        lines += [
            _wrapped(f"- {_place(each)}: found {each.found}, expected {each.expected}") for each in finding.examples
        ]
        lines.append(_wrapped(f"> {finding.remedy}"))
    lines.append("")
    lines += [f"not checked: {each}" for each in examined.unchecked]
    return "\n".join([*lines, summary_line(examined), next_line(examined)])


def as_json(examined: Examination) -> dict[str, Any]:
    """Return the report as plain values."""
    return {
        "dataset": examined.dataset,
        "facts": dict(examined.facts),
        "counts": examined.counts(),
        "findings": [
            asdict(each) | {"examples": [problem.written() for problem in each.examples]} for each in examined.findings
        ],
        "unchecked": list(examined.unchecked),
        "next": next_line(examined).removeprefix("next: "),
    }


def as_html(examined: Examination) -> str:
    """Return the report as one well-formed HTML page that loads nothing else."""
    name = escape(examined.dataset)
    facts = "".join(f"<tr><th>{escape(key)}</th><td>{escape(fact)}</td></tr>" for key, fact in examined.facts.items())
    findings = "\n".join(_section(each) for each in examined.findings)
    unchecked = "".join(f"<li>{escape(each)}</li>" for each in examined.unchecked)
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"/><title>actionbank doctor: {name}</title><style>{STYLE}</style></head>
<body>
<h1>Data set {name}</h1>
<p>{escape(summary_line(examined))}</p>
<table>{facts}</table>
{findings}
{f"<h2>Not checked</h2><ul>{unchecked}</ul>" if unchecked else ""}
<p class="next">{escape(next_line(examined))}</p>
</body>
</html>
"""


def _section(finding: Finding) -> str:
    rows = "".join(
        f"<tr><td>{escape(each.file)}</td><td>{escape(each.item)}</td><td>{escape(each.found)}</td>"
        f"<td>{escape(each.expected)}</td></tr>"
        for each in finding.examples
    )
    return (
        f'<section class="{finding.severity}"><h2>{finding.severity}: {escape(finding.title)} ({finding.count:,})</h2>'
        f"<p><code>{escape(finding.code)}</code></p>"
        f"<table><tr><th>file</th><th>where</th><th>found</th><th>expected</th></tr>{rows}</table>"
        f"<p>{escape(finding.remedy)}</p></section>"
    )


def _place(problem: Problem) -> str:
    return problem.file if problem.item == problem.file else f"{problem.file}: {problem.item}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
