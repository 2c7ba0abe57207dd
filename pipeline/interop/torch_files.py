"""Read `torch.save` files, of both formats, without running anything that they name.

`torch.load(weights_only=True)` refuses a checkpoint that holds one object of a training framework beside its weights
(MMEngine's log buffers, a yacs configuration), although that object is not needed. Here such names of known frameworks
are replaced by inert objects; every other name that is neither a tensor nor a container is refused, as in `pickles`. A
file cannot cause an import or a call.
"""

import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.base.files import refuse_special
from pipeline.interop.pickles import ALLOWED, MAX_DIMENSIONS, Global, Inert, Reader, make_container, read_value
from pipeline.interop.shallow import Refusal

WHAT = (
    "tensors, arrays and plain containers are read, and there is no unsafe fallback: save the state dict alone, "
    "without other objects"
)
ZIP_MAGIC = b"PK\x03\x04"
# The pickle of torch's magic number, with which files from before PyTorch 1.6 begin.
LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
# Packages whose objects lie beside the weights in checkpoints of MMAction2, PySlowFast and projects like them.
_IGNORED_PACKAGES = (
    "mmengine", "mmcv", "mmaction", "mmdet", "yacs", "fvcore", "omegaconf", "addict", "alphaction", "AlphAction",
)  # fmt: skip
_IGNORED_NAMES = {
    *("argparse.Namespace", "collections.defaultdict", "datetime.date", "datetime.datetime", "datetime.timedelta"),
    *(f"pathlib.{name}" for name in ("Path", "PosixPath", "PurePath", "PurePosixPath", "WindowsPath")),
    *(f"torch.{name}" for name in ("device", "float16", "bfloat16", "float32", "float64", "int64")),
}


class _Storage(Global):
    """A storage class; it only gives the number type."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: torch.dtype) -> None:
        def make(*_: Any) -> Any:
            raise Refusal("it makes a storage")

        super().__init__(make)
        self.dtype = dtype


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    """Return a view of a storage, within its bounds."""
    is_layout = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) + len(stride) <= 2 * MAX_DIMENSIONS
    numbers = (offset, *size, *stride) if is_layout else (None,)
    if not isinstance(storage, Tensor) or not all(type(each) is int and 0 <= each < 1 << 40 for each in numbers):
        raise Refusal("it holds a tensor of an unknown layout")
    last = sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if math.prod(size) and (offset + last >= len(storage) or math.prod(size) > len(storage)):
        raise Refusal(f"it holds a tensor of shape {size} in {len(storage)} numbers")
    return torch.as_strided(storage, size, stride, offset) if math.prod(size) else storage.new_empty(size)


def _parameter(data: Any, *_: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise Refusal("it holds a parameter without a tensor")
    return data


def _attribute(owner: Any, name: Any) -> Inert:
    if not isinstance(owner, Inert) or not isinstance(name, str):
        raise Refusal("it takes an attribute of an object")
    return Inert()


_ALLOWED_HERE: Mapping[str, Any] = {
    **ALLOWED,
    "torch._utils._rebuild_tensor_v2": Global(_tensor),
    "torch._utils._rebuild_tensor": Global(_tensor),
    "torch._utils._rebuild_parameter": Global(_parameter),
    "torch.Size": make_container(tuple, list, tuple),
    "collections.Counter": make_container(dict, dict),
    # Pickles before protocol 4 name a method of an ignored class in this way.
    "builtins.getattr": Global(_attribute),
    "__builtin__.getattr": Global(_attribute),
    **{f"torch.{place}{name}": _Storage(dtype) for name, dtype in _DTYPES.items() for place in ("", "cuda.")},
}


def _ignored(name: str) -> bool:
    return name.split(".")[0] in _IGNORED_PACKAGES or name in _IGNORED_NAMES


def _reader(file: io.BytesIO, persistent: Any = None) -> Reader:
    return Reader(file, allowed=_ALLOWED_HERE, ignored=_ignored, persistent=persistent)


def _storage_id(pid: Any) -> tuple[torch.dtype, str, int]:
    """Return number type, key and length of a storage that the pickle refers to."""
    if not (isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage" and isinstance(pid[1], _Storage)):
        raise Refusal("it refers to something that is no storage of numbers")
    # The key must be text, so that messages can show it: nested lists could print more than fits into memory.
    if not isinstance(pid[2], str) or type(pid[4]) is not int or pid[4] < 0:
        raise Refusal("it holds a storage without a key or a length")
    return pid[1].dtype, pid[2], pid[4]


def _filled(data: bytes, dtype: torch.dtype, count: int) -> Tensor:
    if len(data) != count * dtype.itemsize:
        raise Refusal(f"a storage of {count} {dtype} has {len(data)} bytes")
    # Make a writable copy: frombuffer keeps the buffer that it gets.
    return torch.frombuffer(bytearray(data), dtype=dtype) if count else torch.empty(0, dtype=dtype)


def _read_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise InputError(f"{path}: not a torch.save file: its archive has {len(pickles)} data.pkl, expected 1")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}constants.pkl" in entries:
            raise InputError(f"{path}: a TorchScript program, expected a checkpoint: save its state dict")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
            raise InputError(f"{path}: its archive is compressed, as torch.save never does")
        if sum(entry.file_size for entry in entries.values()) > path.stat().st_size:
            raise InputError(f"{path}: its archive says that it holds more bytes than the file has")
        if f"{root}byteorder" in entries and archive.read(f"{root}byteorder") != b"little":
            raise InputError(f"{path}: was saved on a big-endian machine, which is not read")
        storages: dict[str, Tensor] = {}

        def persistent(pid: Any) -> Tensor:
            dtype, key, count = _storage_id(pid)
            if key not in storages:
                name = f"{root}data/{key}"
                if name not in entries:
                    raise Refusal(f"the storage {key[:40]!r} is not in the file")
                storages[key] = _filled(archive.read(name), dtype, count)
            if storages[key].dtype != dtype or len(storages[key]) != count:
                raise Refusal(f"the storage {key[:40]!r} has two types")
            return storages[key]

        file = io.BytesIO(archive.read(pickles[0]))
        return read_value(_reader(file, persistent), path, what=WHAT, leaves=(Tensor, Inert))


def _read_legacy(path: Path) -> Any:
    """Read magic number, protocol and platform; the value; the keys of its storages; the bytes of each."""
    data = path.read_bytes()
    file = io.BytesIO(data)
    read_value(_reader(file), path, what=WHAT)
    protocol = read_value(_reader(file), path, what=WHAT)
    platform = read_value(_reader(file), path, what=WHAT)
    if protocol != 1001:
        found = str(protocol)[:20] if isinstance(protocol, int) else type(protocol).__name__
        raise InputError(f"{path}: a torch.save file of protocol {found}, expected 1001")
    if not isinstance(platform, dict) or not platform.get("little_endian", True):
        raise InputError(f"{path}: was saved on a big-endian machine, which is not read")
    storages: dict[str, Tensor] = {}
    taken = 0

    def persistent(pid: Any) -> Tensor:
        nonlocal taken
        dtype, key, count = _storage_id(pid)
        if key not in storages:
            taken += count * dtype.itemsize
            if taken > len(data):
                raise Refusal("its storages are larger than the file")
            storages[key] = torch.empty(count, dtype=dtype)
        view = pid[5] if len(pid) > 5 else None
        if view is None:
            return storages[key]
        if not (isinstance(view, tuple) and len(view) == 3 and all(type(n) is int and n >= 0 for n in view[1:])):
            raise Refusal("it holds a storage of an unknown layout")
        return storages[key][view[1] : view[1] + view[2]]

    value = read_value(_reader(file, persistent), path, what=WHAT, leaves=(Tensor, Inert))
    keys = read_value(_reader(file), path, what=WHAT)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or set(keys) != set(storages):
        raise InputError(f"{path}: not a whole torch.save file: its list of storages is not that of its value")
    for key in keys:
        storage = storages[key]
        head = file.read(8)
        if len(head) < 8 or int(np.frombuffer(head, "<i8")[0]) != len(storage):
            raise InputError(f"{path}: not a whole torch.save file: it ends or changes within its storages")
        content = file.read(storage.nbytes)
        if len(content) != storage.nbytes:
            raise InputError(f"{path}: not a whole torch.save file: it ends within its storages")
        if len(storage):
            storage.copy_(torch.frombuffer(bytearray(content), dtype=storage.dtype))
    return value


def load_torch(path: Path) -> Any:
    """Read a `torch.save` file of either format.

    Args:
        path: the file.

    Returns:
        The value with its tensors on the CPU. Objects of training frameworks are `Inert`; the caller must refuse them
        in the part that it uses (`pipeline.interop.foreign_checkpoint` does so in a state dict).

    Raises:
        InputError: the file is absent, damaged, or names anything other than tensors, arrays, containers and objects of
            the training frameworks; the message lists all such names.
    """
    refuse_special(path)
    try:
        with path.open("rb") as file:
            head = file.read(len(LEGACY_MAGIC))
        if head.startswith(ZIP_MAGIC):
            return _read_zip(path)
        if head == LEGACY_MAGIC:
            return _read_legacy(path)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception as error:  # a damaged archive can raise any exception
        damage = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path}: not a whole torch.save file: {damage}") from None
    raise InputError(f"{path}: not a torch.save file")
