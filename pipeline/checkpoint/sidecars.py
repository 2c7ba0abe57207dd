"""The typed sidecar of a checkpoint; errors name the file and the key that is missing or of another type."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from pipeline.base.errors import InputError
from pipeline.base.invalid import key_of, told_of
from pipeline.base.omitted_fields import is_left_out
from pipeline.checkpoint.specs import SEVERAL, BackboneSpec, DetectorSpec, HeadSpec, RecognizerSpec
from pipeline.models.settings import Labels, LongTermHead, Scope
from pipeline.video.clip_input import ClipInput

REMEDY = "it was changed, or made by another version: make it anew (`dvc repro`), or fetch it (`dvc checkout`)"
Kind = Literal["backbone", "detector", "head", "recognizer"]
Value = TypeVar("Value")


@with_config(ConfigDict(extra="allow"))
class Record(TypedDict, total=False):
    """How a checkpoint was made, as its sidecar records it; unknown keys are kept."""

    channels: int
    "Channels of a person's feature."
    initial_weights: dict[str, Any] | None
    "File and sha256 of the weights that the backbone started from; None if they were drawn at random."
    parameters: dict[str, Any]
    "Parameters of the training."
    trained_on: dict[str, str]
    "Digests of frames, annotations and boxes."
    annotations: str
    "Digest of the annotations that a head was trained on."
    selected_epoch: int
    history: list[dict[str, Any]]
    "One row per epoch."
    producer: str | None
    "sha256 of the checkpoint that made the banks."
    baseline: str | None
    "sha256 of the baseline, if there was one."
    banks: dict[str, str]
    "Digest of each split's bank."
    mixed_banks: dict[str, Any]
    "Differences between the banks that were accepted; empty if there were none."
    background_row: Literal["dropped", "kept", "none"]
    "What happened to row 0 of a converted classifier."
    source: dict[str, Any]
    "For a converted checkpoint: the file, and what happened to its keys."


@dataclass(frozen=True, kw_only=True)
class HandedOn:
    """The spec of a baseline that takes the place of a head and is scored unchanged."""

    scope: Scope
    head: LongTermHead
    threads: int
    classes: int
    input: ClipInput
    labels: Labels = SEVERAL
    detector: "Checkpoint"
    "The baseline; the weights beside this sidecar are a copy of its weights."

    @property
    def kind(self) -> Literal["detector"]:
        """The kind that the sidecar records."""
        return "detector"

    @property
    def clip(self) -> ClipInput:
        """The clip that the detector gets as input."""
        return self.input


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint as its sidecar describes it."""

    spec: BackboneSpec | DetectorSpec | HeadSpec | HandedOn | RecognizerSpec
    record: Record = field(default_factory=Record)
    sha256: str = ""
    "sha256 of the weights; empty until they are written."
    absent: frozenset[str] = frozenset()
    "Dotted keys of the spec that the file lacks; they take their defaults, and `to_json` leaves them out again."
    where: str = field(default="a checkpoint", compare=False)
    "The sidecar's path, for messages."

    @property
    def kind(self) -> Kind:
        """Whether the weights are those of a backbone, a whole detector, a head, or a whole recognizer."""
        return self.spec.kind

    @classmethod
    def from_json(cls, value: Any, where: str) -> "Checkpoint":
        """Read the checkpoint that a sidecar describes.

        Args:
            value: the parsed JSON.
            where: the file, for messages.

        Raises:
            InputError: it is not an object, has no `sha256`, or a key is missing, unknown in its block or of another
                type; the message names the first such key.
        """
        if not isinstance(value, dict) or "sha256" not in value:
            raise InputError(f"{where}: no sidecar of a checkpoint: it has no sha256")
        top = _read(_Top, value, where)
        kind, given = top.get("kind", "backbone"), dict(value)
        form: type[BackboneSpec | DetectorSpec | HeadSpec | HandedOn | RecognizerSpec]
        if kind == "backbone":
            form = BackboneSpec
        elif kind == "recognizer":
            form = RecognizerSpec
        elif kind == "detector" and "detector" in value:
            form = HandedOn
            given["detector"] = cls.from_json(value["detector"], f"{where}: detector")
            given["detector"].detector()
        else:
            form = HeadSpec if kind == "head" or "scope" in value else DetectorSpec
        names = {each.name for each in fields(form)}
        spec = _read(form, {key: each for key, each in given.items() if key in names}, where)
        if spec.kind != kind:
            raise InputError(f"{where}: kind is {kind!r}, expected {spec.kind!r} in scope {top.get('scope')}; {REMEDY}")
        rest = {key: each for key, each in value.items() if key not in {*names, "kind", "sha256"}}
        absent = frozenset(_missing({"kind": kind, **plain(spec)}, value))
        return cls(spec=spec, record=_read(Record, rest, where), sha256=top["sha256"], absent=absent, where=where)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object, in plain dicts and lists; `from_json` turns it back into this checkpoint."""
        whole = {"kind": self.kind, **plain(self.spec), **plain(self.record)}
        for key in self.absent:
            *blocks, last = key.split(".")
            block = whole
            for each in blocks:
                block = block[each]
            del block[last]
        return {**whole, "sha256": self.sha256} if self.sha256 else whole

    @property
    def original(self) -> "Checkpoint":
        """The baseline itself if this is one that was handed on, else this checkpoint."""
        return self.spec.detector if isinstance(self.spec, HandedOn) else self

    def detector(self) -> DetectorSpec:
        """Return the spec of a baseline.

        Raises:
            InputError: this is another kind of checkpoint.
        """
        if isinstance(self.spec, DetectorSpec):
            return self.spec
        raise InputError(f"{self.where}: is a {self.named}, expected a detector whose head reads no bank")

    def features(self) -> DetectorSpec | HeadSpec:
        """Return the spec of a detector whose features fill a bank: a baseline, or one with its own memory.

        Raises:
            InputError: this is another kind of checkpoint.
        """
        if isinstance(self.spec, HeadSpec) and self.spec.scope == "all" and self.spec.head.is_asynchronous:
            return self.spec
        return self.detector()

    def recognizer(self) -> RecognizerSpec:
        """Return the spec of a recognizer.

        Raises:
            InputError: this is another kind of checkpoint.
        """
        if isinstance(self.spec, RecognizerSpec):
            return self.spec
        raise InputError(f"{self.where}: is a {self.named}, expected a recognizer")

    def scored(self) -> HeadSpec | HandedOn:
        """Return the spec of a checkpoint that `train_head` wrote.

        Raises:
            InputError: this is another kind of checkpoint.
        """
        if isinstance(self.spec, HeadSpec | HandedOn):
            return self.spec
        raise InputError(f"{self.where}: has no 'scope'; {REMEDY}")

    @property
    def named(self) -> str:
        """The kind and, unless it is a backbone, the name of the head, for messages."""
        return self.kind if isinstance(self.spec, BackboneSpec) else f"{self.kind} with head {self.spec.head.name}"


# Stands for backbone weights that have no sidecar.
BARE = Checkpoint(spec=BackboneSpec(), absent=frozenset({"backbone", "width"}))


class _Top(TypedDict, total=False):
    """The keys that decide which spec a sidecar holds."""

    kind: Kind
    sha256: str
    scope: Scope


def hand_on(baseline: Checkpoint, *, head: LongTermHead, scope: Scope, threads: int) -> Checkpoint:
    """Make the checkpoint of a baseline that takes the place of a head.

    Raises:
        InputError: the checkpoint is not a baseline.
    """
    baseline.detector()
    known = baseline.to_json()
    shared = {name: known[name] for name in ("classes", "input", "labels") if name in known}
    made = {"scope": scope, "head": plain(head), "threads": threads, "mixed_banks": {}, "detector": known}
    return Checkpoint.from_json({"kind": "detector", "sha256": baseline.sha256, **shared, **made}, baseline.where)


def plain(value: Any) -> Any:
    """Convert to plain dicts and lists, as JSON has them; fields are left out as `LEFT_OUT` says."""
    if isinstance(value, Checkpoint):
        return value.to_json()
    if is_dataclass(value):
        return {
            each.name: plain(getattr(value, each.name))
            for each in fields(value)
            if not is_left_out(each, getattr(value, each.name))
        }
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def read_settings(form: type[Value], value: Any, where: str) -> Value:
    """Read a dataclass of settings from its JSON object.

    Raises:
        InputError: a key is missing, unknown or of another type; the message begins with `where`.
    """
    return _read(form, value, where, remedy="")


def _read(form: type[Value], value: Any, where: str, *, remedy: str = REMEDY) -> Value:
    try:
        read: Value = _adapter(cast(Any, form)).validate_python(value)
        return read
    except ValidationError as error:
        first = error.errors()[0]
    end = f"; {remedy}" if remedy else ""
    if first["type"] == "missing":
        *blocks, last = map(str, first["loc"])
        raise InputError(f"{': '.join([where, *blocks])}: has no {last!r}{end}")
    found = "" if first["type"] == "value_error" else f" (found {str(first['input'])[:60]!r})"
    raise InputError(f"{where}: {told_of(first, key_of(first))}{found}{end}")


@cache
def _adapter(form: Any) -> TypeAdapter[Any]:
    return TypeAdapter(form)


def _missing(whole: Mapping[str, Any], given: Mapping[str, Any], block: str = "") -> Iterator[str]:
    """Yield the dotted keys of `whole` that `given` lacks."""
    for key, value in whole.items():
        if key not in given:
            yield f"{block}{key}"
        elif isinstance(value, dict) and isinstance(given[key], dict):
            yield from _missing(value, given[key], f"{block}{key}.")
