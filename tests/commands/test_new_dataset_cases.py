"""`actionbank new-dataset` on folders as users have them, each with the first message that it must print."""

import re
import shutil
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner

from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.command import new_app
from pipeline.commands.doctor import doctor
from pipeline.commands.new_dataset import new_dataset
from pipeline.project.compose import compose_params

REPOSITORY = Path(__file__).resolve().parent.parent.parent
CASES = REPOSITORY / "tests/fixtures/cases"
FIRST = "01-no-keyframe-left"
APP = new_app()
APP.command()(new_dataset)
DOCTOR = new_app()
DOCTOR.command()(doctor)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(REPOSITORY / "conf", tmp_path / "conf")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bring(case: str, films: str = FIRST) -> None:
    shutil.copytree(CASES / case / "annotations", "annotations")
    shutil.copytree(CASES / films / "films", "films")


def run(status: int = 0, app: Typer = APP, words: tuple[str, ...] = ()) -> str:
    words = words or ("x", "--videos", "films", "--annotations", "annotations", "--force", "--workers", "1")
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == status, done.output
    for line in re.findall(r"^  - .*(?:\n    .*)*", str(done.output), re.MULTILINE):
        assert line.count("expected") == 1, line
    return " ".join(str(done.output).split())


def findings(printed: str) -> list[str]:
    """`SEVERITY code`, in their order."""
    words = printed.split()
    return [f"{one} {two}" for one, two in pairwise(words) if one in ("ERROR", "WARNING", "NOTE")]


def imported(**options: Any) -> list[tuple]:
    found = import_source(Path("annotations"), SourceOptions(**{"classes": 3, **options}))
    return [(row["video_id"], round(row["time_seconds"], 3), row["action_id"]) for row in found.annotations.to_pylist()]


def test_seconds_from_the_start_of_a_film_are_one_finding() -> None:
    bring(FIRST)
    printed = run()
    assert printed.startswith("annotations/videos.csv: written, with frame rate and size of 2 films")
    assert (
        "annotations: first_timestamp 0 (the second at which a film begins) fits the rows of 2 films (a, b), which lie "
        "from 1 to 4" in printed
    )
    assert (
        Path("annotations/videos.csv").read_text().startswith("video_id,split,first_timestamp,fps,width,height\na,,0,")
    )
    assert imported()[:2] == [("a", 1.0, 2), ("a", 2.0, 1)]
    Path("annotations/videos.csv").unlink()  # as somebody has it who copied conf/dataset/custom.yaml
    printed = run(2, DOCTOR, ("--dataset", "x", "--workers", "1"))
    assert findings(printed) == ["ERROR annotation-before-film"]
    assert "(8): rows lie before their film begins, of 8 rows, none of which is left" in printed
    assert "columns video_id,first_timestamp" in printed
    assert "a film begins at 900" in printed
    Path("annotations/videos.csv").write_text("video_id,split\na,train\nb,val\n")
    printed = run(status=2)  # a user's own stays, and what it lacks is said first
    assert "annotations/videos.csv: does not say it; add the column first_timestamp conf/dataset/x.yaml" in printed
    Path("annotations/videos.csv").write_text("video_id,first_timestamp\na,0\nb,0\n")
    assert "does not say it" not in run()


def test_a_list_of_films_without_rows() -> None:
    bring("01b-only-a-list-of-films")
    printed = run(status=2)
    assert findings(printed) == ["ERROR no-train-labels"]
    assert "found no labelled row, expected rows of train and of val" in printed
    assert findings(run(2, DOCTOR, ("--dataset", "x", "--workers", "1"))) == ["ERROR no-train-labels"]


def test_files_for_ids_are_films_and_their_timestamps_seconds() -> None:
    bring("03-film-names-with-ending", "03-film-names-with-ending")
    run()
    rows = imported()
    assert len(rows) == 16
    assert rows[:3] == [("a", 1.0, 2), ("a", 2.0, 1), ("a", 3.0, 2)]
    text = Path("conf/dataset/x.yaml").read_text()
    assert "train.csv: AVA CSV whose ids are files (a.mp4 is film a), timestamps are seconds: 1 videos" in text


def test_the_same_of_another_ending_in_one_file() -> None:
    bring("03b-mov-in-labels-csv", "03b-mov-in-labels-csv")
    Path("annotations/videos.csv").write_text("video_id,first_timestamp\na,0\nb,0\n")
    run()
    assert imported()[:4] == [("a", 0.0, 1), ("a", 1.0, 2), ("a", 2.0, 1), ("a", 3.0, 2)]


def test_tubes_take_the_rates_of_the_films() -> None:
    bring("11-tubes-of-films-at-30", "11-tubes-of-films-at-30")
    printed = run()
    assert "annotations/videos.csv: written, with frame rate and size of 2 films" in printed
    assert imported()[59] == ("v_a", 1.967, 1)
    Path("annotations/videos.csv").write_text("video_id,split\nv_a,train\nv_b,val\n")
    printed = run(status=2)
    assert "ERROR fps-assumed (2)" in printed
    assert "v_a: found frames counted at 25 a second, which nothing told, expected 30" in printed
    Path("annotations/videos.csv").write_text("video_id,fps\nv_a,30\nv_b,30\n")
    assert "fps-assumed" not in run()


def test_of_three_ways_to_split_the_first_is_read_and_said() -> None:
    bring("18-tubes-of-three-splits", "11-tubes-of-films-at-30")
    run()
    text = Path("conf/dataset/x.yaml").read_text()
    assert "JHMDB-GT.pkl: has 3 ways to split its videos; number 1 is read (dataset.split_number)" in text
    assert compose_params(["dataset=x", "dataset.split_number=2"])["dataset"]["split_number"] == 2


def test_a_table_without_boxes_is_named() -> None:
    bring("12a-boris")
    printed = run(status=2)
    assert findings(printed) == ["ERROR annotations-not-recognised"]
    assert "events.csv: found BORIS's table: times without boxes, expected annotations in a format of" in printed
    assert "labelmap" not in printed
    text = Path("conf/dataset/x.yaml").read_text()
    assert "annotations holds no annotations yet: events.csv: BORIS's table: times without boxes" in text


def test_archives_and_folders_are_named() -> None:
    bring("12a-boris")
    Path("annotations/events.csv").unlink()
    with zipfile.ZipFile("annotations/notes of two.zip", "w") as archive:
        archive.writestr("notes.txt", "x")
    for name in ("task_a", "task_b"):
        Path("annotations", name).mkdir()
        Path("annotations", name, "labels.csv").write_text("a,902,0.1,0.1,0.2,0.2,1\n")
    printed = run(status=2)
    assert "labelmap" not in printed
    assert "task_a/labels.csv" in printed
    assert "notes of two.zip" in printed


def test_images_without_a_film_are_quoted_and_are_the_first_thing_to_mend() -> None:
    bring("14-coco-of-frames")
    printed = run(status=2)
    assert findings(printed) == ["ERROR annotations-refused"]
    assert (
        "image 1: file_name 'frame_000012.PNG' and no movie and no timestamp, expected movie (the film's id) and "
        "timestamp (a second of it), or a file_name VIDEO/TIMESTAMP.jpg" in printed
    )
    assert "movie None" not in printed


def test_images_in_folders_of_films() -> None:
    bring("14a-coco-colliding-names")
    assert findings(run(status=2))[0] == "ERROR film-too-short"  # at second 66
    assert imported() == [("a", 66.0, 1), ("b", 66.0, 1)]


def test_excluded_keyframes_by_another_name() -> None:
    bring("15-excluded-by-another-name")
    run()
    found = import_source(Path("annotations"), SourceOptions(classes=3))
    assert found.problems == []
    statuses = [(row["video_id"], row["timestamp"], row["status"]) for row in found.keyframes.to_pylist()]
    assert statuses[2:] == [("b", 1.0, "annotated"), ("b", 2.0, "annotated"), ("b", 3.0, "excluded")]


def test_a_label_map_that_leaves_out_an_id_of_0() -> None:
    bring("19-label-id-0-left-out")
    run(status=2)  # one film
    found = import_source(Path("annotations"), SourceOptions(classes=2))
    assert [(label.id, label.name) for label in found.labels] == [(1, "walk"), (2, "sit")]
    assert imported(classes=2) == [("a", 2.0, 1), ("a", 3.0, 2)]


def test_films_of_any_name(project: Path) -> None:
    names = {"a.mp4": "Küche (2) #1+.mp4", "b.mp4": "два фильма.mp4"}
    bring("15-excluded-by-another-name")
    for old, new in names.items():
        Path("films", old).rename(Path("films", new))
    for path in Path("annotations").glob("*.csv"):
        text = f"\n{path.read_text()}".replace("\na,", "\nKu\u0308che (2) #1+,").replace("\nb,", "\nдва фильма,")
        path.write_text(text.lstrip())
    assert not [each for each in findings(run()) if each.startswith("ERROR")]
    assert {video for video, *_ in imported()} == {"Küche (2) #1+", "два фильма"}


def test_all_films_with_names_that_cannot_be_are_no_empty_folder() -> None:
    bring("15-excluded-by-another-name")
    Path("films/a.mp4").rename("films/a,1.mp4")
    Path("films/b.mp4").unlink()
    printed = run(status=2)
    assert "ERROR film-name (1)" in printed
    assert "videos-missing" not in printed


def test_commands_are_about_the_data_set_that_was_asked_for() -> None:
    bring("15-excluded-by-another-name")
    printed = run()
    assert "NOTE proposals-not-made" in printed
    assert "dvc exp run -S dataset=x makes them" in printed
    assert "dvc repro" not in printed
