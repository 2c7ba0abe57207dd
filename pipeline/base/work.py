"""The work directory: finished items of a stage, kept under a hash of their inputs.

`$DVC_ROOT/.work/<stage>/<key>/` holds one finished item (a video's frames, a bank's part, a training epoch's
state). Items outlive a killed stage, an experiment in a temporary folder and a change of other items. So a run resumes
where it stopped, and one new video costs the work of one video. Clock times, hosts and durations go to `.work/runs`,
never into an out (`pipeline.base.runs`).
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.base.checksums import (
    check_file,
    checksum_text,
    file_crc32c,
    file_state,
    is_settled,
    read_sealed_json,
    write_sealed_json,
)
from pipeline.base.errors import DamagedError, InputError
from pipeline.base.files import (
    delete,
    digest_value,
    files_below,
    is_rest,
    read_json,
    remove_folder,
    replace_folder,
    write_json,
)

ITEM_RECORD = "item.json"  # in each item: sizes and checksums of its files
STATES = "states"
PROBES = "probes"
NO_ITEMS = ("locks", "runs", STATES, PROBES)
ELSEWHERE: set[tuple[str, str]] = set()
"(stage, key) of finished items that the process which asked for this one's work has in its own `.work`."


def work_root() -> Path:
    """Return `.work` of the repository that DVC runs in (`DVC_ROOT`, also in experiments), else of this folder."""
    return Path(os.environ.get("DVC_ROOT") or Path.cwd()) / ".work"


def item_key(**inputs: Any) -> str:
    """Return the key of an item: a digest of all that its bytes depend on (contents, parameters, code version)."""
    return digest_value(inputs)[:40]


def item_folder(stage: str, key: str) -> Path:
    """Return the folder of an item, whether it is finished or not."""
    return work_root() / stage / key


def is_finished(stage: str, key: str) -> bool:
    """Return whether the item exists and is undamaged; remove a damaged one, and print that."""
    if (stage, key) in ELSEWHERE:
        return True
    folder = item_folder(stage, key)
    if not folder.is_dir():
        return False
    with contextlib.suppress(DamagedError):
        check_item(stage, key)
        return True
    with item_lock(stage, key):
        try:
            check_item(stage, key)  # another process may have made it again
        except DamagedError as error:
            if folder.is_dir():
                print(f"{error}; it is made again", file=sys.stderr)
                remove_folder(folder)
            return False
    return True


def make_item(stage: str, key: str, make: Callable[[Path], None]) -> Path:
    """Return the item's folder; if it is not finished, call `make(empty_folder)` first.

    One process makes an item at a time; a second one waits and takes the first one's result. The files of an item are
    read-only, and its `item.json` holds their checksums, so that a damaged item is noticed and made again.
    """
    folder = item_folder(stage, key)
    if is_finished(stage, key):
        return folder
    with item_lock(stage, key):
        if not folder.is_dir():
            with replace_folder(folder) as partial:
                make(partial)
                _seal_item(partial)
    return folder


def _seal_item(folder: Path) -> None:
    """Make an item's files read-only and write their sizes and checksums beside them."""
    files = {}
    for name in files_below(folder):
        path = folder / name
        path.chmod(0o444)
        files[name.as_posix()] = {"bytes": path.stat().st_size, "crc32c": checksum_text(file_crc32c(path))}
    write_sealed_json(folder / ITEM_RECORD, {"files": files})


def check_item(stage: str, key: str, *, read_all: bool = False) -> None:
    """Check that an item's files hold the bytes that were written.

    The bytes are not read again if the files' states (inode, size, times) are those that the last check (by any
    process) stored in `.work/states`. With `read_all` they are always read.

    Raises:
        DamagedError: names the item's first file that is missing or has other bytes.
    """
    folder = item_folder(stage, key)
    try:
        files = read_sealed_json(folder / ITEM_RECORD, remedy="", required=True)["files"]
        known = work_root() / STATES / stage / f"{key}.json"
        states = {name: file_state((folder / name).stat()) for name in files}
        if (
            not read_all
            and known.is_file()
            and _known_states(known) == {name: [*each] for name, each in states.items()}
        ):
            return
        for name, recorded in files.items():
            if states[name][2] != recorded["bytes"]:
                found = f"has {states[name][2]} bytes, was written with {recorded['bytes']}"
                raise DamagedError(f"{folder / name}: is damaged: {found}")
            check_file(folder / name, recorded["crc32c"], remedy="")
    except FileNotFoundError as error:
        raise DamagedError(f"{error.filename}: is missing from a finished item") from None
    except DamagedError:
        raise
    except (InputError, KeyError, TypeError, AttributeError):
        raise DamagedError(f"{folder / ITEM_RECORD}: is missing or damaged") from None
    if all(is_settled(state) for state in states.values()):
        write_json(known, states)


def _known_states(path: Path) -> Any:
    try:
        return read_json(path)
    except InputError:  # the states are a cache: the files are read instead
        return None


@contextlib.contextmanager
def item_lock(stage: str, key: str) -> Iterator[None]:
    """Hold the lock of one item; the operating system drops it when its holder dies."""
    lock = work_root() / "locks" / stage / f"{key}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        yield


def list_items() -> list[tuple[str, str, int, float]]:
    """List (stage, key, bytes, modified) of every finished item; other entries of `.work` are ignored."""
    items = []
    for stage in sorted(path for path in work_root().glob("*") if path.name not in NO_ITEMS and path.is_dir()):
        for folder in sorted(path for path in stage.iterdir() if path.is_dir() and path.suffix != ".partial"):
            with contextlib.suppress(FileNotFoundError):  # another process is removing it
                size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                items.append((stage.name, folder.name, size, folder.stat().st_mtime))
    return items


def remove_item(stage: str, key: str) -> None:
    """Remove one finished item, as a whole or not at all."""
    with item_lock(stage, key):
        remove_folder(item_folder(stage, key))
        (work_root() / STATES / stage / f"{key}.json").unlink(missing_ok=True)


# Folders that stages and commands write, relative to the project's folder.
WRITTEN = ("conf/dataset", "models", "results", "results/*", "data/*", "data/*/*", "data/*/*/*")
WORKED = (".work/*", ".work/*/*", ".work/runs/*")


def list_rests() -> list[Path]:
    """List the unfinished files that killed processes of this machine left in the project and in `.work`, sorted."""
    project = work_root().parent
    folders = {folder for pattern in (*WRITTEN, *WORKED) for folder in project.glob(pattern) if folder.is_dir()}
    folders |= {project, work_root()}
    return sorted(rest for folder in folders for rest in folder.glob(".*.partial") if is_rest(rest))


def remove_rests(rests: Iterable[Path]) -> None:
    """Delete the paths that `list_rests` returned."""
    for rest in rests:
        delete(rest)
