"""Files of `torch.save`, of both formats: read whole, and nothing that they name is run."""

import io
import os
import pickle
import sys
import types
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.errors import InputError
from pipeline.interop.pickles import Inert
from pipeline.interop.torch_files import LEGACY_MAGIC, load_torch

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple[Any, Any]:
        return self.call


def save(folder: Path, value: Any, *, zipped: bool = True) -> Path:
    path = folder / "x.pth"
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        load_torch(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    base = torch.randn(6, 4)
    return {
        "plain": base,
        "view": base[1:3],
        "transposed": base.t(),
        "strided": base[::2, 1],
        "scalar": torch.tensor(3),
        "empty": torch.empty(0, 5),
        "half": base.half(),
        "bfloat": base.bfloat16(),
        "double": base.double(),
        "bytes": torch.arange(9, dtype=torch.uint8),
        "flags": base > 0,
        "parameter": torch.nn.Parameter(base * 2),
    }


@FORMATS
def test_tensors_of_every_type_and_layout_come_back_equal(tmp_path: Path, zipped: bool) -> None:
    found = load_torch(save(tmp_path, OrderedDict(tensors()), zipped=zipped))
    assert list(found) == list(tensors())
    for key, expected in tensors().items():
        assert found[key].dtype == expected.dtype
        assert torch.equal(found[key], expected), key
    assert found["plain"].data_ptr() == found["transposed"].data_ptr()  # a shared storage is read once


@FORMATS
def test_what_stands_beside_the_weights_is_read_or_stands_for_nothing(
    tmp_path: Path, zipped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As MMEngine pickles its log buffers: an instance, and methods of the class by getattr.
    module = types.ModuleType("mmengine.logging.history_buffer")

    class HistoryBuffer:
        def mean(self) -> None: ...

    HistoryBuffer.__module__, HistoryBuffer.__qualname__ = module.__name__, "HistoryBuffer"
    HistoryBuffer.mean.__module__, HistoryBuffer.mean.__qualname__ = module.__name__, "HistoryBuffer.mean"
    module.HistoryBuffer = HistoryBuffer  # type: ignore[attr-defined]
    for name in ("mmengine", "mmengine.logging"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    buffer = HistoryBuffer()
    buffer.history, buffer.methods = np.arange(3.0), {"mean": HistoryBuffer.mean}  # type: ignore[attr-defined]
    value = {
        "state_dict": tensors(),
        "meta": {"epoch": 3, "time": np.float64(1.5), "array": np.arange(4), "device": torch.device("cpu")},
        "message_hub": {"log_scalars": {"loss": buffer}, "methods": HistoryBuffer.mean},
        "param_schedulers": [{"milestones": Counter([10, 15]), "size": torch.Size([2, 3])}],
    }
    path = save(tmp_path, value, zipped=zipped)
    for name in ("mmengine", "mmengine.logging", module.__name__):
        monkeypatch.delitem(sys.modules, name)
    found = load_torch(path)
    assert module.__name__ not in sys.modules
    assert isinstance(found["message_hub"]["log_scalars"]["loss"], Inert)
    assert isinstance(found["message_hub"]["methods"], Inert)
    assert found["meta"]["time"] == 1.5
    assert found["meta"]["array"].tolist() == [0, 1, 2, 3]
    assert found["param_schedulers"] == [{"milestones": {10: 1, 15: 1}, "size": (2, 3)}]
    assert torch.equal(found["state_dict"]["view"], tensors()["view"])


@FORMATS
@pytest.mark.parametrize(
    ("function", "name"),
    [(os.system, f"{os.system.__module__}.system"), (eval, "builtins.eval"), (exec, "builtins.exec")],
)
def test_a_hostile_file_is_refused_with_the_names_it_asks_for(
    tmp_path: Path, zipped: bool, function: Any, name: str
) -> None:
    mark = tmp_path / "ran"
    words = f"touch {mark}" if function is os.system else f"open({str(mark)!r}, 'w')"
    path = save(tmp_path, {"state_dict": tensors(), "meta": Calls(function, words)}, zipped=zipped)
    module, _, short = name.rpartition(".")
    expected = f"{'__builtin__' if module == 'builtins' else module}.{short}"
    assert refusal(path) == (
        f"{path}: refused: the pickle names {expected}; only tensors, arrays and plain containers are read, and there "
        "is no unsafe fallback: save the state dict alone, without other objects"
    )
    assert not mark.exists()


def test_every_name_is_told_and_what_looks_like_a_framework_does_not_hide_it(tmp_path: Path) -> None:
    data = pickle.dumps([Calls(os.system, "true"), Calls(os.getenv, "HOME")], 2)
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", data)
    assert f"the pickle names os.getenv, {os.system.__module__}.system; only tensors" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        # getattr of anything but an ignored object: here of a list.
        archive.writestr("x/data.pkl", b"c__builtin__\ngetattr\n(]X\x06\x00\x00\x00appendtR.")
    assert refusal(path) == f"{path}: not a pickle that can be read: it takes an attribute of an object"


def rewrite(path: Path, change: Any) -> None:
    """Write a zip anew with the entries that `change(name, data)` gives, or leaves out."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            changed = change(name, data)
            if changed is not None:
                archive.writestr(name, changed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n, d: None if n.endswith("data.pkl") else d, "not a torch.save file: its archive has 0 data.pkl"),
        (lambda n, d: None if n.endswith("data/0") else d, "the storage '0' is not in the file"),
        (lambda n, d: d[:-4] if n.endswith("data/0") else d, "a storage of 24 torch.float32 has 92 bytes"),
        (lambda n, d: b"big" if n.endswith("byteorder") else d, "was saved on a big-endian machine"),
        (lambda n, d: d.replace(b"K\x06K\x04\x86", b"K\x07K\x04\x86") if n.endswith(".pkl") else d, "it holds a ten"),
    ],
)
def test_a_damaged_archive_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    path = save(tmp_path, {"w": tensors()["plain"]})
    rewrite(path, change)
    assert message in refusal(path)


def test_a_program_and_a_compressed_archive_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps({}))
        archive.writestr("x/constants.pkl", b"")
    assert refusal(path) == f"{path}: a TorchScript program, expected a checkpoint: save its state dict"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", pickle.dumps({"a": "b" * 10_000}))
    assert refusal(path) == f"{path}: its archive is compressed, as torch.save never does"


def test_a_tensor_beyond_its_storage_is_refused_in_both_formats(tmp_path: Path) -> None:
    for size, stride in (((7,), (4,)), ((30,), (0,))):
        view = Calls(
            torch._utils._rebuild_tensor_v2, torch.zeros(24)._typed_storage(), 0, size, stride, False, OrderedDict()
        )
        for zipped in (True, False):
            assert f"it holds a tensor of shape {size} in 24 numbers" in refusal(save(tmp_path, [view], zipped=zipped))


def test_no_file_another_file_and_a_cut_one(tmp_path: Path) -> None:
    path = tmp_path / "none.pth"
    assert refusal(path) == f"{path}: cannot be read: No such file or directory"
    path.write_bytes(b"something else")
    assert refusal(path) == f"{path}: not a torch.save file"
    for zipped in (True, False):
        cut = save(tmp_path, tensors(), zipped=zipped)
        cut.write_bytes(cut.read_bytes()[:-30])
        assert "not a whole torch.save file" in refusal(cut)


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


# 30 lists, each of which holds the one before it twice: a short file, and 4 GB when it is shown.
DOUBLED = b"]" + b"".join(b"q%c0]h%cah%ca" % (number, number, number) for number in range(30))


def test_what_would_be_too_long_to_show_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    storage = b"\x80\x02(" + text("storage") + b"ctorch\nFloatStorage\n" + DOUBLED + text("cpu") + b"K\x04tQ."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", storage)
    assert refusal(path) == f"{path}: not a pickle that can be read: it holds a storage without a key or a length"
    path.write_bytes(LEGACY_MAGIC + b"\x80\x02" + DOUBLED + b"." + pickle.dumps({}, 2))
    assert "its containers and arrays stand in so many places that it would be more than 256 MiB" in refusal(path)
    path.write_bytes(LEGACY_MAGIC + pickle.dumps(1000, 2) + pickle.dumps({}, 2))
    assert refusal(path) == f"{path}: a torch.save file of protocol 1000, expected 1001"
    path.write_bytes(LEGACY_MAGIC + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": False}, 2))
    assert refusal(path) == f"{path}: was saved on a big-endian machine, which is not read"
    path.write_bytes(
        LEGACY_MAGIC + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + pickle.dumps(1, 2) + pickle.dumps([1], 2)
    )
    assert refusal(path) == f"{path}: not a whole torch.save file: its list of storages is not that of its value"


def legacy_bytes() -> bytes:
    buffer = io.BytesIO()
    torch.save({"w": torch.arange(5.0)}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def zip_bytes() -> bytes:
    buffer = io.BytesIO()
    torch.save({"w": torch.arange(5.0)}, buffer)
    return buffer.getvalue()


@FORMATS
def test_the_state_dict_of_a_module_with_its_metadata(tmp_path: Path, zipped: bool) -> None:
    """PyTorch hangs an attribute on the OrderedDict, which a checkpoint is read without."""
    weights = torch.nn.Linear(2, 3).state_dict()
    assert weights._metadata  # type: ignore[attr-defined]
    found = load_torch(save(tmp_path, weights, zipped=zipped))
    assert type(found) is dict
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[key], weights[key]) for key in weights)


@FORMATS
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_no_damage_ends_in_anything_but_a_message(
    tmp_path_factory: pytest.TempPathFactory, zipped: bool, data: st.DataObject
) -> None:
    content = bytearray(zip_bytes() if zipped else legacy_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(16, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damage") / "x.pth"
    path.write_bytes(bytes(content))
    error = ""
    try:
        load_torch(path)
    except InputError as raised:
        error = str(raised)
    assert "\n" not in error
    assert not error or error.startswith(f"{path}: ")
