"""What stands in a checkpoint's sidecar, typed: a key that is missing or of another kind names the file and the key."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.base.errors import InputError

REMEDY = "it was changed, or made by another version: make it anew (`dvc repro`), or fetch it (`dvc checkout`)"
Three = tuple[float, float, float]


class _Block(BaseModel):
    model_config = ConfigDict(extra="allow")


class _Exact(BaseModel):
    """A block that becomes the arguments of a function: a key too many would be refused there."""

    model_config = ConfigDict(extra="forbid")


class _Input(_Exact):
    frames: int
    interval: int
    short_side: int
    offset_frames: int = 0
    mean: Three
    std: Three


class _Roi(_Exact):
    output_size: int = 8
    temporal: Literal["mean", "max"] = "mean"
    context: Literal["none", "global"] = "none"
    aligned: bool = True


class _Labels(_Block):
    kind: Literal["multi", "single"] = "multi"
    background: bool = False


class _Window(_Block):
    seconds: int
    per_second: int
    mask: Literal["none", "valid"]


class _Head(_Block):
    name: str
    mlp: bool = False
    options: dict[str, Any] = {}
    standardise: str | None = None
    window: _Window | None = None


class _Sidecar(_Block):
    """Of a backbone, a detector or a head; each has some of the keys."""

    sha256: str
    kind: Literal["backbone", "detector", "head"] = "backbone"
    scope: Literal["head", "all"] | None = None
    backbone: str | None = None
    width: int | None = None
    channels: int | None = None
    roi_channels: int = 0
    bank_channels: int = 0
    columns: int = 1
    classes: int = 1
    threads: int = 1
    dropout: float = 0.0
    feature_dropout: float = 0.0
    selected_epoch: int = 0
    history: list[dict[str, Any]] = []
    banks: dict[str, str] = {}
    mixed_banks: dict[str, Any] = {}
    input: _Input | None = None
    roi: _Roi | None = None
    labels: _Labels | None = None
    head: _Head | None = None
    detector: "_Sidecar | None" = None


class Sidecar(dict[str, Any]):
    """A JSON object as it stands in a file; asking for a key that it has not is an `InputError`."""

    where = "a sidecar"

    def __missing__(self, key: str) -> Any:
        raise InputError(f"{self.where}: has no {key!r}; {REMEDY}")


def plain_values(value: Any) -> Any:
    """The same with ordinary dicts, for formats that other programs read."""
    return {key: plain_values(each) for key, each in value.items()} if isinstance(value, dict) else value


def checked_sidecar(value: Any, path: Path) -> Sidecar:
    """The sidecar that a file holds; its values are as in the file.

    Args:
        value: of the JSON.
        path: the file, for messages.

    Raises:
        InputError: it is no object, has no `sha256`, or a key is of another kind; the first such key is named. Later,
            where a key is asked for that it has not.
    """
    if not isinstance(value, dict) or "sha256" not in value:
        raise InputError(f"{path}: no sidecar of a checkpoint: it has no sha256")
    try:
        _Sidecar.model_validate(value, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        found = "" if first["type"] == "missing" else f" (found {str(first['input'])[:60]!r})"
        raise InputError(f"{path}: {key}: {first['msg']}{found}; {REMEDY}") from None
    except RecursionError:
        raise InputError(f"{path}: is nested too deeply for a sidecar; {REMEDY}") from None
    return _watched(value, str(path))


def _watched(value: dict[str, Any], where: str) -> Sidecar:
    watched = Sidecar(
        {key: _watched(each, f"{where}: {key}") if isinstance(each, dict) else each for key, each in value.items()}
    )
    watched.where = where
    return watched
