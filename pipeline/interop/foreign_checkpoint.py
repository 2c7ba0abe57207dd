"""A checkpoint of another framework, and what its readers share: names of entries, tensors, what lies beside them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.checkpoint.sidecars import Checkpoint
from pipeline.interop.mmaction2_recognizer import RecognizerShape
from pipeline.interop.pickles import Inert

Framework = Literal["mmaction2", "pyslowfast", "alphaction", "acar", "torchvision", "trn", "videomae", "hiera", "ours"]
Kind = Literal["detector", "classifier", "backbone", "recognizer", "frames"]


@dataclass(frozen=True)
class Foreign:
    """A recognised checkpoint."""

    framework: Framework
    kind: Kind
    """frames: the backbone of a network for single frames, whatever its head; recognizer: such a network with its head;
    classifier: a network for clips, or one for frames that becomes such a one."""
    described: str
    "Description for the user: `MMAction2 1.x detector`."
    tensors: dict[str, Tensor]
    "Weights under the source's names, without `module.`."
    rename: Callable[[str], str | None]
    "Returns our name of a key; None for a classifier's own head."
    no_weights: tuple[str, ...] = ()
    "Names of entries that are not weights."
    head: str = ""
    "Prefix of the keys of the source's own head; empty if it has none."
    folded: bool = False
    "True for Caffe2, whose batch norms are folded into scale and bias."
    checkpoint: Checkpoint | None = None
    "Set for one of our own checkpoints."
    notes: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    "Names among `tensors` that the file lacks."
    recognizer: RecognizerShape | None = None
    "What the weights of another source's recognizer show."


def keys_by_name(path: Path, weights: Mapping[Any, Any]) -> dict[str, str]:
    """Return the keys by their names, which are without the prefix of torch's parallel wrappers.

    Raises:
        InputError: a key is no name, or two of them have the same name.
    """
    names: dict[str, str] = {}
    for key in weights:
        if not isinstance(key, str) or not key.isprintable():
            found = ascii(key)[:40] if isinstance(key, str) else f"of type {type(key).__name__}"
            raise InputError(f"{path}: a key of its weights is {found}, expected a name")
        name = key.removeprefix("module.")
        if name in names:
            raise InputError(f"{path}: {names[name]} and {key} both stand for {name}")
        names[name] = key
    return names


def tensors_of(path: Path, weights: Mapping[Any, Any]) -> tuple[dict[str, Tensor], list[str]]:
    """Return the weights by their names (`keys_by_name`), and the names of other entries among them.

    Raises:
        InputError: as `keys_by_name`; or an entry is an object of a training framework.
    """
    for key, value in weights.items():
        if isinstance(value, Inert):
            raise InputError(f"{path}: refused: {key} is an object of a training framework, expected a tensor")
    named = {name: weights[key] for name, key in keys_by_name(path, weights).items()}
    tensors = {key: value.detach() for key, value in named.items() if isinstance(value, Tensor)}
    return tensors, [key for key in named if key not in tensors]


def left_beside(around: Mapping[str, Any], *weights: str) -> tuple[list[str], tuple[str, ...]]:
    """Return the names of what lies around the entries `weights` of a file, and a note on them."""
    beside = [key for key in map(str, around) if key not in weights]
    return beside, (f"{', '.join(beside)} are left out: they belong to a training",) if beside else ()
