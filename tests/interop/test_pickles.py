import io
import os
import pickle
import pickletools
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.base.errors import InputError
from pipeline.interop.pickles import load_pickle

PROTOCOLS = range(6)


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple[Any, Any]:
        return self.call


def write(folder: Path, data: bytes) -> Path:
    path = folder / "boxes.pkl"
    path.write_bytes(data)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        load_pickle(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def proposals() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "v1,0902": rng.random((3, 5)),
        "v1,0903": rng.random((2, 5)).astype(np.float32),
        "v2,0902": np.zeros((0, 5)),
        "v2,0903": np.asfortranarray(rng.random((4, 5))),
        "v3,0902": rng.random((4, 8))[:, :5],
        "v3,0903": rng.integers(0, 9, (2, 4)),
        "v4,0902": rng.random((2, 5)).astype(">f8"),
        "v4,0903": rng.random((5, 3)).T,
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_of_every_layout_come_back_equal(tmp_path: Path, protocol: int) -> None:
    found = load_pickle(write(tmp_path, pickle.dumps(proposals(), protocol)))
    assert list(found) == list(proposals())
    for key, expected in proposals().items():
        np.testing.assert_array_equal(found[key], expected)
        assert found[key].dtype.itemsize == expected.dtype.itemsize


def test_both_spellings_of_numpys_modules_are_read(tmp_path: Path) -> None:
    data = pickle.dumps(proposals(), 2)
    assert b"numpy._core.multiarray" in data
    older = data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    np.testing.assert_array_equal(load_pickle(write(tmp_path, older))["v1,0902"], proposals()["v1,0902"])


def test_text_and_raw_bytes_of_python_2_are_read_as_latin1(tmp_path: Path) -> None:
    # As Python 2 with NumPy 1.16 writes {'v,0902': np.array([[.5, 1.]])}: byte strings everywhere.
    raw = np.array([[0.5, 1.0]]).tobytes()
    data = (
        b"\x80\x02}U\x06v,0902cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x01K\x02\x86cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff"
        b"\xffK\x00tb\x89U" + bytes([len(raw)]) + raw + b"tbs."
    )
    pickletools.dis(data, out=io.StringIO())
    found = load_pickle(write(tmp_path, data))
    assert found["v,0902"].tolist() == [[0.5, 1.0]]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_containers_and_numbers_come_back(tmp_path: Path, protocol: int) -> None:
    value = {
        "list": [1, 2.5, None, True, "é", b"\xff\x00", b"", 1 << 80],
        "tuple": (1, (2, (3,))),
        "set": {1, 2},
        "frozenset": frozenset("ab"),
        "bytearray": bytearray(b"abc"),
        "scalar": np.float32(0.1),
        "ordered": OrderedDict(a=1),
        "default": defaultdict(list, {"a": [1]}),
    }
    found = load_pickle(write(tmp_path, pickle.dumps(value, protocol)))
    assert found == value
    assert type(found["ordered"]) is dict
    assert type(found["default"]) is dict


def test_shared_and_circular_containers_stay_one(tmp_path: Path) -> None:
    array = np.ones((2, 5))
    value: dict[str, Any] = {"a": array, "b": array}
    value["self"] = value
    found = load_pickle(write(tmp_path, pickle.dumps(value)))
    assert found["a"] is found["b"]
    assert found["self"] is found


def test_the_real_samples_are_read(real: Path) -> None:
    for name in ("ava_dataset/ava_proposals_sample.pkl", "eval_detection/proposal.pkl"):
        found = load_pickle(real / name)
        assert all(array.dtype == np.float64 and array.shape[1] == 5 for array in found.values())
    assert found["3reY9zJKhqN,1774"][0].tolist() == [0.072, 0.47, 0.84, 0.898, 1.0]
    assert len(load_pickle(real / "multisports_dataset/multisports_proposals_sample.pkl")) == 9
    tubes = load_pickle(real / "multisports_dataset/gt.pkl")
    assert sorted(tubes) == ["gttubes", "labels", "nframes", "resolution", "test_videos"]


HOSTILE = {
    "posix.system": pickle.dumps(Calls(os.system, "touch HERE")),
    "builtins.eval": pickle.dumps(Calls(eval, "1 + 1")),
    "builtins.getattr": pickle.dumps(Calls(getattr, {}, "__class__")),
    "__builtin__.exec": b"\x80\x02c__builtin__\nexec\nU\x06pass  \x85R.",
    "subprocess.Popen": pickle.dumps({"v,0902": np.ones((1, 5)), "x": Calls(eval, "1")}).replace(
        b"\x8c\x08builtins\x94\x8c\x04eval", b"\x8c\nsubprocess\x94\x8c\x05Popen"
    ),
    "numpy.testing._private.utils.runstring": b"cnumpy.testing._private.utils\nrunstring\n(S'1'\ndtR.",
    "numpy.memmap": b"\x80\x02cnumpy\nmemmap\nU\x01x\x85R.",
    "numpy.load": b"\x80\x02cnumpy\nload\nU\x01x\x85R.",
    "torch.nn.modules.linear.Linear": b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81}b.",
    "os.path.join": b"\x80\x04\x8c\x02os\x8c\tpath.join\x93\x8c\x01a\x85R.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_pickle_that_names_anything_else_is_refused_and_runs_nothing(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, HOSTILE[name])
    assert refusal(path) == (
        f"{path}: refused: the pickle names {name}; only NumPy arrays and plain containers are read, and "
        "there is no unsafe fallback: save the data in another format, e.g. CSV"
    )
    assert sorted(tmp_path.iterdir()) == [path]


def test_all_refused_names_are_told_those_inside_arguments_too(tmp_path: Path) -> None:
    inner = Calls(os.system, "true")
    message = refusal(write(tmp_path, pickle.dumps([Calls(eval, inner), {"a": Calls(getattr, inner, "x")}])))
    assert "the pickle names builtins.eval, builtins.getattr, posix.system; only" in message


def test_many_refused_names_are_counted(tmp_path: Path) -> None:
    data = b"".join(b"cmodule\nname%02d\n0" % index for index in range(14)) + b"N."
    assert "module.name09 and 4 more; only" in refusal(write(tmp_path, data))


def test_a_refused_name_cannot_break_the_message(tmp_path: Path) -> None:
    name = "a\nb" + "x" * 500
    data = b"\x80\x04" + pickle.dumps("os", 4)[2:-1] + pickle.dumps(name, 4)[2:-1] + b"\x93."
    assert r"names os.a\nbxxx" in refusal(write(tmp_path, data))
    assert len(refusal(tmp_path / "boxes.pkl")) < 400


REFUSED_CONTENTS = {
    "object array": (
        pickle.dumps(np.array([{}, None], dtype=object)),
        "it holds an array that is not of booleans, integers or floats",
    ),
    "array of text": (
        pickle.dumps(np.array(["a"])),
        "it holds an array that is not of booleans, integers or floats",
    ),
    "structured array": (
        pickle.dumps(np.zeros(2, [("a", "f8")])),
        "it holds an array that is not of booleans, integers or floats",
    ),
    "fields smuggled into a number type": (
        pickle.dumps(np.zeros(2)).replace(b"\x8c\x01<\x94NNN", b"\x8c\x01<\x94N)N"),
        "it holds a structured array",
    ),
    "a state for a function": (b"\x80\x02cnumpy\ndtype\n}U\x05_makeNsb.", "it changes a function"),
    "slots of a function": (b"\x80\x02cnumpy\ndtype\nN}U\x05_makeNs\x86b.", "it changes a function"),
    "a function as value": (b"\x80\x02cnumpy\nndarray\n.", "it holds a function in place of a value"),
    "an array that was never filled": (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)R.",
        "it holds an array without contents",
    ),
    "a terabyte of zeros": (
        b"\x80\x02cbuiltins\nbytearray\n\x8a\x06\x00\x00\x00\x00\x00\x01\x85R.",
        "it makes a container from something that is none",
    ),
    "a shape larger than its bytes": (
        pickle.dumps(np.zeros(2)).replace(b"K\x02\x85", b"K\x7f\x85"),
        "it holds an array of shape (127,) in 16 bytes",
    ),
    "a negative shape": (
        pickle.dumps(np.zeros(2)).replace(b"K\x02\x85", b"J\xff\xff\xff\xff\x85"),
        "it holds an array without a shape",
    ),
    "another encoding": (
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00utf-7\x86R.",
        "it encodes something other than latin1 text",
    ),
}


@pytest.mark.parametrize("name", REFUSED_CONTENTS)
def test_contents_that_no_array_has_are_refused(tmp_path: Path, name: str) -> None:
    data, reason = REFUSED_CONTENTS[name]
    path = write(tmp_path, data)
    assert refusal(path) == f"{path}: not a pickle that can be read: {reason}"


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, b"\x80\x02" + b"]" * 50 + b"a" * 49 + b".")
    assert refusal(path).endswith("its containers are nested deeper than 32")
    path = write(tmp_path, b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".")
    assert refusal(path).endswith("its containers are nested deeper than 32")


def test_a_memo_index_or_length_takes_no_memory(tmp_path: Path) -> None:
    # The reader in C would reserve 32 GB for the index of the first.
    assert load_pickle(write(tmp_path, b"\x80\x02Nr\xff\xff\xff\x7f.")) is None
    assert "not a pickle that can be read" in refusal(write(tmp_path, b"\x80\x04\x8e" + b"\xff" * 6 + b"\x00\x00."))
    assert "not a pickle that can be read" in refusal(write(tmp_path, b"\x80\x05\x96" + b"\xff" * 7 + b"\x00."))


@pytest.mark.parametrize(("data", "reason"), [(b"", "EOFError"), (b"\x80\x63.", "unsupported pickle protocol: 99")])
def test_what_is_no_pickle_is_said(tmp_path: Path, data: bytes, reason: str) -> None:
    path = write(tmp_path, data)
    assert refusal(path) == f"{path}: not a pickle that can be read: {reason}"


def test_absent_and_oversized_files(tmp_path: Path) -> None:
    absent = tmp_path / "absent.pkl"
    assert refusal(absent) == f"{absent}: cannot be read: No such file or directory"
    path = write(tmp_path, pickle.dumps(proposals()))
    with pytest.raises(InputError, match=r"boxes\.pkl: \d+ bytes, more than the 100 that a pickle may have"):
        load_pickle(path, max_bytes=100)


NUMBERS = arrays.arrays(
    dtype=st.sampled_from(["<f4", ">f8", "<f2", "i1", "<u4", ">i8", "?"]),
    shape=arrays.array_shapes(min_dims=0, min_side=0, max_side=4),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3) | st.tuples(inner),
    max_leaves=12,
)


@settings(deadline=None)
@given(value=VALUES, array=NUMBERS, protocol=st.sampled_from(PROTOCOLS))
def test_round_trip(scratch: Path, value: Any, array: Any, protocol: int) -> None:
    found = load_pickle(write(scratch, pickle.dumps([value, array], protocol)))
    assert found[0] == value
    np.testing.assert_array_equal(found[1], array)
    assert found[1].dtype == array.dtype


SEEDS = [*HOSTILE.values(), pickle.dumps(proposals(), 2), pickle.dumps(proposals(), 5)]


@settings(deadline=None)
@given(data=st.data())
def test_garbage_is_an_input_error_or_a_plain_value(scratch: Path, data: st.DataObject) -> None:
    seed = bytearray(data.draw(st.sampled_from(SEEDS) | st.binary(max_size=60)))
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(seed)))
        seed[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path = write(scratch, bytes(seed))
    plain = (
        dict,
        list,
        tuple,
        set,
        frozenset,
        str,
        bytes,
        bytearray,
        int,
        float,
        type(None),
        np.ndarray,
        np.generic,
    )
    try:
        assert isinstance(load_pickle(path), plain)
    except InputError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017
