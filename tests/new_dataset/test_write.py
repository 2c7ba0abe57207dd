"""What is said of a data set that was written; the command's tests write whole ones."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.base.errors import InputError
from pipeline.doctor.probe_films import ProbedFilm
from pipeline.new_dataset import write as module
from pipeline.new_dataset.config import Annotated
from pipeline.new_dataset.write import Given, write_dataset
from pipeline.tables.label_map import Label

PATH = Path("conf/dataset/mine.yaml")


def given(**changes: Any) -> Given:
    nothing = dict.fromkeys(("annotations", "boxes", "fps", "frame_rate"))
    return Given(**{**nothing, "name": "mine", "videos": Path("films"), "force": False, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "My films"}, r"^the name is 'My films', expected lower-case letters, digits and '_'$"),
        (
            {"annotations": Path("data/mine/boxes")},
            r"^data/mine/boxes: stages write data/mine/boxes and .*annotations\)$",
        ),
        ({"videos": Path("gone")}, r"^gone: no such file or folder \(--videos\)$"),
        ({}, r"^films: no video files, expected names that end in"),
    ],
)
def test_what_cannot_be_taken_is_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("conf/dataset").mkdir(parents=True)
    Path("films").mkdir()
    with pytest.raises(InputError, match=message):
        write_dataset(given(**changes), Path("conf"), workers=1)
    assert sorted(str(each) for each in Path().rglob("*")) == ["conf", "conf/dataset", "films"]


def test_the_largest_size_that_anything_asks_for_counts() -> None:
    def asked(own: int, *sides: tuple[int, int]) -> int:
        blocks = zip(("baseline", "head_train"), sides, strict=True)
        of_training = {name: {"augmentation": {"short_side": side}} for name, side in blocks}
        return module._asked_side({"backbone": {"input": {"short_side": own}}, **of_training})

    assert [asked(256, (1, 2), (3, 4)), asked(1, (256, 320), (1, 1)), asked(1, (1, 1), (256, 340))] == [256, 320, 340]


def test_the_last_line_counts_films_and_classes() -> None:
    films = {"a": ProbedFilm(), "b": ProbedFilm()}
    known = Annotated("x", classes=1, labels=[Label(1, "walk", "x")])
    assert module._summary(PATH, films, known, "data/mine/source/proposals") == (
        f"{PATH}: written: 2 films, 1 class, boxes from data/mine/source/proposals"
    )
    assert module._summary(PATH, films, Annotated("x"), None) == (
        f"{PATH}: written: 2 films, classes are to be set, boxes by motion"
    )


def test_how_the_films_are_split_is_said() -> None:
    (by_time,) = module._told_of_splits(PATH, Annotated("x", gap_seconds=3.0))
    assert by_time == f"{PATH}: one film is annotated, so it is split by time: its last fifth is val (dataset.split_by)"
    imported: Any = SimpleNamespace(told_of_splits=["2 films of train"])
    assert module._told_of_splits(PATH, Annotated("x", imported=imported)) == ["2 films of train"]
    assert module._told_of_splits(PATH, Annotated("x", fault="no classes")) == ()
