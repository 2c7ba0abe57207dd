"""The page of `actionbank report`: its numbers, and that names stay text."""

import re
from pathlib import Path

import pytest

from pipeline.analysis.background import Background
from pipeline.analysis.compare_results import Experiment, compare_experiments
from pipeline.analysis.learning_curves import Curves
from pipeline.analysis.report_page import Rules, Scored, scored, write_report_page
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import ANNOTATIONS, DETECTIONS, KEYFRAMES
from tests.analysis.test_revisions import table
from tests.browser import Browser, browser  # noqa: F401

LEFT, RIGHT = (0.1, 0.1, 0.4, 0.9), (0.6, 0.1, 0.9, 0.9)
EVIL = "<img src=x onerror=alert(1)>"
RULES = Rules(0.5, "official", 0)
TIMES = [(video, float(second), float(second)) for video in "uv" for second in range(6)]


def experiment(name: str, *, right: float) -> Experiment:
    """In every second one person walks, with a box for him and one for nobody; of the false class 0.5."""
    truth = table(ANNOTATIONS, [(*at, *LEFT, 3, None) for at in TIMES])
    rows = [(*at, *LEFT, 3, right) for at in TIMES] + [(*at, *LEFT, 7, 0.5) for at in TIMES]
    rows += [(*at, *RIGHT, 3, 0.6) for at in TIMES]
    keyframes = table(KEYFRAMES, [(*at, "val", "annotated") for at in TIMES])
    # Not in the order of their ids.
    labels = [Label(7, "sit", "b"), Label(3, EVIL, "a")]
    return Experiment(name, truth, keyframes, labels, table(DETECTIONS, rows))


def background(value: str) -> Background:
    curves = {"head": Curves(loss=[(1, 0.5), (2, 0.25)], lr=[(1, 0.1)], map=[])}
    return Background({"same": "1", "head.name": value}, {"record.epoch": value}, curves)


@pytest.fixture
def sides() -> list[Scored]:
    return [
        scored(experiment(f"<{name}>", right=right), background(name), RULES)
        for name, right in (("a", 0.4), ("b", 0.9))
    ]


def page_of(path: Path, sides: list[Scored]) -> str:
    first, last = sides[0].experiment, sides[-1].experiment
    found = compare_experiments(first, last, iou=0.5, protocol="official", cap=0, resamples=20, seed=0)
    write_report_page(path, found, sides, "notes & rules")
    return path.read_text()


def texts(page: str, title: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    part = page.partition(f"<h2>{title}</h2>")[2].partition("<h2>")[0]
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in part.split("<tr")]
    return [[re.sub("<.*?>", "", cell) for cell in row] for row in cells if row]


def test_two_experiments(sides: list[Scored], tmp_path: Path) -> None:
    page = page_of(tmp_path / "index.html", sides)
    a, b = sides[0].errors.ap[0], sides[1].errors.ap[0]
    assert b == 1.0
    assert a == pytest.approx(0.5)  # behind as many false boxes as there are true ones
    ap = ["12", "0.5000", "1.0000", "+0.5000", "+0.5000 to +0.5000"]
    assert texts(page, "Average precision")[0] == ["all classes", *ap]
    assert ["&lt;img src=x onerror=alert(1)&gt;", *ap] in texts(page, "Average precision")
    assert 'class="up">+0.5000' in page
    assert page.count("<figure>") == 1
    assert f"{EVIL.replace('<', '&lt;').replace('>', '&gt;')}: 0.500, 1.000" in page
    lost = {row[0]: row[1:] for row in texts(page, "Where the AP is lost")}
    assert lost["nobody there"][1] == lost["nobody there"][5] == "12"
    assert "No class is scored above" in page
    assert texts(page, "Provenance") == [["head.name", "a", "b"], ["record.epoch", "a", "b"]]
    assert page.count("Learning curves of &lt;") == 2
    assert "notes &amp; rules" in page


def test_one_experiment(sides: list[Scored], tmp_path: Path) -> None:
    page = page_of(tmp_path / "index.html", sides[:1])
    assert texts(page, "Average precision")[0] == ["all classes", "12", "0.5000"]
    assert texts(page, "Provenance")[0] == ["same", "1"]
    assert texts(page, "Confusions") == [["&lt;img src=x onerror=alert(1)&gt;", "sit", "12 of 12", "100%"]]


def test_it_opens_from_a_file_and_runs_nothing(sides: list[Scored], tmp_path: Path, browser: Browser) -> None:  # noqa: F811
    page_of(tmp_path / "index.html", sides)
    browser.faults.clear()
    browser.requests.clear()
    browser.call("Page.navigate", url=(tmp_path / "index.html").as_uri())
    browser.wait("document.readyState === 'complete' && document.querySelectorAll('svg').length > 4")
    assert browser.faults == []
    assert browser.requests == [(tmp_path / "index.html").as_uri()]
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert browser.run("getComputedStyle(document.querySelector('.up')).color") == "rgb(0, 107, 0)"
