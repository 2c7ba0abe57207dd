from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.base.errors import InputError
from pipeline.tables.schemas import ANNOTATIONS, KEYFRAMES
from pipeline.tables.split_tables import KnownFilms, Tables, split_keyframes
from pipeline.video.clip_indices import clip_indices
from pipeline.video.extract import FrameSettings
from pipeline.video.store import FrameStore
from tests.video.films import number_of, write_film
from tests.video.test_extract import extract


def tables(**times: list[float]) -> Tables:
    """Annotated keyframes of films at these times; timestamps are counted from 900."""
    keys = [(video, 900 + at, at) for video, each in times.items() for at in each]
    boxes = [(*key, 0.1, 0.1, 0.5, 0.9, 1, None) for key in keys]
    named = [(*key, "train", "annotated") for key in keys]
    annotations, keyframes = (
        pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)
        for schema, rows in ((ANNOTATIONS, boxes), (KEYFRAMES, named))
    )
    return Tables(annotations, keyframes, [], None)


@pytest.fixture
def store(tmp_path: Path) -> FrameStore:
    """Film v of 60 frames at 25 per second, 2.4 s."""
    extract(write_film(tmp_path / "f.mp4"), tmp_path / "out", FrameSettings(25.0, None, 90))
    return FrameStore(tmp_path / "out")


def test_keyframes_near_the_ends_of_a_film_repeat_its_first_and_last_frame(store: FrameStore) -> None:
    found = split_keyframes(
        tables(v=[0.0, 2.36, 2.39]),
        "train",
        classes=2,
        films=KnownFilms(store.video_ids, duration_seconds=store.duration_seconds),
    )
    assert found.time_seconds.tolist() == [0.0, 2.36, 2.39]
    clips = []
    for time in found.time_seconds:
        indices = clip_indices(time, fps=store.fps, frames=4, interval=8, total=store.grid_frames("v"))
        clips.append([number_of(frame) for frame in store.read_clip("v", indices)])
    assert clips == [[0, 0, 0, 8], [43, 51, 59, 59], [44, 52, 59, 59]]


def test_keyframes_beyond_the_end_of_a_film_are_left_out_and_said(
    store: FrameStore, capsys: pytest.CaptureFixture[str]
) -> None:
    annotated = tables(v=[1.0, 2.4, 2.0, 7.5], missing=[50.0])
    known = KnownFilms(store.video_ids, duration_seconds=store.duration_seconds)
    found = split_keyframes(annotated, "train", classes=2, films=known)
    assert (found.video_ids, found.timestamp.tolist()) == (["v", "v"], [901.0, 902.0])
    assert found.ground_truth_offsets.tolist() == [0, 1, 2]
    assert capsys.readouterr().err == (
        "keyframes of train: 1 of 2 annotated films are not in the frame store, and their 1 keyframes are left out; "
        "the first: missing\n"
        "2 keyframes of train in 1 films lie beyond the film's end and are left out; the first: v at 902.4, "
        "2.4 s into a film of 2.4 s\n"
    )
    split_keyframes(tables(v=[1.0]), "train", classes=2, films=known)
    assert capsys.readouterr().err == ""
    bank = KnownFilms(store.video_ids, "the bank")
    assert len(split_keyframes(annotated, "train", classes=2, films=bank)) == 4, "it does not say how long they are"


def test_frames_of_other_films_are_refused(store: FrameStore) -> None:
    with pytest.raises(InputError) as error:
        split_keyframes(tables(**{"v.mp4": [1.0], "w": [1.0]}), "train", classes=2, films=KnownFilms(store.video_ids))
    assert str(error.value) == (
        "train: no film of the frame store is an annotated film of train: 'v' in the frame store, 'v.mp4' in the "
        "annotations (is v v.mp4?)"
    )
    assert len(split_keyframes(tables(), "train", classes=2, films=KnownFilms(store.video_ids))) == 0
