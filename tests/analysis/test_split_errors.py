from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.analysis.split_errors import errors_of_split
from pipeline.base.errors import InputError
from pipeline.tables.label_map import Label, write_labels
from pipeline.tables.schemas import ANNOTATIONS, DETECTIONS, KEYFRAMES, write_table
from tests.analysis.test_error_kinds import LEFT, RIGHT
from tests.evaluation.test_report import table

FOLDER = Path("data/small/annotations")
FOUND = Path("found.parquet")


def params(**changes: Any) -> Any:
    rules = {"metric": "ava", "classes": "labelmap", "iou": 0.5, "protocol": "official", "cap": 50}
    return SimpleNamespace(
        evaluation=SimpleNamespace(**{**rules, **changes}), dataset=SimpleNamespace(name="small", classes=3)
    )


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Film v is of val, film t of train; class 3 is not in the label map."""
    monkeypatch.chdir(tmp_path)
    films = {"v": "val", "t": "train"}
    truth = [(film, 1.0, 0.5, *LEFT, action, 0) for film in films for action in (1, 3)]
    write_table(table(ANNOTATIONS, truth), FOLDER / "annotations.parquet", ANNOTATIONS)
    keyframes = [(film, 1.0, 0.5, split, "annotated") for film, split in films.items()]
    write_table(table(KEYFRAMES, keyframes), FOLDER / "keyframes.parquet", KEYFRAMES)
    write_labels(FOLDER / "labels.json", [Label(1, "walk", "g"), Label(2, "wave", "g")])


def write_rows(*films: str) -> None:
    rows = [(film, 1.0, 0.5, *box, 1, 0.5) for film in films for box in (LEFT, RIGHT)]
    write_table(table(DETECTIONS, rows), FOUND, DETECTIONS)


def test_only_the_films_of_the_split_and_the_classes_that_are_scored_count() -> None:
    write_rows("t", "v")
    found = errors_of_split(params(), FOUND, "val")
    assert set(found.detections["video_id"].to_pylist()) == set(found.annotations["video_id"].to_pylist()) == {"v"}
    assert [label.name for label in found.labels] == ["walk", "wave"]
    assert found.errors.num_gt.tolist() == [1, 0]
    assert errors_of_split(params(classes="all"), FOUND, "val").errors.num_gt.tolist() == [1, 0, 1]


def test_a_table_of_other_films_is_refused() -> None:
    write_rows("t", "x")
    with pytest.raises(InputError) as error:
        errors_of_split(params(), FOUND, "val")
    assert str(error.value) == f"{FOUND}: has no row of the 1 videos of split val of {FOLDER}"


def test_tubes_have_other_rules() -> None:
    with pytest.raises(InputError) as error:
        errors_of_split(params(metric="multisports"), FOUND, "val")
    assert str(error.value) == "evaluation.metric is multisports, expected ava: errors are told by its rules"
