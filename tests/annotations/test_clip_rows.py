from pathlib import Path

import pytest

from pipeline.annotations.clip_rows import ClipRow, ReadClips, clip_id, filled, read_class_names, sentence, text_lines
from pipeline.base.errors import InputError


@pytest.mark.parametrize(
    ("name", "clip"), [("12", "12"), ("train/12.webm", "12"), ("data/rawframes/12/", "12"), ("a.b", "a.b")]
)
def test_the_clip_of_a_file_or_folder(name: str, clip: str) -> None:
    assert clip_id(name) == clip


def test_templates() -> None:
    template = "Putting [something] next to [number of] [something]"
    assert filled(template) == ("Putting something next to number of something", 3)
    assert sentence(template, ["a cup", "two", "[books]"]) == "Putting a cup next to two [books]"


def test_class_names_by_line_and_by_id(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("\ufeffHolding something\n\nOpening something \n", "utf-8")
    classes = read_class_names(tmp_path / "labels.csv")
    assert classes.names == ["Holding something", "Opening something"]
    assert (classes.find(" holding  Something"), classes.find("Closing something")) == (0, None)
    (tmp_path / "labels.json").write_text('{"b": "3", "a": 0}')
    assert read_class_names(tmp_path / "labels.json").names == ["a", "", "", "b"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("labels.csv", "a\nA\n", "two classes are named 'A'"),
        ("labels.csv", "", "expected class names with ids from 0 to 99999"),
        ("labels.json", '{"a": 0, "b": 0}', "class 'b' has id 0, also 'a'"),
        ("labels.json", '{"a": -1}', "class 'a' has id -1, expected ids from 0"),
        ("labels.json", '{"a": 100000}', "expected class names with ids from 0 to 99999"),
        ("labels.json", '["a"]', "expected a JSON object of class names and ids, {name: id}"),
    ],
)
def test_wrong_class_names(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as error:
        read_class_names(tmp_path / name)
    assert str(error.value) == f"{tmp_path / name}: {message}"


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"a\xff\n")
    with pytest.raises(InputError, match=r"x\.csv: is not UTF-8 text \(invalid start byte at byte 1\)$"):
        text_lines(tmp_path / "x.csv")


def test_an_id_that_can_be_no_file_is_listed() -> None:
    read = ReadClips()
    read.add(ClipRow('a"b', "train", 0, None, "train.csv", "line 1"))
    assert (read.rows, [each.kind for each in read.problems]) == ([], ["video-id"])
