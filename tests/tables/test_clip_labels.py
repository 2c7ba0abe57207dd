from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.base.files import write_json
from pipeline.tables.clip_labels import label_classes, mirrored_name, read_clip_labels, write_clip_labels

NAMES = [
    "Pushing something from left to right",
    "Plugging something into something but pulling it right out as you remove your hand",
    "Turning something clockwise",
    "Pushing something from right to left",
    "Putting something upright on the table",
    "Turning something counterclockwise",
    "Looking left",
]


def test_flips_are_derived_from_names() -> None:
    classes = label_classes(NAMES)
    assert classes.flips == {0: 3, 3: 0, 2: 5, 5: 2}
    assert classes.one_sided == {6}


def test_names_are_mirrored_in_one_step() -> None:
    assert mirrored_name("from left to right") == "from right to left"
    assert mirrored_name("upright") == "upright"


def test_they_are_read_as_they_were_written(tmp_path: Path) -> None:
    classes = label_classes(NAMES)
    write_clip_labels(tmp_path / "labels.json", classes)
    assert read_clip_labels(tmp_path / "labels.json") == classes


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"classes": [{"id": 1, "name": "a"}], "flips": {}, "one_sided": []},
        {"classes": [{"id": 0, "name": "a"}], "flips": {"0": 1}, "one_sided": []},
        {"classes": [{"id": 0, "name": "a"}], "flips": {}, "one_sided": [2]},
    ],
)
def test_a_foreign_file_is_refused(tmp_path: Path, content: object) -> None:
    write_json(tmp_path / "labels.json", content)
    with pytest.raises(InputError, match=r"labels\.json: is not the list of classes that import_labels writes"):
        read_clip_labels(tmp_path / "labels.json")
