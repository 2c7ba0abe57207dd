"""`actionbank view`: which files it reads, and where it writes."""

from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from pipeline.base.command import new_app
from pipeline.base.errors import InputError
from pipeline.commands.view import view
from pipeline.predict.attention_table import write_attention
from pipeline.tables.label_map import write_labels
from pipeline.tables.schemas import ANNOTATIONS, BOXES, KEYFRAMES, VIDEOS, read_table, write_table
from tests.predict.page.made_up import made_up, made_up_attention, made_up_truth

APP = new_app()
APP.command()(view)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    out = tmp_path / "predicted"
    out.mkdir()
    made_up(tmp_path).write(out)
    return out


def run(*words: object) -> str:
    done = CliRunner().invoke(APP, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return str(done.output)


def test_the_page_stands_in_the_folder_unless_said_otherwise(folder: Path, tmp_path: Path) -> None:
    assert run(folder) == f"{folder}/page.html: 1 film, 6 boxes; open it in a browser\n"
    page = (folder / "page.html").read_text()
    assert '"why":false' in page
    assert '"src":"../a%20' in page
    run(folder, "--out", tmp_path / "other.html")
    assert '"src":"a%20' in (tmp_path / "other.html").read_text()


def test_several_films_and_one_box_are_counted(folder: Path) -> None:
    videos, persons = read_table(folder / "videos.parquet", VIDEOS), read_table(folder / "persons.parquet", BOXES)
    other = videos.set_column(0, VIDEOS.field("video_id"), pa.array(["other"]))
    write_table(pa.concat_tables([videos, other]), folder / "videos.parquet", VIDEOS)
    write_table(persons.slice(0, 1), folder / "persons.parquet", BOXES)
    assert run(folder) == f"{folder}/page.html: 2 films, 1 box; open it in a browser\n"


def test_attention_is_taken_from_the_folder_and_truth_from_where_it_is_said(folder: Path, tmp_path: Path) -> None:
    write_attention(folder, made_up_attention())
    truth = made_up_truth()
    annotations = tmp_path / "annotations"
    write_table(truth.annotations, annotations / "annotations.parquet", ANNOTATIONS)
    write_table(truth.keyframes, annotations / "keyframes.parquet", KEYFRAMES)
    write_labels(annotations / "labels.json", truth.labels)
    run(folder, "--truth", annotations)
    page = (folder / "page.html").read_text()
    assert '"why":true' in page
    assert '<script type="application/json" id="why-0-0">{"layers":[["M",1],' in page
    assert '"g":[0]' in page


def test_what_is_not_there(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"nowhere: is not a folder that `actionbank predict --out` wrote: it has no detections\.parquet$",
    ):
        view(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"nowhere/annotations\.parquet: no such table$"):
        view(folder, truth=tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"nowhere\.parquet: no such table$"):
        view(folder, attention=tmp_path / "nowhere.parquet")
    assert not (folder / "page.html").exists()
