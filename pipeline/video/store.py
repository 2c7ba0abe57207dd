"""The frame store: Arrow IPC files with the grid's frames as JPEGs; one file per video, or packs of many videos.

A video has one row per stored frame, in order of time. The columns are `jpeg`; `pts_seconds`, the presentation time
from the start of the film; `first_grid`, the first grid index that shows the frame (bisection finds the row of a grid
index); and `crc32c` of the JPEG's bytes, which is checked whenever the frame is decoded. Record batches have 256 rows;
the last batch of a video may have fewer. The metadata of that batch holds the provenance of the frames and the checksum
of the other three columns. A pack holds the batches of its videos one after the other (`pipeline/video/packs.py`).
`manifest.json` holds each video's provenance, file and first batch. Reading maps files into memory and decodes only the
JPEGs that are needed. Where clips go on to another batch, the pages of the one that they left are given back, so that a
long film read from its start to its end does not come to lie in memory as a whole.

A temporary store may leave frames out: their rows have an empty JPEG, and the video's record says how many they are
(`frames_left_out`). Reading one of them is an error.
"""

import errno
import json
import mmap
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

from pipeline.base.checksums import REMEDY, bytes_crc32c, checksum_text
from pipeline.base.errors import DamagedError, InputError
from pipeline.base.files import atomic_path, json_text
from pipeline.video.grid import EVERY_FRAME
from pipeline.video.manifest import StoreManifest, mapped_bytes

FRAMES = pa.schema(
    [
        pa.field("jpeg", pa.binary(), nullable=False),
        pa.field("pts_seconds", pa.float64(), nullable=False),
        pa.field("first_grid", pa.int32(), nullable=False),
        pa.field("crc32c", pa.uint32(), nullable=False),
    ]
)
BATCH_ROWS = 256
NOT_DAMAGE = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # the file itself may be undamaged
PROVENANCE = b"actionbank.provenance"
VIDEO = b"actionbank.video_id"
INDEX_CRC32C = b"actionbank.index_crc32c"
INDEX = ("pts_seconds", "first_grid", "crc32c")
# A mapped file uses a file descriptor; by default a process may have 1024.
MAPPED_VIDEOS = 512


class LeftOutError(LookupError):
    """A frame that is read was left out when its video was stored: the fault of what chose the frames."""


class Row(NamedTuple):
    """A stored frame."""

    jpeg: bytes
    "Empty for a frame that is left out."
    pts_seconds: float
    first_grid: int


def write_frames(path: Path, rows: Iterable[Row], describe: Callable[[], dict[str, Any]]) -> int:
    """Write one video's file atomically; the same rows give the same bytes.

    Args:
        path: the file to be made.
        rows: the frames in order of time.
        describe: called when `rows` is exhausted; returns the provenance, in which `grid_frames` is the number of
            frames of the grid. Rows that begin beyond the grid are dropped.

    Returns:
        The number of rows written.
    """
    rows = iter(rows)
    written = 0
    index = [0] * len(INDEX)  # the checksum of each column
    with (
        atomic_path(path, read_only=True) as partial,
        pa.OSFile(str(partial), "wb") as sink,
        pa.ipc.new_file(sink, FRAMES) as writer,
    ):
        # The last rows are held back until the length of the grid is known, and the last batch until the provenance is.
        waiting = list(islice(rows, 2 * BATCH_ROWS))
        while len(waiting) == 2 * BATCH_ROWS:
            index = _write(writer, waiting[:BATCH_ROWS], index)
            written += BATCH_ROWS
            waiting = waiting[BATCH_ROWS:] + list(islice(rows, BATCH_ROWS))
        provenance = describe()
        waiting = [row for row in waiting if row.first_grid < provenance["grid_frames"]]
        written += len(waiting)
        while len(waiting) > BATCH_ROWS:
            index = _write(writer, waiting[:BATCH_ROWS], index)
            waiting = waiting[BATCH_ROWS:]
        _write(writer, waiting, index, {PROVENANCE: json_text(provenance).encode()})
    return written


def _write(
    writer: pa.ipc.RecordBatchFileWriter,
    rows: Sequence[Row],
    index: Sequence[int],
    last: dict[bytes, bytes] | None = None,
) -> list[int]:
    """Write a record batch; `last` is the metadata of a video's last one. Return the columns' checksums up to here."""
    columns = [*zip(*rows, strict=True), [bytes_crc32c(row.jpeg) for row in rows]]
    columns = columns if rows else [()] * len(FRAMES)
    batch = pa.record_batch([pa.array(each, field.type) for each, field in zip(columns, FRAMES, strict=True)], FRAMES)
    index = [bytes_crc32c(batch[name].to_numpy(), start) for name, start in zip(INDEX, index, strict=True)]
    metadata = None if last is None else {**last, INDEX_CRC32C: _index_text(index)}
    writer.write_batch(batch, custom_metadata=metadata)
    return index


def _index_text(index: Sequence[int]) -> bytes:
    return " ".join(checksum_text(each) for each in index).encode()


def batch_count(rows: int) -> int:
    """Return the number of record batches of a video with `rows` rows."""
    return -(-rows // BATCH_ROWS)


@dataclass(frozen=True, eq=False)
class _File:
    """A mapped file; it stays open while one of its videos is in use."""

    path: Path
    reader: pa.ipc.RecordBatchFileReader
    pages: mmap.mmap
    start: int  # the address of its first byte

    def give_back(self, jpegs: NDArray[np.uint8]) -> None:
        """Take the pages of a stretch of the file out of this process; a later read maps them again."""
        first = jpegs.__array_interface__["data"][0] - self.start
        whole = first // mmap.PAGESIZE * mmap.PAGESIZE
        if len(jpegs) and hasattr(self.pages, "madvise"):
            self.pages.madvise(mmap.MADV_DONTNEED, whole, first + len(jpegs) - whole)


class _Video(NamedTuple):
    file: _File
    name: str
    size: tuple[int, int]  # height, width
    grid_frames: int
    first_grid: NDArray[np.int32]
    crc32c: NDArray[np.uint32]  # of each row's JPEG
    offsets: list[NDArray[np.int32]]  # per record batch
    jpegs: list[NDArray[np.uint8]]  # per record batch, in the mapped file
    latest: set[int]  # record batches that the latest clip was read from

    def go_on(self, batches: set[int]) -> None:
        """Give back the batches of the clip before that this one does not read."""
        for left in self.latest - batches:
            self.file.give_back(self.jpegs[left])
        self.latest.difference_update(self.latest - batches)
        self.latest.update(batches)


class FrameStore:
    """Reads a folder of frames; files are opened when they are first needed.

    It can be forked, read by several threads, and pickled (by its path), so each worker can hold one.

    Args:
        folder: the store's folder, e.g. `data/ava/frames`.

    Attributes:
        folder: the store's folder.
        video_ids: ids of all videos, sorted.

    Raises:
        InputError: the folder is not a frame store.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._manifest = StoreManifest(self.folder / "manifest.json")
        self._fps = float(self._manifest.settings["fps"])
        self.video_ids = self._manifest.video_ids
        self._opened: OrderedDict[str, _Video] = OrderedDict()
        self._files: WeakValueDictionary[str, _File] = WeakValueDictionary()

    def __reduce__(self) -> tuple[type["FrameStore"], tuple[Path]]:
        return FrameStore, (self.folder,)

    @property
    def fps(self) -> float:
        """Grid frames per second.

        Raises:
            InputError: the store has every frame of its films, and no grid.
        """
        if self._fps == EVERY_FRAME:
            raise InputError(
                f"{self.folder}: holds every frame of its films, on no grid; expected a frames.fps in numbers"
            )
        return self._fps

    def grid_frames(self, video_id: str) -> int:
        """Return the number of grid frames of a video; grid indices run from 0 to this, exclusive."""
        return int(self._manifest.entry(video_id)["grid_frames"])

    def duration_seconds(self, video_id: str) -> float:
        """Return the length of a video: from the first displayed frame to the end of the last one."""
        return float(self._manifest.entry(video_id)["duration_seconds"])

    def size(self, video_id: str) -> tuple[int, int]:
        """Return (height, width) of a video's stored frames."""
        entry = self._manifest.entry(video_id)
        return int(entry["stored_height"]), int(entry["stored_width"])

    def digest(self, video_id: str) -> str:
        """Return the sha256 (hex) of a video's frames from the manifest: equal frames have equal digests.

        It is the digest of a file with this video alone, so it does not depend on a pack.
        """
        return str(self._manifest.entry(video_id)["sha256"])

    def read_clip(self, video_id: str, grid_indices: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """Read the frames that the grid shows at the given indices.

        Args:
            video_id: the video.
            grid_indices: T indices in [0, grid_frames), in any order; repeated frames are decoded once.

        Returns:
            RGB uint8 [T, height, width, 3].

        Raises:
            InputError: the video is not in the store, or its file is missing, truncated or of another store.
            DamagedError: the bytes of a frame or of the video's index have changed since they were written.
            IndexError: an index lies outside the grid.
            LeftOutError: a frame was left out of the store.
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
        video.go_on(set((distinct // BATCH_ROWS).tolist()))
        return frames if np.array_equal(places, np.arange(len(rows))) else frames[places]

    def check(self, video_id: str) -> None:
        """Check the checksum of every frame of a video, without decoding.

        Raises:
            InputError: as `read_clip`.
            LeftOutError: a frame was left out of the store.
        """
        video = self._open(video_id)
        for row in range(len(video.crc32c)):
            _stored_jpeg(video, row)

    def _open(self, video_id: str) -> _Video:
        video = self._opened.get(video_id)
        if video is None:
            entry = self._manifest.entry(video_id)
            file = self._file(entry["file"])
            try:
                video = _read_video(file, video_id, entry)
            except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
                if isinstance(error, OSError) and error.errno in NOT_DAMAGE:
                    raise
                fault = " ".join(str(error).split())
                raise DamagedError(f"{file.path}: the frames of {video_id!r} are damaged ({fault}); {REMEDY}") from None
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
            raise InputError(f"{path}: found {found} bytes, expected {expected_bytes}; {REMEDY}")
        # Without threads, because Arrow's pool does not survive a fork.
        options = pa.ipc.IpcReadOptions(use_threads=False)
        pages = mapped_bytes(path)
        mapped = pa.py_buffer(pages)
        reader = pa.ipc.open_file(pa.BufferReader(mapped), options=options)
        names = reader.schema.names
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run extract_frames") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in NOT_DAMAGE:
            raise
        raise InputError(f"{path}: no Arrow IPC file ({error}); {REMEDY}") from None
    if not reader.schema.equals(FRAMES):
        raise InputError(f"{path}: columns are {names}, expected {FRAMES.names}")
    return _File(path, reader, pages, mapped.address)


def _read_video(file: _File, video_id: str, entry: dict[str, Any]) -> _Video:
    """Read a video's record batches, and check by the provenance in the last one that they belong to it."""
    numbers = range(entry["first_batch"], entry["first_batch"] + batch_count(entry["rows"]))
    parts = []
    if numbers.stop <= file.reader.num_record_batches:
        parts = [file.reader.get_batch_with_custom_metadata(number) for number in numbers]
    batches = [part.batch for part in parts]
    stored = (parts[-1].custom_metadata if parts else None) or {}
    provenance = _provenance(stored)
    is_same = bool(provenance) and all(entry.get(key) == value for key, value in provenance.items())
    is_same &= stored.get(VIDEO, video_id.encode()) == video_id.encode()
    if not is_same or sum(batch.num_rows for batch in batches) != entry["rows"]:
        raise InputError(f"{file.path}: not the frames that manifest.json has of {video_id!r}; {REMEDY}")
    columns = {name: np.concatenate([batch[name].to_numpy() for batch in batches]) for name in INDEX}
    if _index_text([bytes_crc32c(column) for column in columns.values()]) != stored.get(INDEX_CRC32C):
        raise DamagedError(f"{file.path}: the index of {video_id!r} is damaged; {REMEDY}")
    offsets = [np.frombuffer(batch["jpeg"].buffers()[1], np.int32)[: batch.num_rows + 1] for batch in batches]
    if any(len(each) != batch.num_rows + 1 for each, batch in zip(offsets, batches, strict=True)):
        raise DamagedError(f"{file.path}: the offsets of {video_id!r} are damaged; {REMEDY}")
    return _Video(
        file,
        video_id,
        (int(entry["stored_height"]), int(entry["stored_width"])),
        int(entry["grid_frames"]),
        columns["first_grid"],
        columns["crc32c"],
        offsets,
        [np.frombuffer(batch["jpeg"].buffers()[2], np.uint8) for batch in batches],
        set(),
    )


def _provenance(stored: dict[bytes, bytes]) -> dict[str, Any]:
    """Return the provenance in a video's last record batch; empty if it cannot be read."""
    try:
        value = json.loads(stored.get(PROVENANCE, b"{}"))
    except (UnicodeDecodeError, json.JSONDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


def _stored_jpeg(video: _Video, row: int) -> NDArray[np.uint8]:
    """Return the bytes of a row's JPEG, checked against their checksum."""
    batch, place = divmod(row, BATCH_ROWS)
    start, end = video.offsets[batch][place : place + 2].tolist()
    jpeg = video.jpegs[batch][max(start, 0) : max(end, 0)]
    if start == end:
        raise LeftOutError(f"{video.file.path}: grid frame {video.first_grid[row]} of {video.name!r} was left out")
    found, expected = bytes_crc32c(jpeg), int(video.crc32c[row])
    if found != expected:
        fault = f"CRC32C is {checksum_text(found)}, was written with {checksum_text(expected)}"
        raise DamagedError(f"{video.file.path}: row {row} of {video.name!r}: is damaged: {fault}; {REMEDY}")
    return jpeg


def _decode(video: _Video, row: int, frame: NDArray[np.uint8]) -> None:
    """Decode a row's JPEG into `frame` [height, width, 3]."""
    where = f"{video.file.path}: row {row} of {video.name!r}"
    jpeg = _stored_jpeg(video, row)
    try:
        decoded = simplejpeg.decode_jpeg(jpeg, colorspace="RGB", buffer=frame)
    except ValueError as error:
        raise InputError(f"{where}: damaged JPEG ({error}); {REMEDY}") from None
    if decoded.shape != frame.shape:
        raise InputError(f"{where}: frame of {decoded.shape[:2]}, expected {frame.shape[:2]}")
