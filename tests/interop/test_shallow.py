"""Tuples in pickles: as deep as any file of arrays has them, and no deeper."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.interop.pickles import load_pickle
from pipeline.interop.shallow import MAX_DEPTH


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = (value,)
    return value


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_tuples_of_an_ordinary_depth_are_read(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "x.pkl"
    value = {nested(MAX_DEPTH - 1): [(1, 2, (3, 4)), ((), ((),), (5, (6, (7,)))), nested(3)]}
    path.write_bytes(pickle.dumps(value, protocol))
    assert load_pickle(path) == value


MANY = 1_000_000
DEEP = b")" + b"\x85" * MANY
HOSTILE = [
    b"\x80\x02}" + DEEP + b"Ns.",
    b"\x80\x02" + DEEP + b"q\x000}h\x00Ns.",
    b"\x80\x02(" + DEEP + b"Nd.",
    b"\x80\x04\x8f(" + DEEP + b"\x90.",
    b"\x80\x04(" + DEEP + b"\x91.",
    b"}" + b"(" * MANY + b"t" * MANY + b"Ns.",
    b"\x80\x02}" + b"N" * MANY + b")" + b"\x86" * MANY + b"Ns.",
    b"\x80\x02}" + b"NN" * MANY + b")" + b"\x87" * MANY + b"Ns.",
    # tuple([tuple([...])]), called.
    b"\x80\x02c__builtin__\ntuple\nq\x000}" + b"h\x00((" * MANY + b")" + b"ltR" * MANY + b"Ns.",
]
PROGRAM = """
import sys
from pathlib import Path
from pipeline.base.errors import InputError
from pipeline.interop.pickles import load_pickle
for path in sys.argv[1:]:
    try:
        load_pickle(Path(path))
    except InputError as error:
        print(error)
"""


def test_deeper_ones_do_not_end_the_process(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{number}.pkl") for number in range(len(HOSTILE))]
    for path, content in zip(paths, HOSTILE, strict=True):
        Path(path).write_bytes(content)
    # In a process of its own: Python would not survive the hash of such a tuple.
    done = subprocess.run([sys.executable, "-c", PROGRAM, *paths], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        f"{path}: not a pickle that can be read: its containers are nested deeper than {MAX_DEPTH}" for path in paths
    ]
