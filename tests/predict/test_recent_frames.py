from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from pipeline.features.requests import film_seconds
from pipeline.predict.camera import Taken
from pipeline.predict.recent_frames import ALWAYS, Due, FrameTap, live_times, reach
from pipeline.video.clip_indices import clip_indices
from pipeline.video.clip_input import ClipInput
from pipeline.video.extract import FrameSettings, extract_video
from pipeline.video.items import VideoItem, assemble_videos
from pipeline.video.manifest import write_manifest
from pipeline.video.store import FrameStore, Row
from tests.predict.streams import frames_of, picture_of
from tests.video.films import write_film

SETTINGS = FrameSettings(fps=15.0, short_side=32, quality=90)


def clip_of(frames: int, interval: int, offset: int = 0) -> ClipInput:
    return ClipInput(
        frames=frames, interval=interval, short_side=32, offset_frames=offset, mean=(0, 0, 0), std=(1, 1, 1)
    )


def run(frames: list[Taken], clip: ClipInput, every: float = 1.0) -> tuple[list[Due], list[Row], FrameTap]:
    tap = FrameTap("a", SETTINGS, [clip], live_times(every, with_seconds=False))
    due, rows = [], []
    for row, some in tap.due((frame.seconds, frame) for frame in frames):
        rows += [] if row is None else [row]
        due += some
    return due, rows, tap


@pytest.mark.parametrize("clip", [clip_of(4, 2), clip_of(5, 3), clip_of(8, 4), clip_of(1, 1), clip_of(4, 2, 3)])
@pytest.mark.parametrize("frames", [1, 20, 88])
def test_every_time_has_the_frames_that_a_frame_store_has(tmp_path: Path, clip: ClipInput, frames: int) -> None:
    film = write_film(tmp_path / "f.mp4", frames=frames, rate=25)
    item = tmp_path / "item"
    item.mkdir()
    extract_video(film, item, SETTINGS, "0" * 64)
    store = store_of(item, tmp_path / "store", film)
    due, rows, _ = run(frames_of(film), clip)
    length = store.duration_seconds("a")
    assert [each.seconds for each in due] == film_seconds(0.0, 0.0, length).tolist()
    for each in due:
        indices = clip_indices(
            each.seconds, fps=15.0, frames=clip.frames, interval=clip.interval,
            total=store.grid_frames("a"), offset_frames=clip.offset_frames,
        )  # fmt: skip
        here = clip_indices(
            each.seconds, fps=15.0, frames=clip.frames, interval=clip.interval,
            total=each.frames.grid_frames("a"), offset_frames=clip.offset_frames,
        )  # fmt: skip
        assert np.array_equal(indices, here)
        assert np.array_equal(each.frames.read_clip("a", here), store.read_clip("a", indices))
    stored = store._open("a")
    assert [row.first_grid for row in rows] == stored.first_grid.tolist()


def store_of(item: Path, folder: Path, film: Path):
    folder.mkdir()
    records, _ = assemble_videos({"a": VideoItem(item, "0" * 64, True)}, {"a": film}, root=film.parent, folder=folder)
    write_manifest(folder, records, **asdict(SETTINGS), pack=None)
    return FrameStore(folder)


def endless(count: int) -> list[Taken]:
    picture = picture_of(np.zeros((32, 48, 3), np.uint8))
    return [Taken(number / 30, 1 / 30, picture) for number in range(count)]


def test_a_time_is_due_as_soon_as_its_last_frame_is_there() -> None:
    tap = FrameTap("a", SETTINGS, [clip_of(4, 2)], live_times(1.0, with_seconds=False))
    found = tap.due((0.0, each) for each in endless(120))
    at = [(round(15 * row.pts_seconds), due.seconds) for row, some in found if row is not None for due in some]
    # Frame 15 of the grid shows 1.0 s; the clip's last frame is 2 grid frames, or 0.13 s, later.
    assert at[:3] == [(2, 0.0), (17, 1.0), (32, 2.0)]


def test_memory_does_not_grow() -> None:
    due, _, tap = run(endless(3000), clip_of(8, 4))
    assert len(due) == 100
    assert len(tap._rows) < 60
    assert all(len(each.frames._rows) < 60 for each in due)


def test_a_time_knows_when_its_frame_came() -> None:
    tap = FrameTap("a", SETTINGS, [clip_of(4, 2)], live_times(1.0, with_seconds=False))
    due = [each for _, some in tap.due((1000 + frame.seconds, frame) for frame in endless(100)) for each in some]
    assert [each.arrived for each in due] == pytest.approx([1000, 1001, 1002, 1003], abs=0.04)


def test_while_the_film_goes_on_it_has_no_end() -> None:
    due, _, _ = run(endless(45), clip_of(4, 2))
    assert [each.frames.duration_seconds("a") for each in due] == [ALWAYS, ALWAYS]
    assert due[0].frames.video_ids == ["a"]
    with pytest.raises(IndexError, match=r"^a: grid indices \[0\], kept are those from \[\d+\] on$"):
        due[1].frames.read_clip("a", [0])
    assert run([], clip_of(4, 2))[0] == []


def test_a_pause_makes_all_times_in_it_due() -> None:
    picture = picture_of(np.zeros((32, 48, 3), np.uint8))
    frames = [Taken(0.0, 0.1, picture), Taken(0.1, 0.1, picture), Taken(5.0, 0.1, picture), Taken(5.1, 0.1, picture)]
    assert [each.seconds for each in run(frames, clip_of(4, 2))[0]] == [0, 1, 2, 3, 4, 5]


def test_the_times_of_a_camera() -> None:
    def first(count: int, every: float, with_seconds: bool) -> list[tuple[float, bool]]:
        return list(islice(live_times(every, with_seconds=with_seconds), count))

    assert first(3, 1.0, True) == [(0, True), (1, True), (2, True)]
    assert first(3, 0.4, False) == [(0, True), (0.4, True), (0.8, True)]
    assert first(5, 0.4, True) == [(0, True), (0.4, True), (0.8, True), (1, False), (1.2, True)]
    assert first(5, 2.0, True) == [(0, True), (1, False), (2, True), (3, False), (4, True)]
    assert first(5, 2.5, True) == [(0, True), (1, False), (2, False), (2.5, True), (3, False)]


def test_how_far_a_clip_reaches() -> None:
    assert reach(clip_of(4, 2)) == (4, 2)
    assert reach(clip_of(5, 3)) == (6, 6)
    assert reach(clip_of(1, 1)) == (0, 0)
    assert reach(clip_of(4, 2, 3)) == (1, 5)
