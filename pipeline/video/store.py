"""The frame store: Arrow IPC files with the frames that the grid shows, as JPEG; one per video, or packs of many.

A video has a row per stored frame, in order of time: `jpeg`, `pts_seconds` (presentation time from the start of
the film) and `first_grid` (the first grid index that shows the frame, so that a grid index finds its row by
bisection). Record batches have 256 rows; the last one of a video may have fewer, and its metadata says where the
frames come from. A pack holds the batches of its videos one after the other (`pipeline/video/packs.py`).
`manifest.json` names each video's file and first batch and says where the frames of all come from. Reading maps
files into memory and decodes the JPEGs asked for.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
import pyarrow as pa
import simplejpeg
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.files import atomic_path, json_text
from pipeline.video.manifest import Manifest

FRAMES = pa.schema(
    [
        pa.field("jpeg", pa.binary(), nullable=False),
        pa.field("pts_seconds", pa.float64(), nullable=False),
        pa.field("first_grid", pa.int32(), nullable=False),
    ]
)
BATCH_ROWS = 256
PROVENANCE = b"actionbank.provenance"
VIDEO = b"actionbank.video_id"
# A mapped file holds a file descriptor; a process may have 1024 by default.
MAPPED_VIDEOS = 512


class Row(NamedTuple):
    """A stored frame."""

    jpeg: bytes
    pts_seconds: float
    first_grid: int


def write_frames(path: Path, rows: Iterable[Row], describe: Callable[[], dict[str, Any]]) -> int:
    """Write one video's file atomically; the same rows give the same bytes.

    Args:
        path: the file to be made.
        rows: the frames in order of time.
        describe: called when `rows` is exhausted; returns the provenance, with `grid_frames`, the number of
            frames of the grid. Rows that begin behind it are dropped.

    Returns:
        The number of rows written.
    """
    rows = iter(rows)
    written = 0
    with atomic_path(path) as partial, pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, FRAMES) as writer:
        # The last rows wait until the length of the grid is known, and the last batch for the provenance.
        waiting = list(islice(rows, 2 * BATCH_ROWS))
        while len(waiting) == 2 * BATCH_ROWS:
            writer.write_batch(_batch(waiting[:BATCH_ROWS]))
            written += BATCH_ROWS
            waiting = waiting[BATCH_ROWS:] + list(islice(rows, BATCH_ROWS))
        provenance = describe()
        waiting = [row for row in waiting if row.first_grid < provenance["grid_frames"]]
        metadata = {PROVENANCE: json_text(provenance).encode()}
        written += len(waiting)
        while len(waiting) > BATCH_ROWS:
            writer.write_batch(_batch(waiting[:BATCH_ROWS]))
            waiting = waiting[BATCH_ROWS:]
        writer.write_batch(_batch(waiting), custom_metadata=metadata)
    return written


def _batch(rows: Sequence[Row]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    return pa.record_batch([pa.array(each, field.type) for each, field in zip(columns, FRAMES, strict=True)], FRAMES)


def batch_count(rows: int) -> int:
    """Number of record batches of a video of so many rows."""
    return -(-rows // BATCH_ROWS)


@dataclass(frozen=True, eq=False)
class _File:
    """A mapped file; open while one of its videos is."""

    path: Path
    reader: pa.ipc.RecordBatchFileReader


class _Video(NamedTuple):
    file: _File
    name: str
    size: tuple[int, int]  # height, width
    grid_frames: int
    first_grid: NDArray[np.int32]
    offsets: list[NDArray[np.int32]]  # per record batch
    jpegs: list[memoryview]  # per record batch, in the mapped file


class FrameStore:
    """Reads a folder of frames; files are opened when first asked for.

    It may be forked, read by several threads, and is pickled by its path, so that each worker can hold it.

    Args:
        folder: the store's folder, e.g. `data/ava/frames`.

    Attributes:
        folder: the store's folder.
        fps: grid frames per second.
        video_ids: ids of all videos, sorted.

    Raises:
        InputError: the folder is no frame store.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._manifest = Manifest(self.folder / "manifest.json")
        self.fps = float(self._manifest.settings["fps"])
        self.video_ids = self._manifest.video_ids
        self._opened: OrderedDict[str, _Video] = OrderedDict()
        self._files: WeakValueDictionary[str, _File] = WeakValueDictionary()

    def __reduce__(self) -> tuple[type["FrameStore"], tuple[Path]]:
        return FrameStore, (self.folder,)

    def grid_frames(self, video_id: str) -> int:
        """Number of grid frames of a video; grid indices run from 0 to this, exclusive."""
        return int(self._manifest.entry(video_id)["grid_frames"])

    def duration_seconds(self, video_id: str) -> float:
        """Length of a video: from the first frame displayed to the end of the last one."""
        return float(self._manifest.entry(video_id)["duration_seconds"])

    def size(self, video_id: str) -> tuple[int, int]:
        """(height, width) of a video's stored frames."""
        entry = self._manifest.entry(video_id)
        return int(entry["stored_height"]), int(entry["stored_width"])

    def digest(self, video_id: str) -> str:
        """sha256 (hex) of a video's frames, as the manifest has it: the same frames, the same digest.

        It is that of the file of the video alone, whatever else is in its pack.
        """
        return str(self._manifest.entry(video_id)["sha256"])

    def read_clip(self, video_id: str, grid_indices: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """Frames that the grid shows at the given indices.

        Args:
            video_id: the video.
            grid_indices: T indices in [0, grid_frames), in any order; repeated frames are decoded once.

        Returns:
            RGB uint8 [T, height, width, 3].

        Raises:
            InputError: the video is not in the store, or its file is missing, truncated, damaged or of another store.
            IndexError: an index lies outside the grid.
        """
        indices = np.asarray(grid_indices, np.int64)
        video = self._open(video_id)
        total = video.grid_frames
        if indices.ndim != 1 or not len(indices) or indices.min() < 0 or indices.max() >= total:
            raise IndexError(f"{video_id}: grid indices {indices.tolist()}, expected some in [0, {total})")
        rows = np.searchsorted(video.first_grid, indices, side="right") - 1
        distinct, places = np.unique(rows, return_inverse=True)
        frames = np.empty((len(distinct), *video.size, 3), np.uint8)
        for frame, row in zip(frames, distinct.tolist(), strict=True):
            _decode(video, row, frame)
        return frames if np.array_equal(places, np.arange(len(rows))) else frames[places]

    def _open(self, video_id: str) -> _Video:
        video = self._opened.get(video_id)
        if video is None:
            entry = self._manifest.entry(video_id)
            video = _read_video(self._file(entry["file"]), video_id, entry)
            self._opened[video_id] = video
            if len(self._opened) > MAPPED_VIDEOS:
                self._opened.popitem(last=False)
        return video

    def _file(self, name: str) -> _File:
        file = self._files.get(name)
        if file is None:
            sizes = self._manifest.file_bytes
            if name not in sizes or Path(name).name != name:
                raise InputError(f"{self._manifest.path}: found the file {name!r}, expected one of file_bytes")
            file = _map_file(self.folder / name, sizes[name])
            self._files[name] = file
        return file


def _map_file(path: Path, expected_bytes: int) -> _File:
    try:
        found = path.stat().st_size
        if found != expected_bytes:
            raise InputError(f"{path}: found {found} bytes, expected {expected_bytes}; run extract_frames")
        # No threads: Arrow's pool does not survive a fork.
        options = pa.ipc.IpcReadOptions(use_threads=False)
        reader = pa.ipc.open_file(pa.memory_map(str(path)), options=options)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run extract_frames") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: no Arrow IPC file ({error}); run extract_frames") from None
    if not reader.schema.equals(FRAMES):
        raise InputError(f"{path}: columns are {reader.schema.names}, expected {FRAMES.names}")
    return _File(path, reader)


def _read_video(file: _File, video_id: str, entry: dict[str, Any]) -> _Video:
    """Find a video's record batches, and check by the provenance in the last one that they are the right ones."""
    numbers = range(entry["first_batch"], entry["first_batch"] + batch_count(entry["rows"]))
    parts = []
    if numbers.stop <= file.reader.num_record_batches:
        parts = [file.reader.get_batch_with_custom_metadata(number) for number in numbers]
    batches = [part.batch for part in parts]
    stored = (parts[-1].custom_metadata if parts else None) or {}
    provenance = json.loads(stored.get(PROVENANCE, "{}"))
    is_same = bool(provenance) and all(entry.get(key) == value for key, value in provenance.items())
    is_same &= stored.get(VIDEO, video_id.encode()) == video_id.encode()
    if not is_same or sum(batch.num_rows for batch in batches) != entry["rows"]:
        raise InputError(f"{file.path}: not the frames that manifest.json has of {video_id!r}; run extract_frames")
    return _Video(
        file,
        video_id,
        (int(entry["stored_height"]), int(entry["stored_width"])),
        int(entry["grid_frames"]),
        np.concatenate([batch["first_grid"].to_numpy() for batch in batches]),
        [np.frombuffer(batch["jpeg"].buffers()[1], np.int32) for batch in batches],
        [memoryview(batch["jpeg"].buffers()[2]).cast("B") for batch in batches],
    )


def _decode(video: _Video, row: int, frame: NDArray[np.uint8]) -> None:
    """Decode a row's JPEG into `frame` [height, width, 3]."""
    batch, place = divmod(row, BATCH_ROWS)
    start, end = video.offsets[batch][place : place + 2].tolist()
    where = f"{video.file.path}: row {row} of {video.name!r}"
    try:
        decoded = simplejpeg.decode_jpeg(video.jpegs[batch][start:end], colorspace="RGB", buffer=frame)
    except ValueError as error:
        raise InputError(f"{where}: damaged JPEG ({error}); run extract_frames") from None
    if decoded.shape != frame.shape:
        raise InputError(f"{where}: frame of {decoded.shape[:2]}, expected {frame.shape[:2]}")
