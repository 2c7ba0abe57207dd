"""Rows of a film's boxes, with the ids of persons that stand in the table of boxes."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.bank.reader import open_bank
from pipeline.bank.writer import assemble_bank, write_part
from pipeline.features import film_parts
from pipeline.features.requests import FilmBoxes, films_of_split
from pipeline.tables.schemas import ANNOTATIONS, BOXES, KEYFRAMES, TIMELINES, VIDEOS
from pipeline.tables.select_boxes import BoxRule

BOX = {"x1": 0.1, "y1": 0.2, "x2": 0.5, "y2": 0.9, "source": "motion", "label": None}
SETTINGS: dict[str, Any] = {"rule": BoxRule(0.5, full_frame=True), "seconds": "grid"}


def films(**tracks: list[int | None]) -> list[FilmBoxes]:
    """Films of 3 s by their first boxes' tracks; each box is at the next second."""
    boxes = [
        {**BOX, "video_id": film, "timestamp": float(at), "time_seconds": float(at), "score": 0.9, "track_id": track}
        for film, ids in tracks.items()
        for at, track in enumerate(ids)
    ]
    timelines = [{"video_id": film, "split": "train", "first_timestamp": 0, "offset_seconds": 0} for film in tracks]
    blank = {"path": "", "sha256": "", "fps": 4.0, "frames": 12, "grid_frames": 12, "width": 8, "height": 8}
    videos = [{**blank, "video_id": film, "duration_seconds": 3.0} for film in tracks]
    tables = {
        "boxes": pa.Table.from_pylist(boxes, BOXES),
        "timelines": pa.Table.from_pylist(timelines, TIMELINES),
        "videos": pa.Table.from_pylist(videos, VIDEOS),
        "annotations": ANNOTATIONS.empty_table(),
        "keyframes": KEYFRAMES.empty_table(),
    }
    return films_of_split("train", **tables, **SETTINGS)


def ids(film: FilmBoxes) -> list[int] | None:
    return None if film.detected_track is None else film.detected_track.tolist()


def test_films_have_tracks_where_any_box_has() -> None:
    assert [ids(film) for film in films(a=[4, 2, None], b=[None])] == [[4, 2, -1], [-1, -1, -1]]
    assert [ids(film) for film in films(a=[None, None], b=[])] == [None, None]


@pytest.mark.parametrize("tracked", [True, False])
def test_rows_of_a_bank_carry_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracked: bool) -> None:
    monkeypatch.setattr(
        film_parts,
        "run_film",
        lambda forward, store, video, requests, **_: [np.ones((len(r.boxes_xyxy), 2)) for r in requests],
    )
    model: Any = SimpleNamespace(
        detector=SimpleNamespace(roi_channels=2), store=None, clip=None, device=torch.device("cpu"), batch=1
    )
    folders = {}
    for film in films(a=[7 if tracked else None, None], b=[None, 0 if tracked else None]):
        detections, truth = film_parts.film_rows(model, film)
        folders[film.video_id] = tmp_path / film.video_id
        write_part(
            folders[film.video_id], part=film.video_id, detections=detections, ground_truth=truth,
            seconds_seen=film.seconds_seen, attributes={}, dtype="fp16", codec="none",
        )  # fmt: skip
    assemble_bank(tmp_path / "train.zarr", parts=folders, split="train", provenance={})
    bank = open_bank(tmp_path / "train.zarr")
    found = [bank.rows(video, "detections").track_id for video in bank.videos]
    if tracked:
        assert [None if each is None else each.tolist() for each in found] == [[7, -1, -1], [-1, 0, -1]]
    else:
        assert found == [None, None]


def test_clips_of_detected_boxes_are_formed_apart_from_those_with_annotated_ones_alone(monkeypatch) -> None:
    """So no annotation can change a bit of a detected row."""
    asked: list[list[tuple[float, int]]] = []

    def run_film(forward, store, video, requests, **_) -> list[np.ndarray]:
        asked.append([(each.time_seconds, len(each.boxes_xyxy)) for each in requests])
        return [each.time_seconds + np.arange(len(each.boxes_xyxy))[:, None] * np.ones((1, 2)) for each in requests]

    monkeypatch.setattr(film_parts, "run_film", run_film)
    model: Any = SimpleNamespace(
        detector=SimpleNamespace(roi_channels=2), store=None, clip=None, device=torch.device("cpu"), batch=1
    )
    detected, annotated = np.array([900.0, 900.0, 902.0]), np.array([901.0, 902.0])
    film = FilmBoxes(
        "a", -800.0, 200.0, np.unique(detected), detected, np.zeros((3, 4)), np.ones(3), annotated, np.zeros((2, 4))
    )
    found, truth = film_parts.film_rows(model, film)
    assert asked == [[(100.0, 2), (102.0, 2)], [(101.0, 1)]]
    assert found.features[:, 0].tolist() == [100, 101, 102]
    assert truth is not None
    assert truth.features[:, 0].tolist() == [101, 103], "after the detected boxes of its second"
