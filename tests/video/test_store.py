import json
import multiprocessing
import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.base.checksums import REMEDY
from pipeline.base.errors import InputError
from pipeline.base.files import digest_file, write_bytes
from pipeline.video.manifest import write_manifest
from pipeline.video.store import BATCH_ROWS, FRAMES, FrameStore, Row, write_frames

HEIGHT, WIDTH = 16, 24


def picture(number: int) -> NDArray[np.uint8]:
    """A plain colour that says the number, whatever JPEG does to it."""
    colour = [number % 16 * 16 + 8, number // 16 % 16 * 16 + 8, number // 256 * 16 + 8]
    return np.full((HEIGHT, WIDTH, 3), colour, np.uint8)


def numbers_of(clip: NDArray[np.uint8]) -> list[int]:
    red, green, blue = (clip.reshape(len(clip), -1, 3).mean(1) // 16).astype(int).T
    return [int(number) for number in red + 16 * green + 256 * blue]


def rows(first_grid: list[int]) -> Iterator[Row]:
    for number, first in enumerate(first_grid):
        yield Row(simplejpeg.encode_jpeg(picture(number), 95), number / 25, first)


def add_video(folder: Path, video_id: str, first_grid: list[int], grid_frames: int) -> dict[str, Any]:
    origin = {"source_sha256": video_id * 8, "grid_frames": grid_frames}
    origin |= {"stored_height": HEIGHT, "stored_width": WIDTH}
    count = write_frames(folder / f"{video_id}.arrow", rows(first_grid), lambda: origin)
    return {**origin, "rows": count, "sha256": digest_file(folder / f"{video_id}.arrow")}


@pytest.fixture
def store(tmp_path: Path) -> FrameStore:
    videos = {
        "a": add_video(tmp_path, "a", list(range(0, 1200, 2)), 1200),
        "b": add_video(tmp_path, "b", [0, 1, 5], 7),
    }
    write_manifest(tmp_path, videos, fps=15.0, short_side=None, quality=95)
    return FrameStore(tmp_path)


def test_pages_of_what_was_left_are_given_back(store: FrameStore) -> None:
    """A batch stays mapped while clips are read from it, and the frames of one that was left can be read again."""
    store.read_clip("a", [0])
    given: list[int] = []
    file = store._opened["a"].file
    give_back = type(file).give_back

    def note(self: Any, jpegs: NDArray[np.uint8]) -> None:
        given.append(next(place for place, each in enumerate(store._opened["a"].jpegs) if each is jpegs))
        give_back(self, jpegs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(file), "give_back", note)
        for grid, expected in ((2, []), (2 * BATCH_ROWS - 2, []), (2 * BATCH_ROWS, [0]), (4 * BATCH_ROWS, [0, 1])):
            assert numbers_of(store.read_clip("a", [grid])) == [grid // 2]
            assert given == expected
        both = [2 * BATCH_ROWS - 2, 2 * BATCH_ROWS]
        assert numbers_of(store.read_clip("a", both)) == [grid // 2 for grid in both]
    assert given == [0, 1, 2]


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="the system does not tell what is resident")
def test_a_film_read_to_its_end_does_not_stay_in_memory(tmp_path: Path) -> None:
    """The map of a file of three batches of noise has the pages of the last one alone."""
    noise = np.random.default_rng(0).integers(0, 255, (32, 48, 3), np.uint8)
    jpeg = simplejpeg.encode_jpeg(noise, 95)
    count = 3 * BATCH_ROWS
    origin = {"source_sha256": "", "grid_frames": count, "stored_height": 32, "stored_width": 48}
    write_frames(tmp_path / "a.arrow", (Row(jpeg, place / 25, place) for place in range(count)), lambda: origin)
    record = {**origin, "rows": count, "sha256": digest_file(tmp_path / "a.arrow")}
    write_manifest(tmp_path, {"a": record}, fps=25.0, short_side=None, quality=95)
    store = FrameStore(tmp_path)
    for grid in range(count):
        store.read_clip("a", [grid])
    _, told = Path("/proc/self/smaps").read_text().split(f"{tmp_path}/a.arrow\n")
    resident = next(line for line in told.splitlines() if line.startswith("Rss:"))
    assert int(resident.split()[1]) * 1024 < 1.3 * BATCH_ROWS * len(jpeg)


def test_what_the_manifest_says(store: FrameStore, tmp_path: Path) -> None:
    assert store.fps == 15
    assert store.video_ids == ["a", "b"]
    assert (store.grid_frames("a"), store.grid_frames("b")) == (1200, 7)
    assert store.size("a") == (HEIGHT, WIDTH)
    assert store.digest("b") == digest_file(tmp_path / "b.arrow")


def test_a_clip_shows_what_the_grid_shows(store: FrameStore) -> None:
    assert numbers_of(store.read_clip("b", range(7))) == [0, 1, 1, 1, 1, 2, 2]
    assert numbers_of(store.read_clip("a", [0, 1, 2, 1199, 511, 512, 513, 3])) == [0, 0, 1, 599, 255, 256, 256, 1]
    clip = store.read_clip("a", np.array([7, 6, 6, 0]))
    assert clip.shape == (4, HEIGHT, WIDTH, 3)
    assert clip.dtype == np.uint8
    assert numbers_of(clip) == [3, 3, 3, 0]


@settings(deadline=None, max_examples=25)
@given(
    steps=st.lists(st.integers(1, 5), min_size=0, max_size=700) | st.integers(500, 800).map(lambda n: [1] * n),
    more=st.integers(1, 9),
    wanted=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=12),
)
def test_any_store_reads_back(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], more: int, wanted: list[float]
) -> None:
    folder = tmp_path_factory.mktemp("store")
    first_grid = np.cumsum([0, *steps]).tolist()
    total = first_grid[-1] + more
    entry = add_video(folder, "v", first_grid, total)
    assert entry["rows"] == len(first_grid)
    write_manifest(folder, {"v": entry}, fps=30.0)
    indices = [int(share * total) for share in wanted]
    expected = [max(row for row, first in enumerate(first_grid) if first <= index) for index in indices]
    assert numbers_of(FrameStore(folder).read_clip("v", indices)) == expected


@pytest.mark.parametrize("count", [1, 255, 256, 257, 511, 512, 513, 768, 769])
def test_batches_have_256_rows_and_the_last_says_where_they_come_from(tmp_path: Path, count: int) -> None:
    origin = {"grid_frames": count, "source_sha256": "f0"}
    path = tmp_path / "v.arrow"
    assert write_frames(path, rows(list(range(count))), lambda: origin) == count
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    assert reader.schema.equals(FRAMES)
    parts = [reader.get_batch_with_custom_metadata(number) for number in range(reader.num_record_batches)]
    sizes = [part.batch.num_rows for part in parts]
    assert sizes[:-1] == [BATCH_ROWS] * (len(sizes) - 1)
    assert 0 < sizes[-1] <= BATCH_ROWS
    assert sum(sizes) == count
    assert json.loads(parts[-1].custom_metadata[b"actionbank.provenance"]) == origin
    assert [part.batch["first_grid"].to_pylist() for part in parts] == [
        list(range(start, min(start + BATCH_ROWS, count))) for start in range(0, count, BATCH_ROWS)
    ]
    assert parts[0].batch["pts_seconds"].to_pylist()[:2] == [0, 1 / 25][:count]


@pytest.mark.parametrize("count", [3, 257, 513])
def test_frames_behind_the_end_of_the_grid_are_dropped(tmp_path: Path, count: int) -> None:
    origin = {"grid_frames": count - 2}
    assert write_frames(tmp_path / "v.arrow", rows(list(range(count))), lambda: origin) == count - 2


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    digests = {add_video(tmp_path, "v", list(range(600)), 600)["sha256"] for _ in range(5)}
    assert len(digests) == 1


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[Row]:
        yield from rows(list(range(300)))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_frames(tmp_path / "v.arrow", broken(), dict)
    assert list(tmp_path.iterdir()) == []


def _read(store: FrameStore) -> list[int]:
    return numbers_of(store.read_clip("a", [100, 200, 300]))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_can_read(store: FrameStore, method: str) -> None:
    assert _read(store) == [50, 100, 150]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_read, [store] * 3) == [[50, 100, 150]] * 3


def test_it_is_pickled_by_its_path(store: FrameStore) -> None:
    _read(store)
    copied = pickle.dumps(store)
    assert len(copied) < 300
    assert _read(pickle.loads(copied)) == [50, 100, 150]


def test_few_files_stay_open(store: FrameStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.video.store.MAPPED_VIDEOS", 1)
    for _ in range(2):
        assert numbers_of(store.read_clip("a", [4])) == [2]
        assert numbers_of(store.read_clip("b", [6])) == [2]
        assert len(store._opened) == 1


@pytest.mark.parametrize("indices", [[-1], [0, 7], [], [[0]]])
def test_indices_outside_the_grid(store: FrameStore, indices: list[int]) -> None:
    with pytest.raises(IndexError) as error:
        store.read_clip("b", indices)
    assert str(error.value) == f"b: grid indices {indices}, expected some in [0, 7)"


def describe_anew(store: FrameStore) -> None:
    """The manifest again, with the sizes that the files have now."""
    manifest = json.loads((store.folder / "manifest.json").read_text())
    write_manifest(store.folder, manifest["videos"], fps=15.0)


def fails(store: FrameStore, message: str, video_id: str = "a") -> None:
    with pytest.raises(InputError) as error:
        FrameStore(store.folder).read_clip(video_id, [0, 1000 if video_id == "a" else 1])
    assert str(error.value) == message


def test_an_unknown_video(store: FrameStore) -> None:
    fails(
        store,
        f"{store.folder}: no frames of video 'c' among 2 videos; see problems.json there, or run extract_frames",
        "c",
    )


def test_a_missing_file(store: FrameStore) -> None:
    path = store.folder / "a.arrow"
    path.unlink()
    fails(store, f"{path}: no such file; run extract_frames")


@pytest.mark.parametrize("kept", [0, 5, 1000, -1])
def test_a_truncated_file(store: FrameStore, kept: int) -> None:
    path = store.folder / "a.arrow"
    whole = path.stat().st_size
    path.write_bytes(path.read_bytes()[:kept])
    fails(store, f"{path}: found {path.stat().st_size} bytes, expected {whole}; {REMEDY}")


def test_a_file_overwritten_by_something_of_its_size(store: FrameStore) -> None:
    path = store.folder / "a.arrow"
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(InputError) as error:
        store.read_clip("a", [0])
    assert str(error.value).startswith(f"{path}: no Arrow IPC file (")
    assert str(error.value).endswith(f"); {REMEDY}")
    assert "\n" not in str(error.value)


def test_a_file_of_another_kind(store: FrameStore) -> None:
    path = store.folder / "a.arrow"
    table = pa.table({"x": [1]})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    describe_anew(store)
    fails(store, f"{path}: columns are ['x'], expected ['jpeg', 'pts_seconds', 'first_grid', 'crc32c']")


def test_a_file_of_another_video(store: FrameStore) -> None:
    path = store.folder / "a.arrow"
    path.write_bytes((store.folder / "b.arrow").read_bytes())
    describe_anew(store)
    fails(store, f"{path}: not the frames that manifest.json has of 'a'; {REMEDY}")


def test_a_damaged_picture(store: FrameStore) -> None:
    path = store.folder / "a.arrow"
    data = bytearray(path.read_bytes())
    start = data.find(simplejpeg.encode_jpeg(picture(500), 95))
    data[start : start + 20] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(InputError) as error:
        store.read_clip("a", [0, 1000])
    assert str(error.value).startswith(f"{path}: row 500 of 'a': is damaged: CRC32C is ")
    assert "run `actionbank verify --repair`" in str(error.value)
    assert numbers_of(store.read_clip("a", [0])) == [0]


def test_no_changed_byte_is_used(store: FrameStore) -> None:
    """Whatever is flipped or zeroed, anywhere in the file: the same pictures, or an error."""
    path = store.folder / "b.arrow"
    whole, indices = path.read_bytes(), range(store.grid_frames("b"))
    expected = store.read_clip("b", indices)
    draw = random.Random(0)
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        # The structure at both ends is a small part of the file and the more dangerous one.
        at = draw.choice([draw.randrange(len(data)), draw.randrange(1000), len(data) - 1 - draw.randrange(1000)])
        if draw.random() < 0.7:
            data[at] ^= 1 << draw.randrange(8)
        else:
            data[at : at + 8] = bytes(len(data[at : at + 8]))
        write_bytes(path, bytes(data))
        try:
            assert np.array_equal(FrameStore(store.folder).read_clip("b", indices), expected), at
        except InputError:
            refused += 1
    assert refused > 200


def test_a_picture_of_another_size(store: FrameStore) -> None:
    origin = {"grid_frames": 2, "stored_height": HEIGHT, "stored_width": WIDTH + 8}
    write_frames(store.folder / "a.arrow", rows([0, 1]), lambda: origin)
    write_manifest(store.folder, {"a": {**origin, "rows": 2}}, fps=15.0)
    with pytest.raises(InputError) as error:
        FrameStore(store.folder).read_clip("a", [0])
    assert str(error.value) == f"{store.folder / 'a.arrow'}: row 0 of 'a': frame of (16, 24), expected (16, 32)"
