from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.base.errors import InputError
from pipeline.base.files import digest_file, read_json
from pipeline.boxes.detecting import (
    SearchedFilm,
    detect_films,
    films_to_detect,
    write_detected,
    write_film,
)
from pipeline.boxes.film_frames import FilmFrames
from pipeline.boxes.folders import NO_OBJECTS, folder_of_objects
from pipeline.boxes.importing import import_boxes
from pipeline.tables.schemas import KEYFRAMES, TIMELINES, VIDEOS, write_table
from pipeline.tables.timelines import Timeline, timelines_table
from pipeline.video.manifest import write_manifest
from pipeline.video.store import FrameStore, write_frames
from tests.video.test_store import HEIGHT, WIDTH, rows


def tables(folder: Path, durations: dict[str, float], named: dict[str, list[float]]) -> tuple[Path, Path]:
    """Folders of annotations (a film begins at timestamp 900, of which the time is 0.25 s) and of frames."""
    timelines = [
        {"video_id": name, "split": "val", "first_timestamp": 900.0, "offset_seconds": 0.25} for name in [*named][::-1]
    ]
    keyframes = [
        {"video_id": name, "timestamp": at, "time_seconds": at - 899.75, "split": "val", "status": "annotated"}
        for name, stamps in named.items()
        for at in stamps
    ]
    blank = {"path": "x", "sha256": "0", "fps": 4.0, "frames": 1, "grid_frames": 1, "width": 80, "height": 60}
    videos = [{**blank, "video_id": name, "duration_seconds": length} for name, length in durations.items()]
    for name, schema, content in (
        ("timelines", TIMELINES, timelines),
        ("keyframes", KEYFRAMES, keyframes),
        ("videos", VIDEOS, videos),
    ):
        write_table(pa.Table.from_pylist(content, schema), folder / f"{name}.parquet", schema)
    return folder, folder


def test_every_second_and_every_keyframe_in_the_film_is_looked_at_once(tmp_path: Path) -> None:
    named = {"a": [901.0, 901.5, 899.0, 950.0], "b": [], "gone": [901.0]}
    films = films_to_detect(*tables(tmp_path, {"b": 1.0, "a": 3.0, "other": 9.0}, named))
    assert [(film.video_id, film.shift_seconds) for film in films] == [("a", -899.75), ("b", -899.75)]
    assert [film.timestamps.tolist() for film in films] == [[900, 901, 901.5, 902], [900]]


def test_frames_of_none_of_the_films_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        films_to_detect(*tables(tmp_path, {"A": 3.0}, {"a": []}))
    assert str(error.value) == (
        "no film that the annotations name has frames: 'A' in the frames, 'a' in the annotations (is A a?), expected "
        "one name of a film in both"
    )


FOUND = np.array(
    [
        [0.5, 0.5, 0.75, 0.75, 0.5],
        [0.1, 0.1, 0.30004, 0.5, 0.9],  # rounded
        [-0.2, 0.5, 0.25, 1.5, 0.5],  # cut to the frame
        [0.2, 0.2, 0.20004, 0.6, 0.7],  # without a width, once rounded
    ]
)


def test_boxes_are_cut_rounded_and_sorted_by_score_and_a_frame_without_one_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))
    record = {"grid_frames": 8, "stored_height": HEIGHT, "stored_width": WIDTH}
    path = tmp_path / "frames/a.arrow"
    count = write_frames(path, rows(list(range(8))), lambda: record)
    videos = {"a": {**record, "rows": count, "sha256": digest_file(path)}}
    write_manifest(tmp_path / "frames", videos, fps=4.0)
    films = [SearchedFilm("a", -900.0, np.array([900, 901.5]))]
    loaded = []

    def load():
        loaded.append(1)

        def detect(frames: FilmFrames) -> list[np.ndarray]:
            return [(FOUND, np.empty((0, 5)))[at] for at, _ in enumerate(frames)]

        return detect

    for _ in range(2):  # the second time from `.work`
        store = FrameStore(tmp_path / "frames")
        items = detect_films(films, store, settings={"code": "1"}, load=load, workers=1, batch=2)
    assert loaded == [1]
    out = tmp_path / "out"
    out.mkdir()
    told = write_detected(out, films, items, detector="motion")
    assert told == "3 boxes by motion in 2 keyframes of 1 film"
    assert (out / "boxes.csv").read_text().splitlines() == [
        "a,900,0.1,0.1,0.3,0.5,,0.9",
        "a,900,0,0.5,0.25,1,,0.5",
        "a,900,0.5,0.5,0.75,0.75,,0.5",
        "a,901.5",
    ]
    assert sorted(path.name for path in out.iterdir()) == ["boxes.csv", "summary.json"]


def test_objects_stand_in_a_file_of_their_own_which_is_imported_with_the_persons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))
    record = {"grid_frames": 8, "stored_height": HEIGHT, "stored_width": WIDTH}
    path = tmp_path / "frames/a.arrow"
    count = write_frames(path, rows(list(range(8))), lambda: record)
    write_manifest(tmp_path / "frames", {"a": {**record, "rows": count, "sha256": digest_file(path)}}, fps=4.0)
    films = [SearchedFilm("a", -900.0, np.array([900, 901]))]
    person, dog, kite = [0.1, 0.1, 0.3, 0.5, 0.9, -1], [0.2, 0.2, 0.4, 0.6, 0.8, 1], [0.5, 0, 0.6, 0.1, 0.95, 2]

    def detect(frames: FilmFrames) -> list[np.ndarray]:
        return [np.array(((person, dog, kite), (dog,))[at]) for at, _ in enumerate(frames)]

    items = detect_films(
        films, FrameStore(tmp_path / "frames"), settings={}, load=lambda: detect, workers=1, batch=2,
        names=("person", "dog", "kite"),
    )  # fmt: skip
    out = tmp_path / "out"
    out.mkdir()
    told = write_detected(out, films, items, detector="fasterrcnn")
    assert told == "1 box and 3 objects by fasterrcnn in 2 keyframes of 1 film"
    assert (out / "boxes.csv").read_text() == "a,900,0.1,0.1,0.3,0.5,,0.9\na,901\n"
    assert (out / "objects/objects.csv").read_text().splitlines() == [
        "video_id,timestamp,x1,y1,x2,y2,label,score",
        "a,900,0.5,0,0.6,0.1,kite,0.95",
        "a,900,0.2,0.2,0.4,0.6,dog,0.8",
        "a,901,0.2,0.2,0.4,0.6,dog,0.8",
    ]
    assert read_json(out / "summary.json") == {
        "detector": "fasterrcnn", "films": 1, "keyframes": 2, "boxes": 1, "objects": 3,
    }  # fmt: skip
    timelines = timelines_table({"a": Timeline("train")})
    found = import_boxes(
        out, timelines, min_score=0.05, detector="fasterrcnn", objects=folder_of_objects(NO_OBJECTS, out)
    )
    assert found.boxes["label"].to_pylist() == ["kite", None, "dog", "dog"]


def test_frames_are_read_when_a_detector_asks_for_them_and_as_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = {"grid_frames": 8, "stored_height": HEIGHT, "stored_width": WIDTH}
    path = tmp_path / "frames/a.arrow"
    count = write_frames(path, rows(list(range(8))), lambda: record)
    write_manifest(tmp_path / "frames", {"a": {**record, "rows": count, "sha256": digest_file(path)}}, fps=4.0)
    store = FrameStore(tmp_path / "frames")
    seen: list[np.ndarray] = []

    def detect(frames: FilmFrames) -> list[np.ndarray]:
        seen.extend([frames[1], *frames, frames[0]])
        return [FOUND] * len(frames)

    folder = tmp_path / "item"
    folder.mkdir()
    write_film(folder, SearchedFilm("a", -900.0, np.array([900, 901.5])), store, detect, batch=2)
    first, second = store.read_clip("a", np.array([0, 6]))
    for frame, expected in zip(seen, [second, first, second, first], strict=True):
        np.testing.assert_array_equal(frame, expected)
