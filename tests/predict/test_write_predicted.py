from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.base.errors import InputError
from pipeline.base.files import read_json
from pipeline.base.problems import Problem
from pipeline.predict.predict_films import FilmsResult
from pipeline.predict.predicted import read_predicted
from pipeline.predict.typed_results import Second, json_line
from pipeline.predict.write_predicted import FILES, check_out, lines_writer, write_tables
from tests.predict.test_predicted import predicted

SECOND = Second("a", 1.0, 1.5, ())


class Found(FilmsResult):
    """Of films in which is what `predicted` has."""

    def detections(self) -> Iterator[pa.Table]:
        yield predicted().detections


ON_REQUEST = ("attention.parquet", "attention.csv", "page.html")


def test_a_folder_that_is_there_needs_force(tmp_path: Path) -> None:
    out = tmp_path / "out"
    check_out(out, force=False)
    out.mkdir()
    with pytest.raises(InputError) as error:
        check_out(out, force=False)
    assert str(error.value) == f"{out}: is there already; --force replaces it, --out names another"
    write_tables(out, predicted(), Found(), with_csv=True)
    check_out(out, force=True)
    (out / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"holds thesis\.tex, which this command does not write"):
        check_out(out, force=True)


def test_the_tables_are_written(tmp_path: Path) -> None:
    found = Found(problems=[Problem("b.mp4", "b", "x", "y")])
    assert write_tables(tmp_path, predicted(), found, with_csv=True) == 1
    assert read_predicted(tmp_path) == predicted()
    assert (tmp_path / "detections.csv").read_text() == "a,0001,0.1,0.2,0.3,0.4,2,0.7\n"
    written = read_json(tmp_path / "problems.json")
    assert written == {"problems": [{"file": "b.mp4", "item": "b", "found": "x", "expected": "y"}], "total": 1}
    assert {path.name for path in tmp_path.iterdir()} == set(FILES) - {"seconds.jsonl", *ON_REQUEST}
    (tmp_path / "less").mkdir()
    write_tables(tmp_path / "less", predicted(), Found(), with_csv=False)
    assert not (tmp_path / "less/detections.csv").exists()


def test_lines_are_there_as_they_come(tmp_path: Path, capsys) -> None:
    path = tmp_path / "seconds.jsonl"
    with lines_writer(path, echo=True) as lines:
        lines.write(SECOND)
        assert path.read_text() == json_line(SECOND), "before the next one is known"
        assert capsys.readouterr().out == json_line(SECOND)
    with lines_writer(None, echo=False) as lines:
        lines.write(SECOND)
    assert capsys.readouterr().out == ""
