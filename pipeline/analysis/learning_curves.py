"""Plot loss, learning rate and validation mAP over the epochs of a training, as SVG in a page."""

import csv
import math
from dataclasses import dataclass
from html import escape
from pathlib import Path

from pipeline.base.errors import InputError

Points = list[tuple[int, float]]
WIDTH, HEIGHT = 340, 220
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 26, 36
LINE = "#0b62a4"
MOST_MARKS = 60
"With more points than this, no point gets a dot: the dots would touch."


@dataclass(frozen=True)
class Curves:
    """The values of a training by epoch; each value has its epoch, from 1."""

    loss: Points
    lr: Points
    map: Points


def read_curves(folder: Path) -> Curves | None:
    """Read `epochs.tsv` and, if present, `validation.tsv` of a training's results; None if there is no epoch.

    Raises:
        InputError: a file lacks a column, or a value is not a number.
    """
    epochs, validation = folder / "epochs.tsv", folder / "validation.tsv"
    if not epochs.is_file():
        return None
    found = Curves(
        loss=_read_points(epochs, "loss"),
        lr=_read_points(epochs, "lr"),
        map=_read_points(validation, "map") if validation.is_file() else [],
    )
    return found if found.loss else None


def curves_section(results: Path) -> str:
    """Return the learning curves of `baseline` and `head` in a folder of results as HTML; empty if there are none.

    If the head is a copy of the baseline, both have the same epochs, which are shown once.
    """
    sections: list[str] = []
    shown: list[Curves] = []
    for name in ("baseline", "head"):
        curves = read_curves(results / name)
        if curves is None or curves in shown:
            continue
        shown.append(curves)
        sections.append(curves_charts(name, curves))
    return f"<h2>Learning curves</h2>\n{''.join(sections)}" if sections else ""


def curves_charts(name: str, curves: Curves) -> str:
    """Return the charts of one training as HTML, under a line with its name and last values."""
    last = curves.loss[-1][0]
    lines = (("loss", curves.loss), ("learning rate", curves.lr), ("validation mAP", curves.map))
    charts = [_chart(title, points, last) for title, points in lines if points]
    return f"<h3>{escape(_summary(name, curves))}</h3>\n<section>{''.join(charts)}</section>\n"


def _read_points(path: Path, column: str) -> Points:
    """Return the cells of a column that are not empty, with their epochs."""
    points: Points = []
    with path.open(newline="") as file:
        reader = csv.DictReader(file, delimiter="\t")
        absent = [name for name in ("epoch", column) if name not in (reader.fieldnames or [])]
        if absent:
            raise InputError(f"{path}: found columns {', '.join(reader.fieldnames or [])}, expected {absent[0]}")
        for number, row in enumerate(reader, 2):
            if not row[column]:
                continue
            try:
                epoch, value = int(row["epoch"]), float(row[column])
            except (TypeError, ValueError):
                found = f"epoch {row['epoch']!r}, {column} {row[column]!r}"
                raise InputError(f"{path}: line {number}: found {found}, expected numbers") from None
            if math.isfinite(value):
                points.append((epoch, value))
    return points


def _summary(name: str, curves: Curves) -> str:
    epoch, loss = curves.loss[-1]
    text = f"{name}: {epoch} epoch{'s' if epoch > 1 else ''}, loss {loss:.4f}"
    if curves.map:
        best = max(curves.map, key=lambda point: (point[1], -point[0]))
        text += f", validation mAP {curves.map[-1][1]:.4f} (highest {best[1]:.4f} after epoch {best[0]})"
    return text


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """Return at most `most` round numbers (1, 2 or 5 times a power of ten apart) from below `low` to above `high`."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # one value: put it in the middle
        low, high = low - abs(low) / 2, high + abs(high) / 2
    if high - low < 1e-99:
        low, high = 0.0, 1.0
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (power * times for times in (1, 2, 5, 10, 20, 50)):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first < most:
            return [float(f"{step * place:.12g}") for place in range(first, last + 1)]
    raise AssertionError(f"no ticks from {low} to {high}")


def _epoch_ticks(last: int, most: int) -> list[int]:
    """Return at most `most` epochs from 1 to the last."""
    step = max(1, round(nice_ticks(0, last, most)[1]))
    return [1, *(epoch for epoch in range(step, last + 1, step) if epoch > 1)]


def _chart(title: str, points: Points, epochs: int) -> str:
    """Draw one line over the epochs as inline SVG."""
    values = [value for _, value in points]
    ticks = nice_ticks(min(values), max(values), 6)
    last = max(epochs, 2)

    def x(epoch: float) -> float:
        return LEFT + (epoch - 1) / (last - 1) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - ticks[0]) / (ticks[-1] - ticks[0]) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text x="{LEFT}" y="16" font-weight="bold">{escape(title)}</text>']
    for tick in ticks:
        parts.append(f'<path d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for epoch in _epoch_ticks(last, 8):
        parts.append(f'<text x="{x(epoch):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{epoch}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.1f}" y="{HEIGHT - 4}" text-anchor="middle">epoch</text>')
    line = " ".join(f"{x(epoch):.1f},{y(value):.1f}" for epoch, value in points)
    parts.append(f'<polyline points="{line}" fill="none" stroke="{LINE}" stroke-width="1.5"/>')
    if len(points) <= MOST_MARKS:
        parts += [
            f'<circle cx="{x(epoch):.1f}" cy="{y(value):.1f}" r="2.5" fill="{LINE}">'
            f"<title>epoch {epoch}: {value:.6g}</title></circle>"
            for epoch, value in points
        ]
    return (
        f'<svg role="img" aria-label="{escape(title)} over the epochs" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-size="11" font-family="sans-serif">{"".join(parts)}</svg>'
    )
