"""A cache folder of bounded size for parts of remote banks: each is fetched once per machine.

Several processes and threads may share one folder. A part is fetched under a lock into a folder of another name, and
renamed when it is complete. Each thread pins the part that it took last with a shared lock; the operating system
releases the lock when the thread's process ends. When the cache is too large, the least recently used parts that
nobody has pinned are dropped. A mapped file stays readable even after its part is dropped.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from filelock import FileLock

from pipeline.base.errors import InputError
from pipeline.base.files import remove_folder, replace_folder

LOCKS = "locks"
POLL_SECONDS = 0.005  # a film's features come in some milliseconds
MEASURED_EACH = 32
"A process that fetches measures the folder again after this part of its bound: others fetch into it too."


def _is_whole(folder: Path, check: Callable[[Path], None]) -> bool:
    if not folder.is_dir():
        return False
    try:
        check(folder)
    except InputError:
        return False
    return True


class PartCache:
    """A folder of parts, each under a key that identifies its bytes.

    Args:
        folder: created if it does not exist; nothing else should be in it.
        max_bytes: when the parts together are larger, parts are dropped until they fit; pinned ones always stay.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._pinned = threading.local()
        self._room: int | None = None  # bytes that may still be fetched before the folder is measured again

    def __reduce__(self) -> tuple[type["PartCache"], tuple[Path, int]]:
        return PartCache, (self.folder, self.max_bytes)

    def take(
        self, key: str, size: int, fetch: Callable[[Path], None], check: Callable[[Path], None] = lambda folder: None
    ) -> Path:
        """Return the folder of a part, pinned until this thread takes another one; fetch the part if necessary.

        Args:
            key: hexadecimal; equal keys mean equal bytes.
            size: bytes of the part.
            fetch: fills an empty folder with the part, or raises.
            check: raises an `InputError` if a cached part is not as it was fetched; the part is then fetched again.
        """
        folder = self.folder / f"{key}-{size}"
        if getattr(self._pinned, "folder", None) == folder and _is_whole(folder, check):
            return folder
        self.release()
        pin = self._lock_file(folder, "pin").open("a")
        try:
            fcntl.flock(pin, fcntl.LOCK_SH)  # waits only while another process removes the part
            if not _is_whole(folder, check):
                with FileLock(self._lock_file(folder, "fetch"), poll_interval=POLL_SECONDS):
                    if not _is_whole(folder, check):
                        with replace_folder(folder) as partial:
                            fetch(partial)
                self._make_room(size)
            os.utime(folder, ns=(time.time_ns(),) * 2)  # records the last use; the system's own clock is coarse
        except BaseException:
            pin.close()
            raise
        self._pinned.folder, self._pinned.file = folder, pin
        return folder

    def release(self) -> None:
        """Unpin the part that this thread took last."""
        pin: IO[str] | None = getattr(self._pinned, "file", None)
        if pin is not None:
            pin.close()
        self._pinned.folder = self._pinned.file = None

    def _lock_file(self, folder: Path, kind: str) -> Path:
        path = self.folder / LOCKS / f"{folder.name}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _make_room(self, size: int) -> None:
        """Trim the folder, which lists all of it, when as much was fetched as others leave free, or a part of it."""
        if self._room is not None and size <= self._room:
            self._room -= size
            return
        total = self._trim()
        self._room = min(self.max_bytes - total, self.max_bytes // MEASURED_EACH)

    def _trim(self) -> int:
        """Return the bytes of all parts, after dropping those that nobody has pinned, the least recently used first.

        Where they are more than the bound, a little more is dropped, so that not every fetch lists the folder.
        """
        with FileLock(self._lock_file(self.folder, "trim"), poll_interval=POLL_SECONDS):
            parts = [
                (entry.stat().st_mtime_ns, int(entry.name.rpartition("-")[2]), Path(entry.path))
                for entry in os.scandir(self.folder)
                if entry.name != LOCKS and not entry.name.startswith(".")
            ]
            total = sum(size for _, size, _ in parts)
            goal = self.max_bytes if total <= self.max_bytes else self.max_bytes - self.max_bytes // MEASURED_EACH
            for _, size, folder in sorted(parts):
                if total <= goal:
                    break
                if self._drop(folder):
                    total -= size
            return total

    def _drop(self, folder: Path) -> bool:
        """Remove a part unless somebody has pinned it; return whether it was removed."""
        with self._lock_file(folder, "pin").open("a") as pin:
            try:
                fcntl.flock(pin, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            remove_folder(folder)
        return True
