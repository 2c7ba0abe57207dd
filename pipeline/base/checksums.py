"""CRC32C checksums of files, JSON files and tables. Readers check them, so that damaged bytes are found at once.

CRC32C is what Zarr and most object stores use; a core computes more than 10 GB/s of it. A process reads a file once to
check it, and again only after its state (inode, size, times of change) has changed.
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

CASTAGNOLI = 0x82F63B78  # CRC32C's polynomial, reflected
BLOCK = 1 << 18  # bytes read at a time; they stay in the core's cache
SEAL = "file_crc32c"  # key of a JSON file's own checksum
SEAL_TEXT = re.compile(rb'"file_crc32c": "([0-9a-f]{8})"')
UNSEALED = b"0" * 8
REMEDY = "run `actionbank verify --repair`, which finds and removes what is damaged"

SETTLED_NS = 100_000_000  # file times may be coarse by some ms: a file that changed just now may change again unseen
MOST_STATES = 200_000

State = tuple[int, int, int, int, int]  # device, inode, size, modification and change times in ns
_checked: dict[State, int] = {}


def file_state(stat: os.stat_result) -> State:
    """Return a tuple that changes when anybody writes to the file or puts another file in its place."""
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def is_settled(state: State) -> bool:
    """Return whether the last change is old enough that any later change will alter the file's state."""
    return time.time_ns() - max(state[3:]) > SETTLED_NS


def bytes_crc32c(data: bytes | npt.NDArray[Any], start: int = 0) -> int:
    """Compute the CRC32C of bytes, or of an array's values in C order; `start` is the CRC32C of preceding bytes."""
    if not isinstance(data, bytes):
        data = np.ascontiguousarray(data).view()
        data.flags.writeable = False
    return int(google_crc32c.extend(start, data))


def joined_crc32c(first: int, second: int, length: int) -> int:
    """Compute the CRC32C of two runs of bytes, one after the other, from those of each and the second one's length.

    A CRC is linear over GF(2): bytes that follow multiply the first one by a power of a matrix of 32 x 32 bits, as in
    zlib's `crc32_combine`.
    """
    power = _squared(_squared([CASTAGNOLI, *(1 << bit for bit in range(31))]))  # of 4 zero bits
    while length:
        power = _squared(power)
        if length & 1:
            first = _times(power, first)
        length >>= 1
    return first ^ second


def _times(matrix: list[int], vector: int) -> int:
    found = 0
    for bit, column in enumerate(matrix):
        if vector >> bit & 1:
            found ^= column
    return found


def _squared(matrix: list[int]) -> list[int]:
    return [_times(matrix, column) for column in matrix]


def file_crc32c(path: Path) -> int:
    """Compute the CRC32C of a file's bytes; return the known value if the file is unchanged since it was last read."""
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
    """Check that a file holds the bytes that were written.

    Args:
        path: the file.
        expected: its CRC32C, as `checksum_text` writes it.
        remedy: the last part of the message: what the user can do.

    Raises:
        DamagedError: names the file, both checksums and the remedy.
    """
    found = checksum_text(file_crc32c(path))
    if found != expected:
        raise DamagedError(with_remedy(f"{path}: is damaged: CRC32C is {found}, was written with {expected}", remedy))


def checksum_text(value: int) -> str:
    """Format a checksum for JSON: eight hexadecimal digits."""
    return f"{value:08x}"


def write_sealed_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object atomically, with its own checksum under `file_crc32c`."""
    write_bytes(path, seal_json(json_text({**value, SEAL: UNSEALED.decode()}).encode()), read_only=True)


def seal_json(text: bytes) -> bytes:
    """Replace the eight zeros under `file_crc32c` by the checksum of the JSON text as given (with the zeros)."""
    found = SEAL_TEXT.search(text)
    assert found is not None  # the caller put it there
    assert found[1] == UNSEALED
    start, end = found.span(1)
    return text[:start] + checksum_text(bytes_crc32c(text)).encode() + text[end:]


def check_seal(text: bytes, where: str, *, remedy: str = REMEDY, required: bool = False) -> None:
    """Check the checksum that a JSON text holds of itself.

    A text without a checksum was written by an older version; it passes unless `required`.

    Raises:
        DamagedError: the text has changed since it was written; the message begins with `where`.
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
    """Append the remedy to a message, if there is one."""
    return f"{text}; {remedy}" if remedy else text


def read_sealed_json(path: Path, *, remedy: str = REMEDY, required: bool = False) -> Any:
    """Read the value of a JSON file that `write_sealed_json` wrote, without its checksum.

    Raises:
        InputError: the file is absent, or not JSON.
        DamagedError: it was changed since it was written.
    """
    return parse_sealed_json(path_bytes(path), str(path), remedy=remedy, required=required)


def parse_sealed_json(text: bytes, where: str, *, remedy: str = REMEDY, required: bool = False) -> Any:
    """Parse the bytes of a JSON file as `read_sealed_json` does; messages begin with `where`."""
    check_seal(text, where, remedy=remedy, required=required)
    try:
        value = parse_json(text, where)
    except InputError as error:
        if required or SEAL.encode() in text:  # else it may be a file of the user
            raise DamagedError(with_remedy(str(error), remedy)) from None
        raise
    return {key: each for key, each in value.items() if key != SEAL} if isinstance(value, dict) else value
