"""Small files that ask for much: none takes more than its limit, in memory or in steps, and each says so."""

import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from pipeline.base.errors import InputError
from pipeline.interop import bounded
from pipeline.interop.pickles import load_pickle

MANY = 300_000
TEXT = b"X\x40\x42\x0f\x00" + b"a" * 1_000_000  # of a million characters
BYTES = b"B\x40\x42\x0f\x00" + b"a" * 1_000_000
TUPLE = b"(" + b"N" * MANY + b"t"


def name(full: str) -> bytes:
    module, _, attribute = full.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


# 28 tuples, each of which holds the one before it twice: hashed in 2 ** 28 steps.
DOUBLED = b")" + b"2\x86" * 28
MADE = b"h\x00h\x01\x85R0" * MANY
"The first thing that is remembered, called with the second, so many times."
COPIES = {
    "encoded text": name("_codecs.encode") + b"q\x00" + TEXT + b"q\x010" + MADE,
    "byte arrays": name("builtins.bytearray") + b"q\x00" + BYTES + b"q\x010" + MADE,
    "lists": name("builtins.list") + b"q\x00" + TUPLE + b"q\x010" + MADE,
    "sets of one": name("builtins.set") + b"q\x00" + TUPLE + b"q\x010" + MADE,
    "dicts": name("builtins.dict") + b"q\x00}(" + b"".join(b"K%cN" % n for n in range(99)) + b"uq\x010" + MADE * 4,
}  # fmt: skip
HASHES = {
    "a key that is hashed for long": b"}" + DOUBLED + b"Ns",
    "a member that is hashed for long": b"\x8f(" + DOUBLED + b"\x90",
    "a frozen set that is hashed for long": b"(" + DOUBLED + b"\x91",
    "a set that is made of such": name("builtins.set") + b"](" + DOUBLED + b"e\x85R",
    "a dict that is made of such": name("builtins.dict") + b"](](" + DOUBLED + b"Nee\x85R",
    "a long key, often": TUPLE + b"q\x000}" + b"h\x00Ns" * MANY,
}
# Start, what is repeated, end.
OBJECTS = {
    "empty sets": (b"(", b"\x8f", b"l"),
    "empty dicts": (b"(", b"}", b"l"),
    "marks": (b"", b"(", b""),
    "remembered": (b"N", b"\x94", b""),
    "nested tuples": (b")\x85q\x000(", b"h\x00\x85", b"l"),
}
HOSTILE = {**COPIES, **HASHES, **{kind: start + each * 5_000_000 + end for kind, (start, each, end) in OBJECTS.items()}}


@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_what_goes_beyond_the_limit_is_refused(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A small limit, so that the test is short.
    monkeypatch.setattr(bounded, "FLOOR", 4 << 20)
    monkeypatch.setattr(bounded, "FACTOR", 16)
    path = tmp_path / "x.pkl"
    content = HOSTILE[kind]
    if kind in OBJECTS:
        start, each, end = OBJECTS[kind]
        content = start + each * 300_000 + end
    path.write_bytes(b"\x80\x05" + content + b".")
    size = path.stat().st_size
    with pytest.raises(InputError) as error:
        load_pickle(path)
    assert str(error.value) == (
        f"{path}: not a pickle that can be read: it takes more memory or steps than {4 + 16 * size / 2**20:.0f} MiB, "
        f"the limit of a file of {size} bytes (16 times its size and 4 MiB)"
    )


PROGRAM = """
import resource, sys, time
from pathlib import Path
from pipeline.base.errors import InputError
from pipeline.interop.pickles import load_pickle
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in sys.argv[1:]:
    try:
        load_pickle(Path(name))
    except InputError as error:
        pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_memory_and_time_stay_in_proportion_to_the_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(b"\x80\x05" + HOSTILE[kind] + b".")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, path], capture_output=True, text=True, check=True, timeout=120
    )
    # What is charged, and some tens of bytes for each byte that is not.
    assert int(done.stdout) * 1024 < 1.3 * bounded.limit_of(path.stat().st_size) + (64 << 20)


def test_a_value_that_is_small_only_while_its_parts_are_shared_is_refused(tmp_path: Path) -> None:
    doubled = b"]" + b"".join(b"q%c0](h%ch%ce" % (n, n, n) for n in range(30)) + b"."
    (tmp_path / "lists.pkl").write_bytes(b"\x80\x02" + doubled)
    array = np.zeros(100_000)
    (tmp_path / "arrays.pkl").write_bytes(pickle.dumps([array] * 200_000))
    for each in ("lists.pkl", "arrays.pkl"):
        with pytest.raises(InputError, match="its containers and arrays stand in so many places that it would be more"):
            load_pickle(tmp_path / each)


def test_a_long_name_a_huge_number_and_a_state_for_an_array_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    refused = {
        b"X\x40\x42\x0f\x00"
        + b"a" * 1_000_000
        + b"X\x01\x00\x00\x00b\x93": "it holds a name of more than 1000 characters",
        b"\x8b\x40\x42\x0f\x00" + b"a" * 1_000_000: "it holds a whole number of more than 1024 bytes",
        pickle.dumps(np.zeros(2), 5)[2:-1] + b"(K\x01tb": "it changes an object that is made",
    }
    for content, message in refused.items():
        path.write_bytes(b"\x80\x05" + content + b".")
        with pytest.raises(InputError, match=message):
            load_pickle(path)


@pytest.mark.parametrize("protocol", range(6))
def test_ordinary_files_stay_far_from_the_limit(tmp_path: Path, protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "FLOOR", 0)
    rng = np.random.default_rng(0)
    values = {
        "proposals": {f"v{n // 9},{900 + n % 9}": rng.random((3, 5)).astype("f4") for n in range(3000)},
        "boxes": {"all_boxes": [[[] for _ in range(500)] for _ in range(81)]},
        "bank": {"v": {n: [rng.random(64) for _ in range(3)] for n in range(50)}},
        "names": [{"id": n, "name": str(n), "box": (0.1, 0.2, 0.3, 0.4)} for n in range(3000)],
        "ordered": OrderedDict((("a", n), (n, 1.5)) for n in range(3000)),
    }
    for each, value in values.items():
        path = tmp_path / f"{each}.pkl"
        path.write_bytes(pickle.dumps(value, protocol))
        np.testing.assert_equal(load_pickle(path), value)
