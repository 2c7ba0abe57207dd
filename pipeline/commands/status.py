"""`actionbank status`: show where the pipeline stands, what would run next, and about how long it takes."""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.base.command import RECOGNITION, TrackOption
from pipeline.base.files import json_text

if TYPE_CHECKING:
    from pipeline.project.stage_states import Standing, Status, Unfinished

RECOGNITION_TARGET = f" {RECOGNITION}"
RUNS = {"running": "runs now", "killed": "was killed", "failed": "failed", "": "is not finished"}


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    track: TrackOption = "detection",
) -> None:
    """Show where the pipeline stands: what is done, what would run next and about how long, what is unfinished."""
    from dvc.exceptions import DvcException

    from pipeline.project.stage_states import read_status

    try:
        found = read_status(track)
    except DvcException as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    lines = status_lines(found, time.time(), RECOGNITION_TARGET if track == "recognition" else "")
    print(json_text(asdict(found)) if as_json else "\n".join(lines) + "\n", end="")


def status_lines(found: "Status", now: float, target: str = "") -> list[str]:
    """Return the status as text.

    Args:
        found: the status.
        now: seconds since 1970, from which ages are counted.
        target: what `dvc repro` is to be told for this pipeline, with a blank before it.
    """
    lines = [", ".join(f"{group} {name}" for group, name in found.choices.items())] if found.choices else []
    lines += [_stage_line(each, now) for each in found.stages]
    lines += [_unfinished_line(each, now) for each in found.unfinished]
    return [*lines, _next_line(found.stages, target)]


def _stage_line(each: "Standing", now: float) -> str:
    state = {"changed": f"changed: {'; '.join(each.causes)}", "after": f"after {', '.join(each.causes)}"}.get(
        each.state, each.state
    )
    last = "no run is recorded"
    if each.finished is not None and each.took is not None:
        last = f"ran {span(now - each.finished)} ago, took {span(each.took)}"
    return f"{each.name:<28} {last:<38} {state}".rstrip()


def _unfinished_line(each: "Unfinished", now: float) -> str:
    parts = [each.progress, f"{span(now - each.written)} ago" if each.written is not None else ""]
    parts.append(f"about {span(each.left)} left" if each.left is not None else "")
    if each.outcome != "running" and each.progress:
        parts.append("the next run goes on from there if nothing it depends on changed")
    more = ", ".join(part for part in parts if part)
    return f"{each.stage} {RUNS[each.outcome]}{f': {more}' if more else ''}"


def _next_line(stages: "Sequence[Standing]", target: str) -> str:
    """Return a line on what runs next, in order, and how long it takes as far as known."""
    waiting = [each for each in stages if each.would_run and not each.name.endswith(".dvc")]
    if not waiting:
        return "nothing to run"
    names = ", ".join(
        f"{each.name} ({'unknown' if each.expected is None else span(each.expected)})" for each in waiting
    )
    known = [each.expected for each in waiting if each.expected is not None]
    unknown = len(waiting) - len(known)
    total = f"about {span(sum(known))}" if known else "for how long is unknown"
    if known and unknown:
        total += f", and {unknown} of unknown length"
    return f"dvc repro{target} runs, as far as what is made anew differs: {names}: {total}"


def span(seconds: float) -> str:
    """Format a length of time with at most two units: `48 s`, `12 min`, `3 h 10 min`, `2 d 4 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = round(whole / 60)
    for size, unit, smaller, name in ((1440, "d", 60, "h"), (60, "h", 1, "min")):
        if minutes >= size:
            rest = minutes % size // smaller
            return f"{minutes // size} {unit}" + (f" {rest} {name}" if rest else "")
    return f"{minutes} min"
