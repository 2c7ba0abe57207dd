import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.boxes.detectors import ChosenDetector
from pipeline.predict.find_persons import FrameDetector, TableOfBoxes, choose_persons, read_boxes
from pipeline.tables.timelines import Timeline
from tests.predict.conftest import FILM, Trained

Train = Callable[[str], Trained]
LINES = {"a": Timeline("val", 0.0, 0.0)}
CSV = "a,1,0.1,0.1,0.5,0.9,,0.8\na,1,0.1,0.1,0.5,0.9,,0.8\nb,1,0.1,0.1,0.5,0.9,,0.8\na,2,0.1,0.1,0.5,0.9,,0.02\n"


def test_a_file_of_boxes_is_read_without_other_films(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(CSV)
    found, problems = read_boxes(path, None, LINES, min_score=0.05)
    assert problems == []
    assert found.times("a").tolist() == [1.0]
    assert found.boxes("a", np.array([1.0]))["score"].to_pylist() == [0.8]
    assert found.times("b").tolist() == []
    (tmp_path / "next").mkdir()
    shutil.copy(path, tmp_path / "next")
    assert read_boxes(tmp_path / "next", None, LINES, min_score=0.05)[0].table == found.table


def test_every_format_of_the_import_is_read(trained: Train) -> None:
    project = trained("bank")
    lines = {FILM: project.timeline}
    pickled, _ = read_boxes(project.proposals / "proposals_val.pkl", None, lines, min_score=0.05)
    plain, _ = read_boxes(project.source / "proposals_csv", None, lines, min_score=0.05)
    assert pickled.table.drop(["source"]) == plain.table.drop(["source"])
    both, _ = read_boxes(project.proposals, project.objects / "objects_val.csv", lines, min_score=0.05)
    assert both.table["label"].null_count == len(pickled.table)
    assert len(both.table) > len(pickled.table)
    assert len(both.times(FILM)) == len(pickled.times(FILM))


def test_what_is_refused_names_the_users_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    with pytest.raises(InputError) as error:
        read_boxes(path, None, LINES, min_score=0.05)
    assert str(error.value) == f"{path}: no such file or folder of boxes"
    path.write_text(CSV.replace("a,", "c,"))
    with pytest.raises(InputError) as error:
        read_boxes(path, None, LINES, min_score=0.05)
    assert str(error.value).startswith(f"{path}: no row is a box of a film that is given: mine.csv: video 'b'")
    path.write_text("hello\n")
    with pytest.raises(InputError) as error:
        read_boxes(path, None, LINES, min_score=0.05)
    assert str(error.value).startswith(f"{path}")
    assert "/boxes" not in str(error.value).replace(str(path), "")


def test_detectors_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    motion = choose_persons("motion", min_score=0.05, device="cpu", batch=8)
    assert isinstance(motion, FrameDetector)
    assert (motion.name, motion.loaded) == ("motion", [])
    with pytest.raises(InputError) as error:
        choose_persons("yolo", min_score=0.05, device="cpu", batch=8)
    assert str(error.value) == (
        "--detector yolo: expected fasterrcnn, motion or a file of weights (.safetensors, .pth)"
    )
    with pytest.raises(InputError) as error:
        choose_persons("gone.safetensors", min_score=0.05, device="cpu", batch=8)
    assert str(error.value) == "--detector gone.safetensors: no such file"
    # Imported here and not above: it takes a second, and each worker reads all files of tests.
    from pipeline.boxes import fasterrcnn

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def download(url: str, *_, **__) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(InputError) as error:
        choose_persons("fasterrcnn", min_score=0.05, device="cpu", batch=8)
    assert str(error.value) == (
        f"--detector fasterrcnn: cannot download {fasterrcnn.PUBLISHED.url} (no network); without a network fetch that "
        "file and give its path as --detector, give boxes of your own as --boxes, or take --detector motion, which "
        "needs no weights"
    )


def test_a_table_knows_the_times_of_persons_alone(trained: Train) -> None:
    project = trained("bank")
    found, _ = read_boxes(project.proposals, project.objects, {FILM: project.timeline}, min_score=0.05)
    objects = TableOfBoxes(found.table.filter(found.table["label"].is_valid()), "objects")
    assert objects.times(FILM).tolist() == []
    assert len(objects.boxes(FILM, found.times(FILM))) > 0


def test_boxes_of_another_film_alone_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("other,5,0.1,0.1,0.3,0.5,,0.9\n")
    lines = {name: Timeline("val", 0.0, 0.0) for name in "dbca"}
    with pytest.raises(InputError) as error:
        read_boxes(tmp_path / "b.csv", None, lines, min_score=0.05)
    assert str(error.value) == (
        f"{tmp_path}/b.csv: no row is a box of a film that is given: b.csv: video 'other': found 1 row of "
        "another film, expected 'a', 'b', 'c' ..."
    )


def test_many_rows_of_another_film_are_counted(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("other,5,0.1,0.1,0.3,0.5,,0.9\nother,6,0.1,0.1,0.3,0.5,,0.9\n")
    with pytest.raises(InputError, match=r"b\.csv: video 'other': found 2 rows of another film, expected 'a'$"):
        read_boxes(tmp_path / "b.csv", None, {"a": Timeline("val", 0.0, 0.0)}, min_score=0.05)


def test_a_camera_sees_each_frame_alone() -> None:
    calls: list[int] = []

    def detect(frames):
        found = [np.array([[0.1, 0.1, 0.5, 0.5, 0.9, -1]]) for _ in frames]
        calls.append(len(found))
        return found

    chosen = ChosenDetector({}, lambda: detect)
    for name, expected in (("fasterrcnn", [1, 1, 1]), ("motion", [3])):
        calls.clear()
        detector = FrameDetector(chosen, name, 0.05, 2, []).one_by_one()._detector()
        assert len(detector(np.zeros((3, 8, 8, 3), np.uint8))) == 3
        assert calls == expected
