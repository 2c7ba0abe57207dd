"""What a new data set asks for beside the defaults."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.boxes.recall import THRESHOLD_KEYS, USUAL_THRESHOLD
from pipeline.doctor.probe_films import ProbedFilm
from pipeline.new_dataset.proposed import Thresholds, nested, propose_thresholds, proposed_lines, shapes

WIDE, TALL, BROKEN = (
    ProbedFilm(width=160, height=90),
    ProbedFilm(width=90, height=160),
    ProbedFilm(found="0 bytes", width=1, height=1),
)


def read(films: list[ProbedFilm], thresholds: Thresholds = Thresholds(), *, motion: bool = False) -> Any:
    lines = proposed_lines(dict(zip("abc", films, strict=False)), thresholds, motion=motion, least_score=0.05)
    return yaml.safe_load("\n".join(lines)), [line for line in lines if line.startswith("#")]


def test_usual_boxes_of_films_of_one_shape_need_nothing() -> None:
    assert read([WIDE, ProbedFilm(width=320, height=180), BROKEN]) == (None, [])


def test_a_threshold_is_set_wherever_there_is_one_and_why() -> None:
    found, comments = read([WIDE], Thresholds(0.4, "boxes of train cover 3 of 4"))
    assert found == nested(dict.fromkeys(THRESHOLD_KEYS, 0.4))
    assert comments == ["# boxes of train cover 3 of 4."]
    low, _ = read([WIDE], Thresholds(0.01, "x"))
    assert low["boxes"] == {"min_score": 0.01}, "what is below the floor of the import would be left out"


def test_boxes_of_motion_begin_at_a_half() -> None:
    found, comments = read([WIDE], motion=True)
    assert found == nested(dict.fromkeys(THRESHOLD_KEYS, 0.5))
    assert comments[0].startswith("# Scores of motion begin at 0.5")


def test_films_of_several_shapes_are_cropped() -> None:
    found, comments = read([WIDE, TALL])
    assert found == {"baseline": {"augmentation": {"crop": "${baseline.augmentation.short_side.0}"}}}
    assert comments == [
        "# Films differ in shape, and clips of one batch have one size: each is cut to a random square."
    ]
    assert shapes([WIDE, TALL, BROKEN, ProbedFilm()]) == {Fraction(16, 9), Fraction(9, 16)}


def test_without_annotations_the_usual_threshold_stays(tmp_path: Path) -> None:
    found = propose_thresholds(tmp_path, None, tmp_path)
    assert (found, found.told()) == (Thresholds(USUAL_THRESHOLD), "")
    told = Thresholds(0.4, "why").told()
    assert told == f"why: thresholds are 0.4 ({', '.join(THRESHOLD_KEYS)})"


@pytest.mark.parametrize(
    ("values", "tree"),
    [({}, {}), ({"a": 1}, {"a": 1}), ({"a.b": 1, "a.c.d": 2, "e": 3}, {"a": {"b": 1, "c": {"d": 2}}, "e": 3})],
)
def test_dotted_keys_are_a_tree(values: dict[str, int], tree: dict[str, Any]) -> None:
    assert nested(values) == tree
