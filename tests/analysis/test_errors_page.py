import csv
from pathlib import Path

import pytest

from pipeline.analysis.confusions import find_confusions
from pipeline.analysis.error_kinds import find_errors
from pipeline.analysis.errors_page import ROWS_OF_A_BOX, write_page
from pipeline.analysis.split_errors import SplitErrors
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import ANNOTATIONS, DETECTIONS, KEYFRAMES
from tests.analysis.test_error_kinds import LEFT, RIGHT
from tests.evaluation.test_report import table

LABELS = [Label(each, f"<{each}>", "g") for each in range(1, 9)]


@pytest.fixture
def found() -> SplitErrors:
    """A label of each second is not found; in second 2 a box has eight rows of which one is right."""
    labels = [("v&w", 1.0, 0.5, *RIGHT, 1, 0), ("v&w", 2.0, 1.5, *LEFT, 2, 0), ("v&w", 2.0, 1.5, *RIGHT, 2, 1)]
    truth = table(ANNOTATIONS, labels)
    rows = table(DETECTIONS, [("v&w", 2.0, 1.5, *LEFT, each, each / 10) for each in range(1, 9)])
    keyframes = table(KEYFRAMES, [("v&w", at, at - 0.5, "val", "annotated") for at in (1.0, 2.0)])
    errors = find_errors(truth, rows, class_ids=[label.id for label in LABELS], keyframes=keyframes)
    return SplitErrors(errors, truth, rows, LABELS)


def write(folder: Path, found: SplitErrors, worst: int = 10) -> tuple[str, list[dict[str, str]]]:
    pictures = write_page(
        folder, found, find_confusions(found.errors), store=None, title="mine & <theirs>", worst=worst
    )
    assert pictures == 0
    with (folder / "keyframes.csv").open(newline="") as file:
        return (folder / "index.html").read_text(), list(csv.DictReader(file))


def test_names_of_films_and_classes_are_text(tmp_path: Path, found: SplitErrors) -> None:
    page, rows = write(tmp_path, found)
    assert "<h1>mine &amp; &lt;theirs&gt;</h1>" in page
    assert "v&amp;w,0001 (0.5 s)" in page
    assert '<span class="bad">&lt;1&gt; (not found: missed person)</span>' in page
    assert '<span class="good">&lt;2&gt; (found 0.20)</span>' in page
    assert "<img" not in page
    assert rows[0]["video_id"] == "v&w"


def test_of_a_box_the_best_rows_are_shown(tmp_path: Path, found: SplitErrors) -> None:
    page, _ = write(tmp_path, found)
    (line,) = (part for part in page.split("<li>") if part.startswith("D1"))
    assert [line.count(f"&lt;{each}&gt; 0.{each}0") for each in range(1, 9)] == [0] * 3 + [1] * ROWS_OF_A_BOX


def test_at_most_so_many_keyframes_are_shown_the_dearest_first(tmp_path: Path, found: SplitErrors) -> None:
    page, rows = write(tmp_path / "all", found)
    costs = [float(row["lost_map"]) for row in rows]
    assert costs == sorted(costs, reverse=True)
    assert [row["timestamp"] for row in rows] == ["1.0", "2.0"]
    assert page.count("<h2>") == 2
    page, rows = write(tmp_path / "none", found, worst=0)
    assert (page.count("<h2>"), rows) == (0, [])
