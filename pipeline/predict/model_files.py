"""Find the files of a model: a project's own, a packed one, or a converted checkpoint; and pack one."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.base.checksums import read_sealed_json, write_sealed_json
from pipeline.base.errors import DamagedError, InputError
from pipeline.base.files import digest_file, digest_value, replace_folder
from pipeline.checkpoint.frozen_network import NETWORK
from pipeline.checkpoint.sidecars import Checkpoint, hand_on, plain, read_settings
from pipeline.checkpoint.specs import DetectorSpec, HeadSpec
from pipeline.checkpoint.weights import BASELINE, HEAD, read_checkpoint
from pipeline.models.settings import LongTermHead
from pipeline.params import load_params
from pipeline.predict.class_thresholds import UNKNOWN, project_thresholds
from pipeline.predict.settings import PredictSettings, settings_of, usual_settings
from pipeline.tables.label_map import AVA_EVALUATED, Label, read_label_map, read_labels, write_labels
from pipeline.tables.schemas import ANNOTATIONS, KEYFRAMES
from pipeline.tables.split_tables import Tables

FORMAT, VERSION = "actionbank model", 1
RECORD = "model.json"
WEIGHTS = ("head", "baseline", "backbone")
PACKED = (RECORD, *(f"{name}.{kind}" for name in WEIGHTS for kind in ("safetensors", "json")), "labels.json")
EXPECTED = (
    "a project's folder (with models/head.safetensors), a model of `actionbank pack-model`, or a .safetensors file of "
    "`actionbank convert` with its sidecar"
)
AGAIN = "pack it again, or fetch it again"


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """Where a model lies, and all that is known about it without its weights."""

    where: str
    "For messages."
    head: Path
    "Weights of the head or of the whole detector; the sidecar lies beside them."
    baseline: Path | None
    "Weights of the model that makes the rows; None where the detector itself does, or none are read."
    checkpoint: Checkpoint
    "What is scored."
    settings: PredictSettings
    labels: Sequence[Label]
    thresholds: Mapping[int, float]
    "By action id."
    provenance: Mapping[str, Any]
    project: Path | None = None
    "The project that the model is of, if it is there."

    @property
    def network(self) -> Path | None:
        """The weights of the frozen network that makes the features; None if a network of this project does."""
        made_by = self.checkpoint if self.baseline is None else read_checkpoint(self.baseline)
        spec = made_by.original.spec
        is_frozen = isinstance(spec, DetectorSpec) and spec.frozen is not None
        return (self.baseline or self.head).with_name(NETWORK.name) if is_frozen else None

    @property
    def digest(self) -> str:
        """The sha256 of all that a prediction depends on besides its film: weights, settings and classes."""
        weights = [read_checkpoint(each).sha256 for each in (self.head, self.baseline) if each is not None]
        return digest_value([VERSION, weights, plain(self.settings), plain(list(self.labels))])


def find_model(path: Path, labels: Path | None = None) -> ModelFiles:
    """Find the model at a path; see EXPECTED.

    Args:
        path: the model.
        labels: a label map with the names of a converted checkpoint's classes; None takes AVA's where it has 80.

    Raises:
        InputError: there is none, it is not whole or of another version, or it cannot be put on films.
        DamagedError: its bytes have changed since it was written.
    """
    if labels is not None and path.suffix != ".safetensors":
        raise InputError(f"{path}: has classes of its own, and labels are given; a converted checkpoint takes them")
    if (path / RECORD).is_file():
        return _packed(path)
    for root in (path, path.parent):
        if (root / HEAD).is_file() and path in (root, root / "models"):
            return _of_project(root)
    if path.is_file() and path.suffix == ".safetensors":
        return _converted(path, labels)
    if path.is_dir() and any((path / name).exists() for name in PACKED):
        raise InputError(f"{path}: not a whole model: {RECORD} is missing (it is written last); {AGAIN}")
    raise InputError(f"{path}: no model there; --model takes {EXPECTED}")


def _of_project(root: Path) -> ModelFiles:
    params = load_params(root / "params.yaml")
    checkpoint = read_checkpoint(root / HEAD)
    annotations = root / "data" / params.dataset.name / "annotations"
    known = read_labels(annotations / "labels.json")
    empty = Tables(ANNOTATIONS.empty_table(), KEYFRAMES.empty_table(), known, None)
    labels = empty.scored_labels("all", checkpoint.scored().classes)
    found = ModelFiles(
        where=str(root / HEAD),
        head=root / HEAD,
        baseline=root / BASELINE if needs_baseline(checkpoint) else None,
        checkpoint=checkpoint,
        settings=settings_of(params),
        labels=labels,
        thresholds=project_thresholds(root, annotations, labels),
        provenance={"dataset": params.dataset.name, "recipe": params.choices.experiment},
        project=root,
    )
    check_baseline(found)
    return found


def _converted(path: Path, label_map: Path | None) -> ModelFiles:
    checkpoint = read_checkpoint(path)
    if isinstance(checkpoint.spec, DetectorSpec):
        head = LongTermHead(name="baseline", reads="features", standardise="none")
        checkpoint = hand_on(checkpoint, head=head, scope="all", threads=1)
    elif not isinstance(checkpoint.spec, HeadSpec) or checkpoint.spec.scope != "all":
        raise InputError(f"{path}: is a {checkpoint.named}, expected a whole detector, or {EXPECTED}")
    spec = checkpoint.scored()
    known = read_label_map(label_map) if label_map else list(AVA_EVALUATED) if spec.classes == 80 else []
    labels = Tables(ANNOTATIONS.empty_table(), KEYFRAMES.empty_table(), known, None).scored_labels("all", spec.classes)
    baseline = path.with_name(BASELINE.name)
    found = ModelFiles(
        where=str(path),
        head=path,
        baseline=baseline if needs_baseline(checkpoint) else None,
        checkpoint=checkpoint,
        settings=usual_settings(spec.clip, decode=spec.labels.decode),
        labels=labels,
        thresholds={label.id: UNKNOWN for label in labels},
        provenance={"source": plain(checkpoint.original.record).get("source")},
    )
    check_baseline(found)
    return found


def needs_baseline(checkpoint: Checkpoint) -> bool:
    """Return whether another model makes the rows that are scored, or those of the windows."""
    spec = checkpoint.scored()
    if not isinstance(spec, HeadSpec):
        return False
    return spec.scope == "head" or (spec.head.window is not None and not spec.head.is_asynchronous)


def check_baseline(files: ModelFiles) -> None:
    """Check that the model that makes the rows is there, and is the one that the head was trained with.

    Raises:
        InputError: it is absent, another one, or makes rows of other channels.
    """
    if files.baseline is None:
        return
    spec, producer = files.checkpoint.scored(), files.checkpoint.record.get("producer")
    assert isinstance(spec, HeadSpec)  # see `needs_baseline`
    if not files.baseline.is_file():
        made = f"checkpoint {producer}" if producer else "a model that it does not name"
        raise InputError(
            f"{files.where}: head {spec.head.name} reads rows of {made}, and {files.baseline} is not there; a bank "
            "made elsewhere is of no use for a new film"
        )
    baseline = read_checkpoint(files.baseline)
    channels = baseline.record.get("channels")
    expected = spec.roi_channels if spec.scope == "head" else spec.bank_channels
    if channels is not None and channels != expected:
        raise InputError(
            f"{files.where}: head {spec.head.name} reads rows of {expected} channels, {files.baseline} makes rows of "
            f"{channels}"
        )
    if baseline.sha256 != producer:
        raise InputError(
            f"{files.where}: was trained with rows of checkpoint {producer}, {files.baseline} is {baseline.sha256}"
        )


def pack_model(out: Path, files: ModelFiles) -> str:
    """Write a model into a folder of its own, which needs nothing beside it; return its digest.

    Raises:
        InputError: `out` holds something else.
        DamagedError: weights are not those that their sidecar describes.
    """
    with replace_folder(out, PACKED) as folder:
        for name, path in zip(WEIGHTS, (files.head, files.baseline, files.network), strict=True):
            if path is None:
                continue
            if digest_file(path) != read_checkpoint(path).sha256:
                raise DamagedError(f"{path}: is not the file that its sidecar describes, so it is not packed")
            shutil.copyfile(path, folder / f"{name}.safetensors")  # a link would share its later fate
            described = files.checkpoint if name == "head" else read_checkpoint(path)
            write_sealed_json(folder / f"{name}.json", described.to_json())
        write_labels(folder / "labels.json", files.labels)
        names = [name for name in PACKED[1:] if (folder / name).is_file()]
        record = {
            "format": FORMAT,
            "version": VERSION,
            "digest": files.digest,
            "settings": plain(files.settings),
            "thresholds": {str(key): value for key, value in files.thresholds.items()},
            "provenance": dict(files.provenance),
            "files": {name: digest_file(folder / name) for name in names},
        }
        write_sealed_json(folder / RECORD, record)
    return files.digest


def _packed(folder: Path) -> ModelFiles:
    where = str(folder / RECORD)
    record = read_sealed_json(folder / RECORD, remedy=AGAIN, required=True)
    if record.get("format") != FORMAT:
        raise InputError(f"{where}: format is {record.get('format')!r}, expected {FORMAT!r}")
    if record.get("version") != VERSION:
        raise InputError(f"{where}: is a packed model of version {record.get('version')}, this is read: {VERSION}")
    for name, sha256 in record["files"].items():
        if not (folder / name).is_file():
            raise InputError(f"{folder}: not a whole model: {name} is missing; {AGAIN}")
        if (found := digest_file(folder / name)) != sha256:
            raise DamagedError(
                f"{folder / name}: is damaged: sha256 is {found[:12]}, was packed with {sha256[:12]}; {AGAIN}"
            )
    baseline = folder / "baseline.safetensors"
    found_files = ModelFiles(
        where=str(folder),
        head=folder / "head.safetensors",
        baseline=baseline if baseline.name in record["files"] else None,
        checkpoint=read_checkpoint(folder / "head.safetensors"),
        settings=read_settings(PredictSettings, record["settings"], f"{where}: settings"),
        labels=read_labels(folder / "labels.json"),
        thresholds={int(key): value for key, value in record["thresholds"].items()},
        provenance=record["provenance"],
    )
    if found_files.digest != record["digest"]:
        raise DamagedError(f"{folder}: is damaged: digest is {found_files.digest[:12]}, was packed with "
                           f"{record['digest'][:12]}; {AGAIN}")  # fmt: skip
    return found_files
