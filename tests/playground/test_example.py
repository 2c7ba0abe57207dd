"""The folder of `actionbank make-example`: read as any CVAT export is, its boxes where the figures are drawn."""

from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.files import digest_tree
from pipeline.boxes.motion import detect_motion
from pipeline.playground.example import ACTIONS, FILMS, Example, make_example
from pipeline.tables.iou import box_iou
from pipeline.tables.schemas import BOX_COLUMNS

SECONDS = 20
TWO = (Example("slow", 15), Example("fast", 30))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("example")
    make_example(folder, TWO, seconds=SECONDS)
    (folder / "annotations/videos.csv").write_text("video_id,fps\nslow,15\nfast,30\n")
    return folder


def test_the_films_have_four_frame_rates() -> None:
    assert [film.fps for film in FILMS] == [15, 24, 25, 30]


def test_it_is_made_alike_every_time(folder: Path, tmp_path: Path) -> None:
    make_example(tmp_path, TWO[:1], seconds=SECONDS)
    for name in ("videos/slow.mp4", "annotations/slow.xml"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert digest_tree(tmp_path)


def test_every_second_of_every_figure_is_read(folder: Path) -> None:
    found = import_source(folder / "annotations", SourceOptions(classes=len(ACTIONS)))
    assert found.problems == []
    assert [label.name for label in found.labels] == list(ACTIONS)
    assert found.keyframes.num_rows == SECONDS * len(TWO)
    rows = found.annotations.to_pylist()
    persons = {
        each["video_id"]: {row["person_id"] for row in rows if row["video_id"] == each["video_id"]} for each in rows
    }
    assert len(rows) == SECONDS * sum(map(len, persons.values()))


@pytest.mark.parametrize("film", TWO)
def test_the_detector_without_weights_finds_the_annotated_figures(folder: Path, film: Example) -> None:
    with av.open(str(folder / "videos" / f"{film.name}.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == SECONDS * film.fps
    keyframes = [frames[int((second + 0.5) * film.fps)] for second in range(SECONDS)]
    found = import_source(folder / "annotations", SourceOptions(classes=len(ACTIONS))).annotations.to_pylist()
    covered = 0
    truth = [row for row in found if row["video_id"] == film.name]
    for second, boxes in enumerate(detect_motion(keyframes)):
        mine = [[row[name] for name in BOX_COLUMNS] for row in truth if row["timestamp"] == second]
        if len(boxes):
            covered += int((box_iou(np.array(mine), boxes[:, :4]).max(axis=1) >= 0.5).sum())
    assert covered >= 0.75 * len(truth)
