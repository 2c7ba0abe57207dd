"""detect_boxes on small frame stores; Faster R-CNN with random weights, since tests have no network."""

import json
import sys
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import simplejpeg
import torch

from pipeline.base.command import run
from pipeline.base.errors import InputError
from pipeline.base.files import digest_file, digest_tree
from pipeline.boxes import detecting
from pipeline.tables.schemas import BOXES, KEYFRAMES, TIMELINES, VIDEOS, read_table, write_table
from pipeline.video.manifest import write_manifest
from pipeline.video.store import Row, write_frames
from stages.detect_boxes import app, detect_boxes
from stages.import_boxes import import_boxes
from tests.stages.projects import write_params

DATA = Path("data/small")
OUT = DATA / "detected_boxes"
FPS = 4
FILMS = {"a": 3, "b": 2}
SIZE = (60, 80)


def picture(second: float) -> np.ndarray:
    """A person who walks, as a block of red on grey."""
    frame = np.full((*SIZE, 3), 120, np.uint8)
    left = 10 + round(12 * second)
    frame[20:50, left : left + 12] = (220, 40, 30)
    return frame


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("ACTIONBANK_PARAMS", raising=False)
    configure(tmp_path)
    write_tables({video_id: float(seconds) for video_id, seconds in FILMS.items()})
    write_frames_of(dict.fromkeys(FILMS, picture))
    return tmp_path


def configure(project: Path, **boxes: Any) -> None:
    write_params(
        project, dataset={"name": "small"}, boxes={"detector": "motion", "source": str(OUT), "tracks": "iou", **boxes}
    )


def write_tables(durations: dict[str, float]) -> None:
    timelines = [
        {"video_id": each, "split": "train", "first_timestamp": 900.0, "offset_seconds": 0.25}
        for each in (*durations, "gone")
    ]
    keyframes = [
        {"video_id": "a", "timestamp": stamp, "time_seconds": stamp - 899.75, "split": "train", "status": "annotated"}
        for stamp in (901.0, 901.5, 990.0)
    ]
    write_table(pa.Table.from_pylist(timelines, TIMELINES), DATA / "annotations/timelines.parquet", TIMELINES)
    write_table(pa.Table.from_pylist(keyframes, KEYFRAMES), DATA / "annotations/keyframes.parquet", KEYFRAMES)
    blank = {"path": "x", "sha256": "0", "fps": 4.0, "frames": 1, "grid_frames": 1, "width": 80, "height": 60}
    rows = [{**blank, "video_id": each, "duration_seconds": length} for each, length in durations.items()]
    write_table(pa.Table.from_pylist(rows, VIDEOS), DATA / "frames/videos.parquet", VIDEOS)


def write_frames_of(pictures: dict[str, Callable[[float], np.ndarray]]) -> None:
    videos = {}
    for video_id, draw in pictures.items():
        total = FILMS[video_id] * FPS
        path = DATA / "frames" / f"{video_id}.arrow"
        record = {"grid_frames": total, "stored_height": SIZE[0], "stored_width": SIZE[1]}
        rows = [
            Row(simplejpeg.encode_jpeg(draw(number / FPS), 95, colorspace="RGB"), number / FPS, number)
            for number in range(total)
        ]
        write_frames(path, rows, lambda record=record: record)  # type: ignore[misc]
        videos[video_id] = {**record, "rows": total, "sha256": digest_file(path)}
    write_manifest(DATA / "frames", videos, fps=float(FPS), short_side=None, quality=95)


def rows() -> list[list[str]]:
    return [line.split(",") for line in (OUT / "boxes.csv").read_text().splitlines()]


def test_motion_looks_at_every_second_and_at_keyframes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    detect_boxes("motion", workers=2)
    assert [(row[0], row[1]) for row in rows()] == [
        ("a", "900"), ("a", "901"), ("a", "901.5"), ("a", "902"), ("b", "900"), ("b", "901")
    ]  # fmt: skip
    assert capsys.readouterr().out == (f"{OUT}: 6 boxes by motion in 6 keyframes of 2 films\n")
    for row in rows():
        left = 10 + 12 * (float(row[1]) - 899.75)
        assert [float(value) for value in row[2:6]] == pytest.approx(
            [left / 80, 20 / 60, (left + 12) / 80, 50 / 60], abs=0.03
        )
    import_boxes()
    table = read_table(DATA / "boxes/boxes.parquet", BOXES)
    assert table["source"].to_pylist() == ["motion"] * 6
    assert table["time_seconds"].to_pylist() == [0.25, 1.25, 1.75, 2.25, 0.25, 1.25]
    assert table["track_id"].null_count == 0
    printed = capsys.readouterr().out
    assert "train: 6 boxes in 2 of 3 videos; 1 of 3 annotated keyframes without a box\n" in printed


def test_frames_of_other_films_than_the_annotations_name_are_refused(project: Path) -> None:
    """An out of no films would say nothing until a training finds no person."""
    write_tables({"A": 3.0})
    timelines = [{"video_id": "a", "split": "train", "first_timestamp": 900.0, "offset_seconds": 0.0}]
    write_table(pa.Table.from_pylist(timelines, TIMELINES), DATA / "annotations/timelines.parquet", TIMELINES)
    with pytest.raises(InputError) as error:
        detect_boxes("motion", workers=1)
    assert str(error.value) == (
        "no film that the annotations name has frames: 'A' in the frames, 'a' in the annotations (is A a?), expected "
        "one name of a film in both"
    )
    assert not OUT.exists()


def test_the_same_frames_give_the_same_bytes_and_finished_films_are_taken_from_work(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect_boxes("motion", workers=1)
    first = digest_tree(OUT)
    write_frames_of({"a": picture, "b": lambda second: picture(second / 2)})
    made: list[str] = []
    write = detecting._write

    def noted(path: Path, film: detecting.SearchedFilm, *rest: Any) -> None:
        made.append(film.video_id)
        write(path, film, *rest)

    monkeypatch.setattr(detecting, "_write", noted)
    detect_boxes("motion", workers=1)
    assert made == ["b"]
    assert digest_tree(OUT) != first
    write_frames_of(dict.fromkeys(FILMS, picture))
    detect_boxes("motion", workers=1)
    assert (made, digest_tree(OUT)) == (["b"], first)


def test_damaged_frames_say_nothing_of_their_film(project: Path) -> None:
    whole = (DATA / "frames/a.arrow").read_bytes()
    (DATA / "frames/a.arrow").write_bytes(b"short")
    message = (
        r"^1 of 2 films failed, the others are kept in \.work; data/small/frames/a\.arrow: found 5 bytes, expected "
    )
    with pytest.raises(InputError, match=message):
        detect_boxes("motion", workers=1)
    assert not OUT.exists()
    (DATA / "frames/a.arrow").write_bytes(whole)
    detect_boxes("motion", workers=1)
    assert {row[0] for row in rows()} == {"a", "b"}
    assert json.loads((OUT / "summary.json").read_text()) == {
        "detector": "motion", "films": 2, "keyframes": 6, "boxes": 6
    }  # fmt: skip


def test_faster_rcnn_runs_with_weights_of_a_local_file(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Here and not above: to import torchvision's models takes a second, and each worker reads all files of tests.
    from torchvision.models.detection import fasterrcnn_resnet50_fpn

    from pipeline.boxes import fasterrcnn

    torch.manual_seed(0)
    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    torch.save(model.state_dict(), project / "local.pth")
    configure(project, weights="local.pth", detector="fasterrcnn")
    # 800 pixels, as published, would take a minute.
    monkeypatch.setattr(
        fasterrcnn, "fasterrcnn_resnet50_fpn",
        lambda **options: type(model)(model.backbone, 91, min_size=64, max_size=96, box_score_thresh=0.01),
    )  # fmt: skip
    detect_boxes("fasterrcnn", workers=1, device="cpu", batch=2)
    assert {(row[0], row[1]) for row in rows()} >= {("a", "901.5"), ("b", "900")}
    assert "by fasterrcnn in 6 keyframes of 2 films" in capsys.readouterr().out
    for row in rows():
        assert len(row) in (2, 8)
        assert all(0 <= float(value) <= 1 for value in row[2:6])


def test_other_weights_are_refused(project: Path) -> None:
    configure(project, weights="absent.pth", detector="fasterrcnn")
    with pytest.raises(InputError, match=r"^boxes\.weights: absent\.pth: no such file$"):
        detect_boxes("fasterrcnn", device="cpu")
    torch.save([1], project / "list.pth")
    configure(project, weights="list.pth", detector="fasterrcnn")
    with pytest.raises(
        InputError, match=r"^boxes\.weights: list\.pth: holds a list, expected a state dict of tensors$"
    ):
        detect_boxes("fasterrcnn", device="cpu")


def test_without_a_network_the_file_and_the_parameter_are_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no route")

    configure(project, detector="fasterrcnn")
    monkeypatch.setenv("TORCH_HOME", str(project / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr(sys, "argv", ["detect_boxes", "fasterrcnn", "--device", "cpu"])
    with pytest.raises(SystemExit) as stopped:
        run(app)
    assert stopped.value.code == 1
    assert capsys.readouterr().err == (
        "error: boxes.detector fasterrcnn: cannot download "
        "https://download.pytorch.org/models/fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth (<urlopen error no route>); "
        "without a network put that file here and set boxes.weights to its path, or take boxes.detector motion, which "
        "needs no weights\n"
    )
