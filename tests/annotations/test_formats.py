import os
from pathlib import Path

import pytest

from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.errors import InputError
from pipeline.base.problems import Problem
from pipeline.boxes.importing import import_boxes
from pipeline.tables.schemas import TIMELINES
from tests.annotations.sources import write_source

ROW = "a,902,0.1,0.2,0.3,0.4,1\n"


def spoil(folder: Path) -> None:
    """A pipe, a link in a circle, and a name in Latin 1; and others that nobody reads."""
    os.mkfifo(folder / "pipe.csv")
    (folder / "circle.json").symlink_to("circle.json")
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.csv")).write_text(ROW)
    os.mkfifo(folder / ".hidden.csv")
    os.mkfifo(folder / "log.xyz")


EXPECTED = {
    "caf\\udce9.csv": ("a name that is no UTF-8 text", "another name; the file is left out"),
    "circle.json": ("a link in a circle", "a file; it is left out"),
    "pipe.csv": ("a pipe", "a file; it is left out"),
}


def test_what_cannot_be_opened_in_a_folder_of_annotations_is_listed_and_the_rest_is_read(tmp_path: Path) -> None:
    source = write_source(tmp_path / "x", train=ROW)
    spoil(source)
    found = import_source(source, SourceOptions(classes=12))
    assert found.annotations.num_rows == 1
    expected = [Problem(name, "file", *fault) for name, fault in EXPECTED.items()]
    assert sorted(found.problems, key=lambda each: each.file) == expected


def test_and_in_a_folder_of_boxes(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("a,902,0.1,0.2,0.3,0.4,,0.9\n")
    spoil(tmp_path)
    timelines = TIMELINES.empty_table().from_pylist(
        [{"video_id": "a", "split": "train", "first_timestamp": 900.0, "offset_seconds": 0.0}], TIMELINES
    )
    found = import_boxes(tmp_path, timelines, min_score=0.0)
    assert found.boxes.num_rows == 1
    expected = [Problem(name, "file", *fault) for name, fault in EXPECTED.items()]
    expected.append(Problem("log.xyz", "file", "a pipe", "a file; it is left out"))
    assert sorted(found.problems, key=lambda each: each.file) == sorted(expected, key=lambda each: each.file)


@pytest.mark.parametrize("name", ["train.csv", "videos.csv", "labelmap.pbtxt", "excluded_train.csv"])
def test_a_pipe_with_the_name_of_a_file_that_must_be_read_is_refused(tmp_path: Path, name: str) -> None:
    source = write_source(tmp_path / "x", train=ROW, val=ROW.replace("a", "b"))
    (source / name).unlink(missing_ok=True)
    os.mkfifo(source / name)
    with pytest.raises(InputError, match=f"{name}: is a pipe, expected a file"):
        import_source(source, SourceOptions(classes=12))


HEADER = "video_id,timestamp,x1,y1,x2,y2,action_id,person_id\n"


def test_clips_with_a_first_row_of_names_count_frames(tmp_path: Path) -> None:
    clip = "sport/v_x_c001.mp4,{},0.1,0.2,0.3,0.4,1\n"
    source = write_source(tmp_path, labels=HEADER + clip.format(1) + clip.format(26))
    found = import_source(source, SourceOptions(classes=12))
    assert found.annotations["time_seconds"].to_pylist() == [0, 1]
