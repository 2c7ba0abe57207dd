from pathlib import Path

import pytest

from benchmarks.remote import PLACES, SIDES, Found, measure, show
from benchmarks.synthetic_bank import Size


def test_the_table_has_a_row_for_each_place() -> None:
    found = {
        place: {"one film": [Found(0.5, 100, 2, "a")], "whole bank": [Found(2.0, 1000, 9, "a")]} for place in PLACES
    }
    lines = show(found).splitlines()
    assert len(lines) == 2 + len(PLACES)
    assert lines[2] == "| folder, DVC | 0.50 s | 0.00 | 2 | 2.00 s | 0.00 | 9 | 4.0x | 10.0x |"


@pytest.mark.slow
def test_one_film_is_read_without_the_others(tmp_path: Path) -> None:
    size = Size(films=5, val_films=1, seconds=20, channels=32, classes=5)
    found = measure(tmp_path, size, repeats=1, workers=1)
    for sides in found.values():
        assert set(sides) == set(SIDES)
        assert sides["one film"][0].bytes < sides["whole bank"][0].bytes / 2
        assert sides["one film"][0].files < sides["whole bank"][0].files / 2
