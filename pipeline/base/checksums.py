"""CRC32C checksums, by which a changed byte is found where it is read: of files, of JSON files, of tables.

CRC32C is what Zarr and most object stores use; a core computes more than 10 GB/s of it. A file is checked once per
process and state: its inode, size, and times of change.
"""

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from pipeline.base.errors import DamagedError, InputError
from pipeline.base.files import json_text, parse_json, path_bytes, write_bytes

BLOCK = 1 << 18  # bytes read at a time; they stay in the core's cache
SEAL = "file_crc32c"  # key of a JSON file's own checksum
SEAL_TEXT = re.compile(rb'"file_crc32c": "([0-9a-f]{8})"')
UNSEALED = b"0" * 8
REMEDY = "run `actionbank verify --repair`, which finds and removes what is damaged"

SETTLED_NS = 100_000_000  # a clock of files may stand still for some ms: what changed just now may change unseen
MOST_STATES = 200_000

State = tuple[int, int, int, int, int]  # device, inode, size, modification and change times in ns
_checked: dict[State, int] = {}


def file_state(stat: os.stat_result) -> State:
    """What changes when anybody writes to the file or puts another in its place."""
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def is_settled(state: State) -> bool:
    """Whether the file changed so long ago that any later change shows in its state."""
    return time.time_ns() - max(state[3:]) > SETTLED_NS


def bytes_crc32c(data: bytes | npt.NDArray[Any], start: int = 0) -> int:
    """CRC32C of bytes or of an array's values in C order, going on from `start`."""
    if not isinstance(data, bytes):
        data = np.ascontiguousarray(data).view()
        data.flags.writeable = False
    return int(google_crc32c.extend(start, data))


def file_crc32c(path: Path) -> int:
    """CRC32C of a file's bytes; a file that was read before and is in the same state is not read again."""
    with path.open("rb", buffering=0) as file:
        state = file_state(os.fstat(file.fileno()))
        known = _checked.get(state)
        if known is not None:
            return known
        value = 0
        while block := file.read(BLOCK):
            value = int(google_crc32c.extend(value, block))
    if is_settled(state):
        if len(_checked) >= MOST_STATES:
            _checked.clear()
        _checked[state] = value
    return value


def check_file(path: Path, expected: str, *, remedy: str = REMEDY) -> None:
    """Refuse a file of other bytes than it was written with.

    Args:
        path: the file.
        expected: its CRC32C, as `checksum_text` writes it.
        remedy: what the reader of the message is to do.

    Raises:
        DamagedError: names the file, both checksums and the remedy.
    """
    found = checksum_text(file_crc32c(path))
    if found != expected:
        raise DamagedError(with_remedy(f"{path}: is damaged: CRC32C is {found}, was written with {expected}", remedy))


def checksum_text(value: int) -> str:
    """A checksum as it stands in JSON: eight hexadecimal digits."""
    return f"{value:08x}"


def write_sealed_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object atomically, with its own checksum under `file_crc32c`."""
    write_bytes(path, seal_json(json_text({**value, SEAL: UNSEALED.decode()}).encode()), read_only=True)


def seal_json(text: bytes) -> bytes:
    """Put the checksum of a JSON text into it, where `file_crc32c` is eight zeros: it is that of the text as given."""
    found = SEAL_TEXT.search(text)
    assert found is not None  # the caller put it there
    assert found[1] == UNSEALED
    start, end = found.span(1)
    return text[:start] + checksum_text(bytes_crc32c(text)).encode() + text[end:]


def check_seal(text: bytes, where: str, *, remedy: str = REMEDY, required: bool = False) -> None:
    """Refuse a JSON text that is not as it was sealed; one without a seal, of an older version, passes if it may.

    Raises:
        DamagedError: it was changed since; the message begins with `where`.
    """
    found = SEAL_TEXT.search(text)
    if found is None and required:
        raise DamagedError(with_remedy(f"{where}: is damaged or was edited: it has no {SEAL}", remedy))
    if found is None:
        return
    start, end = found.span(1)
    value = bytes_crc32c(text[end:], bytes_crc32c(UNSEALED, bytes_crc32c(text[:start])))
    if checksum_text(value).encode() != found[1]:
        fault = f"CRC32C is {checksum_text(value)}, {SEAL} says {found[1].decode()}"
        raise DamagedError(with_remedy(f"{where}: is damaged or was edited: {fault}", remedy))


def with_remedy(text: str, remedy: str) -> str:
    """A message and, where there is one, what its reader is to do."""
    return f"{text}; {remedy}" if remedy else text


def read_sealed_json(path: Path, *, remedy: str = REMEDY, required: bool = False) -> Any:
    """The value of a JSON file that `write_sealed_json` wrote, without the checksum.

    Raises:
        InputError: the file is absent, or not JSON.
        DamagedError: it was changed since it was written.
    """
    return parse_sealed_json(path_bytes(path), str(path), remedy=remedy, required=required)


def parse_sealed_json(text: bytes, where: str, *, remedy: str = REMEDY, required: bool = False) -> Any:
    """As `read_sealed_json`, of a file's bytes; messages begin with `where`."""
    check_seal(text, where, remedy=remedy, required=required)
    try:
        value = parse_json(text, where)
    except InputError as error:
        if required or SEAL.encode() in text:  # else it may be a user's
            raise DamagedError(with_remedy(str(error), remedy)) from None
        raise
    return {key: each for key, each in value.items() if key != SEAL} if isinstance(value, dict) else value
