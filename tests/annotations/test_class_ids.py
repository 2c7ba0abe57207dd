from pathlib import Path

import numpy as np
import pytest

from pipeline.annotations.class_ids import ClassNames, check_names, check_shift, find_label_map, read_shifted_label_map
from pipeline.base.errors import InputError
from pipeline.tables.label_map import Label


def test_a_label_map_from_zero_is_shifted(tmp_path: Path) -> None:
    path = tmp_path / "labelmap.txt"
    path.write_text("0: a\n2: b\n")
    assert [label.id for label in read_shifted_label_map(path)[0]] == [1, 3]
    assert read_shifted_label_map(path)[1] == 0
    assert find_label_map(tmp_path) == path


@pytest.mark.parametrize(
    ("ids", "first_id", "refused"),
    [([0, 1, 2], 1, True), ([0, 3], 1, False), ([1, 3], 1, False), ([1, 3], 0, True), ([1, 2], 0, False),
     ([], 0, False), ([np.nan], 1, False), ([0, 81], 1, False)],
)  # fmt: skip
def test_ids_that_are_all_off_by_one(ids: list[float], first_id: int, refused: bool) -> None:
    def check() -> None:
        check_shift(Path("x"), np.array(ids, np.float64), first_id=first_id, classes=3)

    if refused:
        with pytest.raises(InputError, match="all would be off by one"):
            check()
    else:
        check()


def test_names_that_disagree_are_told() -> None:
    own = [Label(index, name, "g") for index, name in enumerate("abcd", start=1)]
    check_names(Path("m"), own[:2], Path("s"), own)
    check_names(Path("m"), [Label(1, "A", "g")], Path("s"), own)
    with pytest.raises(InputError, match=r"m: id 2 is 'x', and 'b' in s \(1 such ids\)"):
        check_names(Path("m"), [own[0], Label(2, "x", "g")], Path("s"), own)
    with pytest.raises(InputError, match="the label map is off by one"):
        check_names(Path("m"), [Label(label.id - 1, label.name, "g") for label in own[1:]], Path("s"), own)


def test_names_are_found_whatever_their_case_and_gaps() -> None:
    names = ClassNames([Label(4, "Run/Jog_fast", "g")])
    assert names.find(" run/jog  FAST") == 4
    assert names.find("walk") is None
