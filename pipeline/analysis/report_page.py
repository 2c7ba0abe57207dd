"""Write `index.html` of `actionbank report`: one experiment, or what changed from one to another.

The page has no script and loads nothing, so it opens from the file system. All names are escaped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.analysis.background import Background
from pipeline.analysis.compare_results import Change, Comparison, Experiment
from pipeline.analysis.confusions import Confusions, find_confusions
from pipeline.analysis.error_kinds import KINDS, Errors, find_errors
from pipeline.analysis.errors_report import TITLES, confused, error_summary
from pipeline.analysis.learning_curves import curves_charts
from pipeline.base.files import write_text
from pipeline.evaluation.ava_map import match, true_positives
from pipeline.evaluation.box_arrays import Floats
from pipeline.evaluation.curves import envelope, precision_recall

STYLE = (
    "body{font:15px/1.4 sans-serif;margin:2em auto;max-width:70em;padding:0 1em}h2{margin-top:2em;font-size:1.2em}"
    "table{border-collapse:collapse}td,th{padding:.1em .6em;text-align:right;border-bottom:1px solid #ddd}"
    "td,th{overflow-wrap:anywhere}"
    "td:first-child,th:first-child{text-align:left}.up{color:#006b00}.down{color:#b00000}.group td{font-weight:bold}"
    "section{display:flex;flex-wrap:wrap;gap:.6em}figure{margin:0}figcaption{font-size:.85em;max-width:11em;"
    "overflow-wrap:anywhere}.note{color:#555}"
)
A_LINE, B_LINE = "#b0702a", "#0b62a4"
SIDE = 150
SHOWN_CONFUSIONS = 20
LEAST_EXAMPLES = 5
MOST_POINTS = 200


@dataclass(frozen=True)
class Scored:
    """An experiment with what the page tells of it."""

    experiment: Experiment
    background: Background
    errors: Errors
    confusions: Confusions
    curves: list[tuple[Floats, Floats] | None]
    "Recall and the envelope of precision of each class; None for a class without AP."


@dataclass(frozen=True)
class Rules:
    """By which rules experiments are scored."""

    iou: float
    protocol: str
    cap: int


def scored(experiment: Experiment, background: Background, rules: Rules) -> Scored:
    """Score an experiment in all ways that the page shows."""
    ids = [label.id for label in experiment.labels]
    tables = experiment.annotations, experiment.detections
    more: dict[str, Any] = {
        "class_ids": ids,
        "keyframes": experiment.keyframes,
        "protocol": rules.protocol,
        "cap": rules.cap,
    }
    errors = find_errors(*tables, iou=rules.iou, **more)
    matching = match(*tables, **more)
    curves: list[tuple[Floats, Floats] | None] = []
    for place, hits in enumerate(true_positives(matching, rules.iou)):
        labels = int(errors.num_gt[place])
        if np.isnan(errors.ap[place]) or not len(hits):
            curves.append(None)
            continue
        recall, precision = precision_recall(hits, matching.class_scores(place), labels)
        curves.append((recall, envelope(precision)))
    return Scored(experiment, background, errors, find_confusions(errors), curves)


def write_report_page(path: Path, comparison: Comparison, sides: Sequence[Scored], notes: str) -> None:
    """Write the page.

    Args:
        path: the file.
        comparison: the changes; of one experiment, those from it to itself.
        sides: the experiment, or A and B.
        notes: which boxes were scored by which rules, in words.
    """
    names = [side.experiment.name for side in sides]
    title = " and ".join(names)
    parts = [
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<style>{STYLE}</style></head><body>\n<h1>{escape(title)}</h1>\n<p class=note>{escape(notes)}</p>\n",
        "<h2>Average precision</h2>\n" + changes_table(comparison, compared=len(sides) == 2),
        "<h2>Precision over recall</h2>\n" + curves_section(sides),
        "<h2>Where the AP is lost</h2>\n" + lost_table(sides),
        "<h2>Confusions</h2>\n" + confusions_table(sides[-1]),
        *(_learning(side) for side in sides),
        "<h2>Provenance</h2>\n" + provenance(sides),
        "</body></html>\n",
    ]
    write_text(path, "".join(parts))


def changes_table(comparison: Comparison, *, compared: bool) -> str:
    """Return the AP of all classes, of groups and of classes, with changes and intervals if two are compared."""
    head = "<th>A<th>B<th>change<th>95 % interval" if compared else "<th>AP"
    rows = [_change_row(comparison.overall, "group", compared)]
    for group in comparison.groups:
        rows.append(_change_row(group, "group", compared))
        rows += [_change_row(each, "", compared) for each in comparison.classes if each.group == group.name]
    return f"<table><tr><th>class<th>labels{head}</tr>\n{''.join(rows)}</table>\n"


def _change_row(row: Change, name: str, compared: bool) -> str:
    cells = [
        escape(row.name),
        str(row.examples),
        *(_number(each) for each in ((row.a, row.b) if compared else (row.b,))),
    ]
    if compared:
        certain = row.low is not None and row.high is not None and (row.low > 0 or row.high < 0)
        kind = ("up" if (row.change or 0) > 0 else "down") if certain else ""
        change = "" if row.change is None else f"{row.change:+.4f}"
        cells.append(f'<span class="{kind}">{change}</span>')
        cells.append("" if row.low is None else f"{row.low:+.4f} to {row.high:+.4f}")
    return f'<tr class="{name}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>\n"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def curves_section(sides: Sequence[Scored]) -> str:
    """Return a small chart for each class that has a curve."""
    figures = []
    labels = {label.id: label for label in sides[0].experiment.labels}
    for place, label in enumerate(labels[each] for each in sides[0].errors.class_ids.tolist()):
        lines = [side.curves[place] for side in sides]
        if all(line is None for line in lines):
            continue
        colours = (A_LINE, B_LINE)[-len(sides) :]
        drawn = "".join(_polyline(line, colour) for line, colour in zip(lines, colours, strict=True) if line)
        aps = ", ".join("none" if np.isnan(side.errors.ap[place]) else f"{side.errors.ap[place]:.3f}" for side in sides)
        figures.append(
            f'<figure><svg role="img" aria-label="{escape(label.name)}" width="{SIDE + 10}" height="{SIDE + 10}" '
            f'viewBox="-5 -5 {SIDE + 10} {SIDE + 10}"><rect width="{SIDE}" height="{SIDE}" fill="none" stroke="#ccc"/>'
            f"{drawn}</svg><figcaption>{escape(label.name)}: {aps}</figcaption></figure>"
        )
    key = '<p class="note">Recall to the right, precision upwards, both from 0 to 1.'
    if len(sides) == 2:
        key += f' <svg width="14" height="10"><rect width="14" height="10" fill="{A_LINE}"/></svg> A'
        key += f' <svg width="14" height="10"><rect width="14" height="10" fill="{B_LINE}"/></svg> B'
    return f"{key}</p>\n<section>{''.join(figures)}</section>\n"


def _polyline(curve: tuple[Floats, Floats], colour: str) -> str:
    recall, precision = curve
    chosen = np.unique(np.linspace(0, len(recall) - 1, min(len(recall), MOST_POINTS)).round().astype(int))
    x = np.concatenate([[0.0], recall[chosen]]) * SIDE
    y = (1 - np.concatenate([[precision[0]], precision[chosen]])) * SIDE
    points = " ".join(f"{left:.1f},{top:.1f}" for left, top in zip(x, y, strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def lost_table(sides: Sequence[Scored]) -> str:
    """Return what each kind of error costs."""
    names = ("A", "B") if len(sides) == 2 else ("",)
    head = "".join(
        f"<th>{name} labels not found<th>{name} false rows<th>{name} share of the loss<th>{name} gain" for name in names
    )
    totals = [error_summary(side.errors)["kinds"] for side in sides]
    rows = []
    for number, kind in enumerate(KINDS):
        cells = [TITLES[kind]]
        for each in (total[kind] for total in totals):
            cells.append(str(each["labels_not_found"]) if number < 3 else "")
            cells.append(str(each["false_rows"]) if kind != "missed" else "")
            cells += [
                f"{each['share']:.0%}",
                "" if each["map_gain"] != each["map_gain"] else f"{each['map_gain']:+.4f}",
            ]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>\n")
    return f"<table><tr><th>kind{head}</tr>\n{''.join(rows)}</table>\n"


def confusions_table(side: Scored) -> str:
    """Return the classes that are most often scored above the class that it is."""
    names = {label.id: label.name for label in side.experiment.labels}
    name = [names[each] for each in side.errors.class_ids.tolist()]
    found = side.confusions
    rows: list[str] = []
    for a, b in confused(found):
        if found.examples[a, b] >= LEAST_EXAMPLES and found.above[a, b] and len(rows) < SHOWN_CONFUSIONS:
            share = found.above[a, b] / found.examples[a, b]
            cells = [escape(name[a]), escape(name[b]), f"{found.above[a, b]} of {found.examples[a, b]}", f"{share:.0%}"]
            rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>\n")
    if not rows:
        return "<p>No class is scored above the class that it is.</p>\n"
    head = "<tr><th>it is<th>scored above it<th>labels<th>share</tr>\n"
    return f"<p class=note>{escape(side.experiment.name)}</p>\n<table>{head}{''.join(rows)}</table>\n"


def _learning(side: Scored) -> str:
    charts = "".join(curves_charts(name, curves) for name, curves in side.background.curves.items())
    return f"<h2>Learning curves of {escape(side.experiment.name)}</h2>\n{charts}" if charts else ""


def provenance(sides: Sequence[Scored]) -> str:
    """Return the parameters that differ and the checkpoints' records; of one experiment, all parameters."""
    found = []
    for title in ("params", "record"):
        values: list[dict[str, str]] = [getattr(side.background, title) for side in sides]
        keys = list(dict.fromkeys(key for each in values for key in each))
        rows = [(key, [each.get(key, "") for each in values]) for key in keys]
        if len(sides) == 2:
            rows = [row for row in rows if row[1][0] != row[1][1]]
        words = {"params": "Parameters", "record": "Checkpoint"}[title] + (" that differ" if len(sides) == 2 else "")
        cells = "".join(
            f"<tr><td>{escape(key)}</td>" + "".join(f"<td>{escape(each)}</td>" for each in row) + "</tr>\n"
            for key, row in rows
        )
        found.append(f"<h3>{words}</h3>\n" + (f"<table>{cells}</table>\n" if rows else "<p>none</p>\n"))
    return "".join(found)
