import json
import os
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base import checksums
from pipeline.base.checksums import (
    bytes_crc32c,
    check_file,
    check_seal,
    checksum_text,
    file_crc32c,
    joined_crc32c,
    read_sealed_json,
    write_sealed_json,
)
from pipeline.base.errors import DamagedError, InputError


def test_the_checksum_is_castagnolis(tmp_path: Path) -> None:
    assert checksum_text(bytes_crc32c(b"123456789")) == "e3069283", "the check value of CRC-32C"
    data = np.random.default_rng(0).integers(0, 256, 1_000_003, np.uint8)
    (tmp_path / "x").write_bytes(data.tobytes())
    assert file_crc32c(tmp_path / "x") == google_crc32c.value(data.tobytes()) == bytes_crc32c(data)
    assert bytes_crc32c(data[1::2]) == google_crc32c.value(data[1::2].tobytes()), "values, not memory"
    assert bytes_crc32c(data[500:], bytes_crc32c(data[:500])) == bytes_crc32c(data)
    for place in (0, 1, 500, len(data)):
        first, second = bytes_crc32c(data[:place]), bytes_crc32c(data[place:])
        assert joined_crc32c(first, second, len(data) - place) == bytes_crc32c(data)


def _settle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "SETTLED_NS", 0)


def test_a_file_is_read_once_per_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _settle(monkeypatch)
    path = tmp_path / "x"
    path.write_bytes(b"one")
    reads: list[bytes] = []
    extend = google_crc32c.extend

    def noted(value: int, data: bytes) -> int:
        reads.append(data)
        return int(extend(value, data))

    monkeypatch.setattr(google_crc32c, "extend", noted)
    assert file_crc32c(path) == file_crc32c(path)
    assert len(reads) == 1
    stat = path.stat()
    with path.open("r+b") as file:
        file.write(b"two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a restore or a disk would leave it
    assert file_crc32c(path) == google_crc32c.value(b"two")
    (tmp_path / "y").write_bytes(b"six")
    (tmp_path / "y").replace(path)
    assert file_crc32c(path) == google_crc32c.value(b"six")


def test_a_file_that_changed_just_now_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its times may stand still while it changes."""
    monkeypatch.setattr(checksums, "SETTLED_NS", 60 * 10**9)
    path = tmp_path / "x"
    path.write_bytes(b"one")
    file_crc32c(path)
    stat = path.stat()
    state = checksums.file_state(stat)
    assert state not in checksums._checked


def test_a_changed_file_is_refused_with_both_checksums(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"123456789")
    check_file(path, "e3069283")
    path.write_bytes(b"123456780")
    with pytest.raises(DamagedError) as error:
        check_file(path, "e3069283")
    found = checksum_text(google_crc32c.value(b"123456780"))
    assert str(error.value) == (
        f"{path}: is damaged: CRC32C is {found}, was written with e3069283; "
        "run `actionbank verify --repair`, which finds and removes what is damaged"
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(value=st.dictionaries(st.text(max_size=5), JSON, max_size=4), data=st.data())
def test_a_sealed_file_is_read_and_any_changed_byte_refused(scratch: Path, value: dict[str, Any], data: Any) -> None:
    path = scratch / "x.json"
    write_sealed_json(path, value)
    assert read_sealed_json(path) == value
    text = path.read_bytes()
    assert json.loads(text) == {**value, "file_crc32c": json.loads(text)["file_crc32c"]}
    at = data.draw(st.integers(0, len(text) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda each: each != text[at]))
    with pytest.raises(InputError):
        check_seal(text[:at] + bytes([byte]) + text[at + 1 :], "x.json", required=True)


def test_a_file_of_before_there_were_seals_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": 1}')
    assert read_sealed_json(tmp_path / "x.json") == {"a": 1}
    with pytest.raises(DamagedError, match=r"x\.json: is damaged or was edited: it has no file_crc32c$"):
        read_sealed_json(tmp_path / "x.json", required=True, remedy="")


def test_a_nested_seal_is_content(tmp_path: Path) -> None:
    write_sealed_json(tmp_path / "x.json", {"a": 1})
    inner = json.loads((tmp_path / "x.json").read_text())
    assert sorted(inner) == ["a", "file_crc32c"]
    assert read_sealed_json(tmp_path / "x.json") == {"a": 1}, "so that no sidecar within a sidecar has one"


def test_a_cut_file_says_what_to_do_and_a_users_does_not(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_sealed_json(path, {"a": 1, "z": [1, 2]})
    cut = path.read_bytes().split(b"[")[0]
    path.chmod(0o644)
    path.write_bytes(cut[: cut.index(b'"z"')].replace(b'": "', b'": '))  # without a seal that can be read
    with pytest.raises(DamagedError, match=r"x\.json: not JSON: .*; run `actionbank verify --repair`"):
        read_sealed_json(path)
    path.write_bytes(b"{")
    with pytest.raises(InputError, match=r"x\.json: not JSON: [^;]*$"):
        read_sealed_json(path)
