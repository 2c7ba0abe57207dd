"""Learning curves from a training's files to a page."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis.learning_curves import Curves, curves_section, nice_ticks, read_curves
from pipeline.base.errors import InputError
from pipeline.training.loop import Fitted
from pipeline.training.outs import write_training

EPOCHS = "epoch\tlr\tloss\n1\t0.1\t0.75\n2\t0.05\t0.5\n3\t0\t0.25\n"
VALIDATION = "epoch\tmap\tmap_detected\n1\t\t\n2\t0.5\t0.5\n3\t0.25\t0.25\n"


def results(folder: Path, name: str, epochs: str = EPOCHS, validation: str | None = VALIDATION) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "epochs.tsv").write_text(epochs)
    if validation is not None:
        (folder / name / "validation.tsv").write_text(validation)
    return folder / name


def pictures(section: str) -> list[ET.Element]:
    return [ET.fromstring(each) for each in re.findall(r"<svg.*?</svg>", section, re.DOTALL)]


def test_the_curves_are_those_of_the_files(tmp_path: Path) -> None:
    loss, rate = [(1, 0.75), (2, 0.5), (3, 0.25)], [(1, 0.1), (2, 0.05), (3, 0.0)]
    assert read_curves(results(tmp_path, "head")) == Curves(loss, rate, [(2, 0.5), (3, 0.25)])
    assert read_curves(results(tmp_path, "baseline", validation=None)) == Curves(loss, rate, [])
    assert read_curves(tmp_path / "absent") is None


def test_what_a_training_writes_is_read(tmp_path: Path) -> None:
    history = [{"epoch": 1, "lr": 0.1, "loss": 0.5}, {"epoch": 2, "lr": 0.1, "loss": 0.25, "map": 0.5}]
    write_training(tmp_path / "head", Fitted(history, 2), select="last", more={})
    found = read_curves(tmp_path / "head")
    assert found is not None
    assert (found.loss, found.lr) == ([(1, 0.5), (2, 0.25)], [(1, 0.1), (2, 0.1)])
    write_training(tmp_path / "initial", Fitted([{"epoch": 0, "lr": None, "loss": None}], 0), select="last", more={})
    write_training(tmp_path / "elsewhere", Fitted([], 0), select="last", more={})
    assert read_curves(tmp_path / "initial") is None
    assert read_curves(tmp_path / "elsewhere") is None


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("epochs.tsv", "epoch,loss\n1,2\n", "epochs.tsv: found columns epoch,loss, expected epoch"),
        ("epochs.tsv", "", "epochs.tsv: found columns , expected epoch"),
        ("epochs.tsv", "epoch\tlr\n1\t2\n", "epochs.tsv: found columns epoch, lr, expected loss"),
        (
            "epochs.tsv",
            "epoch\tlr\tloss\n1\t0\t1\n2\t0\thigh\n",
            "epochs.tsv: line 3: found epoch '2', loss 'high', expected numbers",
        ),
        (
            "validation.tsv",
            "map\tepoch\n0.5\n",
            "validation.tsv: line 2: found epoch None, map '0.5', expected numbers",
        ),
    ],
)
def test_a_strange_file_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    folder = results(tmp_path, "head")
    (folder / name).write_text(text)
    with pytest.raises(InputError) as error:
        read_curves(folder)
    assert str(error.value) == f"{folder}/{message}"


def test_the_section_shows_each_training_once(tmp_path: Path) -> None:
    assert curves_section(tmp_path) == ""
    results(tmp_path, "head")
    both = "loss 0.2500, validation mAP 0.2500 (highest 0.5000 after epoch 2)"
    assert re.findall("<h3>(.*?)</h3>", curves_section(tmp_path)) == [f"head: 3 epochs, {both}"]
    results(tmp_path, "baseline")
    section = curves_section(tmp_path)
    assert re.findall("<h3>(.*?)</h3>", section) == [f"baseline: 3 epochs, {both}"], "the head is the baseline"
    titles = [each.findtext("text") for each in pictures(section)]
    assert titles == ["loss", "learning rate", "validation mAP"]
    (tmp_path / "baseline/epochs.tsv").write_text("epoch\tlr\tloss\n1\t0.1\t0.5\n")
    (tmp_path / "baseline/validation.tsv").unlink()
    section = curves_section(tmp_path)
    assert [each.findtext("text") for each in pictures(section)][:3] == ["loss", "learning rate", "loss"]
    assert "<h3>baseline: 1 epoch, loss 0.5000</h3>" in section


def test_a_line_lies_within_its_axes_and_higher_values_lie_higher(tmp_path: Path) -> None:
    results(tmp_path, "head")
    loss, _, score = pictures(curves_section(tmp_path))
    for picture, points in ((loss, 3), (score, 2)):
        width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
        line = picture.find("polyline")
        assert line is not None
        places = [tuple(map(float, each.split(","))) for each in line.attrib["points"].split()]
        assert len(places) == points == len(picture.findall("circle"))
        assert all(0 < x < width and 0 < y < height for x, y in places)
        assert [x for x, _ in places] == sorted(x for x, _ in places)
        assert [y for _, y in places] == sorted(y for _, y in places), "falling values lie lower"
    assert [each.findtext("title") for each in score.findall("circle")] == ["epoch 2: 0.5", "epoch 3: 0.25"]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.25, 0.75, [0.2, 0.4, 0.6, 0.8]),
        (0.4, 0.4, [0.2, 0.3, 0.4, 0.5, 0.6]),
        (0.0, 0.0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.0, 20.0, [0, 5, 10, 15, 20]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert nice_ticks(low, high, 6) == expected


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_ticks_cover_what_they_are_for(one: float, other: float) -> None:
    low, high = sorted((one, other))
    ticks = nice_ticks(low, high, 6)
    assert 2 <= len(ticks) <= 6
    assert ticks == sorted(set(ticks))
    slack = 1e-6 * (ticks[-1] - ticks[0])
    assert ticks[0] - slack <= low <= high <= ticks[-1] + slack
