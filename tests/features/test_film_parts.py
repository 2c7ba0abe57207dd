"""Rows of a film's boxes, with the ids of persons that stand in the table of boxes."""

from dataclasses import replace
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
from pipeline.models.backbones.tiny import slowonly_tiny
from pipeline.models.detector import Detector
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.linear import linear
from pipeline.models.settings import RoiSettings
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


def stand_in(**changed: Any) -> Any:
    """What `film_rows` reads of a `FilmModel`, for tests that replace `run_film`."""
    device, detector = torch.device("cpu"), SimpleNamespace(roi_channels=2)
    given = {"detector": detector, "store": None, "clip": None, "device": device, "batch": 1, "workers": 1}
    return SimpleNamespace(**{**given, "keyframes": 8, **changed})


@pytest.mark.parametrize("tracked", [True, False])
def test_rows_of_a_bank_carry_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracked: bool) -> None:
    monkeypatch.setattr(
        film_parts,
        "run_film",
        lambda forward, store, video, requests, **_: [np.ones((len(r.boxes_xyxy), 2)) for r in requests],
    )
    model = stand_in()
    folders = {}
    for film in films(a=[7 if tracked else None, None], b=[None, 0 if tracked else None]):
        folders[film.video_id] = tmp_path / film.video_id
        write_part(
            folders[film.video_id], part=film.video_id, rows=film_parts.film_rows(model, film),
            seconds_seen=film.seconds_seen, attributes={}, dtype="fp16", codec="none",
        )  # fmt: skip
    assemble_bank(tmp_path / "train.zarr", parts=folders, split="train", provenance={})
    bank = open_bank(tmp_path / "train.zarr")
    found = [bank.rows(video, "detections").track_id for video in bank.videos]
    if tracked:
        assert [None if each is None else each.tolist() for each in found] == [[7, -1, -1], [-1, 0, -1]]
    else:
        assert found == [None, None]


def small_film(*, objects: bool, annotated: bool = True) -> FilmBoxes:
    """Persons at 900 and 902, annotated ones at 901 and 902, objects at 900, 901 and 903."""
    detected, truth = np.array([900.0, 900.0, 902.0]), np.array([901.0, 902.0])
    boxes = np.array([[0.1, 0.1, 0.4, 0.9], [0.5, 0.2, 0.9, 0.9], [0.2, 0.1, 0.6, 0.7]])
    things = np.array([[900, 0, 0, 0.2, 0.2, 0.9], [901, 0.5, 0, 0.9, 0.3, 0.8], [903, 0.1, 0.1, 0.3, 0.4, 0.7]])
    return FilmBoxes(
        "a", -800.0, 200.0, np.arange(900.0, 904), detected, boxes, np.ones(3),
        truth if annotated else None, boxes[:2] if annotated else None, objects=things if objects else None,
    )  # fmt: skip


def test_clips_of_detected_boxes_are_formed_apart_from_those_with_annotated_ones_alone(monkeypatch) -> None:
    """So no annotation can change a bit of a detected row."""
    asked: list[list[tuple[float, int]]] = []

    def run_film(forward, store, video, requests, **_) -> list[np.ndarray]:
        asked.append([(each.time_seconds, len(each.boxes_xyxy)) for each in requests])
        return [each.time_seconds + np.arange(len(each.boxes_xyxy))[:, None] * np.ones((1, 2)) for each in requests]

    monkeypatch.setattr(film_parts, "run_film", run_film)
    model = stand_in()
    rows = film_parts.film_rows(model, small_film(objects=True))
    assert asked == [[(100.0, 3), (102.0, 2)], [(101.0, 1)], [(101.0, 1), (103.0, 1)]]
    assert rows.detections.features[:, 0].tolist() == [100, 101, 102]
    assert rows.ground_truth is not None
    assert rows.ground_truth.features[:, 0].tolist() == [101, 103], "after the detected boxes of its second"
    assert rows.objects is not None
    assert rows.objects.features[:, 0].tolist() == [102, 101, 103], "after the persons of its second"
    assert rows.objects.score is not None
    assert rows.objects.score.tolist() == [0.9, 0.8, 0.7]
    asked.clear()
    assert film_parts.film_rows(model, small_film(objects=False)).objects is None
    assert asked == [[(100.0, 2), (102.0, 2)], [(101.0, 1)], []]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A small detector that extends the boxes of persons, on clips that are drawn from their times."""
    torch.manual_seed(1)
    backbone, roi = slowonly_tiny(width=8), RoiSettings(output_size=4, extend_x=0.3)
    head = linear(HeadSettings(roi_channels=backbone.out_channels, bank_channels=0, classes=2))
    detector = Detector(backbone, head, roi=roi).eval()

    def run_film(forward, store, video, requests, **_) -> list[np.ndarray]:
        found = []
        for first in range(0, len(requests), 2):
            group = requests[first : first + 2]
            draws = [torch.Generator().manual_seed(int(each.time_seconds)) for each in group]
            clips = torch.stack([torch.randn(3, 4, 32, 32, generator=draw) for draw in draws])
            counts = [len(each.boxes_xyxy) for each in group]
            boxes = torch.from_numpy(np.concatenate([each.boxes_xyxy for each in group])).float() * 32
            index = torch.repeat_interleave(torch.arange(len(group)), torch.tensor(counts))
            with torch.no_grad():
                rows = forward(range(first, first + len(group)), clips, boxes, index)
            found += np.split(rows.numpy(), np.cumsum(counts)[:-1])
        return found

    monkeypatch.setattr(film_parts, "run_film", run_film)
    return stand_in(detector=detector, settings=SimpleNamespace(compute_dtype="fp32"))


def test_objects_change_no_bit_of_persons_and_annotations_none_of_objects(model: Any) -> None:
    without, all_of_it = (film_parts.film_rows(model, small_film(objects=each)) for each in (False, True))
    assert without.ground_truth is not None
    assert all_of_it.ground_truth is not None
    assert all_of_it.objects is not None
    assert np.array_equal(without.detections.features, all_of_it.detections.features)
    assert np.array_equal(without.ground_truth.features, all_of_it.ground_truth.features)
    unlabelled = film_parts.film_rows(model, small_film(objects=True, annotated=False))
    assert unlabelled.objects is not None
    assert np.array_equal(unlabelled.objects.features, all_of_it.objects.features)
    assert np.unique(all_of_it.objects.features, axis=0).shape == all_of_it.objects.features.shape


def test_boxes_of_objects_are_not_extended(model: Any) -> None:
    """The box of an object gives another row as that of a person, which grows, and the same where none grows."""
    film = small_film(objects=True)
    film = replace(film, objects=np.array([[900, *film.detected_xyxy[0], 0.9]]))
    extended = film_parts.film_rows(model, film)
    model.detector.roi = replace(model.detector.roi, extend_x=0.0)
    plain = film_parts.film_rows(model, film)
    assert extended.objects is not None
    assert plain.objects is not None
    assert not np.array_equal(extended.objects.features[0], extended.detections.features[0])
    assert np.array_equal(plain.objects.features[0], plain.detections.features[0])
    assert np.array_equal(plain.objects.features[0], extended.objects.features[0])


def test_batches_that_are_computed_at_a_time_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A film of 20 seconds with a person each: batches of 8, 8 and 4, by one worker or by three."""
    stamps, boxes = np.arange(20.0), np.tile([0.1, 0.1, 0.4, 0.9], (20, 1))
    film = FilmBoxes("a", 0.0, 20.0, stamps, stamps, boxes, np.ones(20), None, None)
    asked: list[list[float]] = []

    def run_film(forward, store, video, requests, **_) -> list[np.ndarray]:
        parts = [requests[at : at + 8] for at in range(0, len(requests), 8)]
        asked.extend([each.time_seconds for each in part] for part in parts)
        return [np.full((1, 2), each.time_seconds) for each in requests]

    monkeypatch.setattr(film_parts, "run_film", run_film)
    found, batches = [], []
    for workers in (1, 3):
        asked.clear()
        network = stand_in(workers=workers)
        found.append(film_parts.film_rows(network, film).detections.features)
        batches.append(sorted(asked))
    assert found[0].tobytes() == found[1].tobytes()
    assert found[0][:, 0].tolist() == stamps.tolist()
    assert batches[0] == batches[1]
    assert [len(each) for each in batches[0]] == [8, 8, 4]
