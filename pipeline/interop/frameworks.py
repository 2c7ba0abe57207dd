"""Recognise by its keys which framework wrote a checkpoint, and take the weights out of it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import yaml
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.checkpoint.sidecars import Checkpoint
from pipeline.checkpoint.specs import RecognizerSpec
from pipeline.checkpoint.weights import load_checkpoint, load_tensors
from pipeline.interop import (
    acar_keys,
    alphaction,
    hiera_weights,
    mmaction2,
    mmaction2_recognizer,
    pyslowfast,
    torchvision_resnet,
    videomae_files,
)
from pipeline.interop.conversion import some
from pipeline.interop.mmaction2_recognizer import RecognizerShape, recognizer_shape
from pipeline.interop.pickles import Inert, load_pickle
from pipeline.interop.torch_files import LEGACY_MAGIC, ZIP_MAGIC, load_torch

Framework = Literal["mmaction2", "pyslowfast", "alphaction", "acar", "torchvision", "trn", "videomae", "hiera", "ours"]
Kind = Literal["detector", "classifier", "backbone", "recognizer", "frames"]
AVA_CLASSES = 80


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


def load_foreign(path: Path) -> Any:
    """Load a checkpoint file of torch, Caffe2 (a pickle of arrays) or safetensors.

    Raises:
        InputError: the file is absent, damaged, or names an object that is not read.
    """
    if path.suffix == ".safetensors":
        return load_tensors(path)
    try:
        with path.open("rb") as file:
            head = file.read(len(LEGACY_MAGIC))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if head.startswith(ZIP_MAGIC) or head == LEGACY_MAGIC:
        return load_torch(path)
    return load_pickle(path)


def recognise_checkpoint(path: Path, *, taken_as: Kind | None = None) -> Foreign:
    """Read a checkpoint and recognise its framework.

    Args:
        path: the file.
        taken_as: what keys do not show: whether the head of a PySlowFast file scores persons or clips, or that a file
            for single frames stays one (recognizer, frames) and is not inflated to clips.

    Raises:
        InputError: see `load_foreign`; or the checkpoint is of no known kind.
    """
    value = load_foreign(path)
    if path.suffix == ".safetensors" and (path.with_suffix(".json").exists() or not _is_videomae(value)):
        return _ours(path, value)
    if not isinstance(value, dict):
        told = acar_keys.told_annotations(value) or f"a {type(value).__name__}"
        raise InputError(f"{path}: holds {told}, expected a checkpoint's dictionary")
    for key in ("state_dict", "model_state", "blobs", "model", "module"):
        if isinstance(value.get(key), dict):
            weights, around = value[key], value
            break
    else:
        weights, around = value, {}
    names = _names(path, weights)
    if any(name.startswith("s1.pathway0_") for name in names):
        return _pyslowfast(*_tensors(path, weights), around, taken_as)
    if any(pyslowfast.caffe2_key(name) for name in names):
        return _caffe2(path, weights, taken_as)
    if alphaction.is_alphaction(names):
        return _alphaction(*_tensors(path, weights), around)
    if acar_keys.is_acar(names):
        return _acar(*_tensors(path, weights), around)
    if hiera_weights.is_hiera(names):
        return _hiera(path, *_tensors(path, weights), around)
    if _is_videomae(names):
        return _videomae(path, *_tensors(path, weights), around)
    if any(name.startswith("backbone.") for name in names):
        return _mmaction2(path, *_tensors(path, weights), around, taken_as)
    if torchvision_resnet.is_original_trn(names):
        return _original_trn(path, *_tensors(path, weights))
    if torchvision_resnet.is_torchvision(names):
        return _torchvision(*_tensors(path, weights))
    raise InputError(
        f"{path}: no checkpoint that is known: its keys are {', '.join(sorted(names)[:3]) or 'none'}, expected those "
        "of MMAction2 (backbone.*), PySlowFast (s1.pathway0_*), Caffe2 (conv1_w), AlphAction (roi_heads.*), "
        "ACAR-Net (slow_conv1.weight), torchvision (conv1.weight), TRN-pytorch (base_model.*), VideoMAE "
        "(patch_embed.proj.weight, or transformers' names), Hiera for clips (pos_embed_spatial) or of this project "
        "(safetensors)"
    )


def _names(path: Path, weights: Mapping[Any, Any]) -> dict[str, str]:
    """Return the keys by their names without the prefix of torch's parallel wrappers."""
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


def _tensors(path: Path, weights: Mapping[Any, Any]) -> tuple[dict[str, Tensor], list[str]]:
    """Return the weights under their `_names`, and the names of other entries among them."""
    for key, value in weights.items():
        if isinstance(value, Inert):
            raise InputError(f"{path}: refused: {key} is an object of a training framework, expected a tensor")
    named = {name: weights[key] for name, key in _names(path, weights).items()}
    tensors = {key: value.detach() for key, value in named.items() if isinstance(value, Tensor)}
    return tensors, [key for key in named if key not in tensors]


def _mmaction2(
    path: Path, tensors: dict[str, Tensor], others: list[str], around: Mapping[str, Any], taken_as: Kind | None
) -> Foreign:
    meta = around.get("meta")
    versions = set(meta) if isinstance(meta, dict) else set()
    version = " 1.x" if "mmengine_version" in versions else " 0.x" if "mmcv_version" in versions else ""
    if "message_hub" in around:
        version = " 1.x"
    kind: Kind = "backbone"
    head = ""
    if any(key.startswith("roi_head.") for key in tensors):
        kind, head = "detector", "roi_head."
    elif any(key.startswith("cls_head.") for key in tensors):
        kind, head = "classifier", "cls_head."
    others += [key for key in tensors if key.startswith("data_preprocessor.")]
    tensors = {key: value for key, value in tensors.items() if key not in others}
    relates = any(key.startswith("cls_head.consensus.") for key in tensors)
    if taken_as == "frames":
        return Foreign(
            "mmaction2", "frames", f"MMAction2{version} {kind}", tensors, mmaction2.our_key, tuple(others), head
        )
    if taken_as == "recognizer" or (relates and taken_as is None):
        described = f"MMAction2{version} recognizer"
        return _recognizer(path, "mmaction2", described, tensors, lambda key: key, others)
    described = f"MMAction2{version} {kind}"
    if videomae_files.is_mmaction2(tensors):
        return _transformer(path, "mmaction2", kind, described, videomae_files.read_mmaction2, tensors, others, head)
    return Foreign("mmaction2", kind, described, tensors, mmaction2.our_key, tuple(others), head)


def _is_videomae(names: Collection[str]) -> bool:
    return videomae_files.is_original(names) or videomae_files.is_transformers(names)


def _videomae(path: Path, tensors: dict[str, Tensor], others: list[str], around: Mapping[str, Any]) -> Foreign:
    """Take the backbone of a file of VideoMAE; around it lies the state of a training."""
    original = videomae_files.is_original(tensors)
    head = next((each for each in ("head.", "classifier.") if f"{each}weight" in tensors), "")
    kind: Kind = "classifier" if head else "backbone"
    read = videomae_files.read_original if original else videomae_files.read_transformers
    described = f"{'VideoMAE' if original else 'transformers VideoMAE'} {kind}"
    beside = [key for key in map(str, around) if key not in ("model", "module")]
    return _transformer(path, "videomae", kind, described, read, tensors, [*others, *beside], head)


def _transformer(
    path: Path,
    framework: Framework,
    kind: Kind,
    described: str,
    read: Callable[[Mapping[str, Tensor]], videomae_files.ReadWeights],
    tensors: dict[str, Tensor],
    others: list[str],
    head: str,
) -> Foreign:
    found = _read(path, read, tensors)
    return Foreign(
        framework,
        kind,
        described,
        found.tensors,
        mmaction2.our_key if framework == "mmaction2" else lambda key: videomae_files.our_key(key, found.prefix),
        (*others, *found.dropped),
        head,
        notes=tuple(found.notes),
        made=tuple(found.made),
    )


def _recognizer(
    path: Path,
    framework: Framework,
    described: str,
    tensors: dict[str, Tensor],
    mmaction2_key: Callable[[str], str],
    others: list[str],
) -> Foreign:
    """Take a recognizer of single frames, whose keys have names of MMAction2."""
    try:
        shape = recognizer_shape({mmaction2_key(key): tuple(value.shape) for key, value in tensors.items()})
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return Foreign(
        framework,
        "recognizer",
        described,
        tensors,
        lambda key: mmaction2_recognizer.our_key(mmaction2_key(key), shape),
        tuple(others),
        head=mmaction2_recognizer.HEAD,
        recognizer=shape,
    )


def _original_trn(path: Path, tensors: dict[str, Tensor], others: list[str]) -> Foreign:
    key = torchvision_resnet.mmaction2_key
    if not any(key(name) == "backbone.conv1.conv.weight" for name in tensors):
        raise InputError(
            f"{path}: a TRN on another backbone than ResNet (BNInception, for one), which is no network of this project"
        )
    return _recognizer(path, "trn", "TRN-pytorch recognizer", tensors, key, others)


def _torchvision(tensors: dict[str, Tensor], others: list[str]) -> Foreign:
    key = torchvision_resnet.backbone_key
    head = "fc." if "fc.weight" in tensors else ""
    return Foreign("torchvision", "frames", "torchvision ResNet", tensors, key, tuple(others), head)


def _pyslowfast(
    tensors: dict[str, Tensor], others: list[str], around: Mapping[str, Any], taken_as: Kind | None
) -> Foreign:
    paths = pyslowfast.count_pathways(tensors)
    kind, notes = _projection(tensors.get("head.projection.weight"), around.get("cfg"), taken_as)
    return Foreign(
        "pyslowfast",
        kind,
        f"PySlowFast {kind}",
        tensors,
        lambda key: pyslowfast.our_key(key, pathways=paths),
        tuple(others),
        head="head." if kind != "backbone" else "",
        notes=notes,
    )


def _projection(weight: Any, config: Any, taken_as: Kind | None) -> tuple[Kind, tuple[str, ...]]:
    """Decide whether the one linear layer of PySlowFast scores persons or clips."""
    if weight is None:
        return "backbone", ()
    if taken_as is not None:
        return taken_as, ()
    if isinstance(config, str):
        try:
            detection = yaml.safe_load(config)["DETECTION"]["ENABLE"]
        except Exception:  # a foreign text can raise any exception: by its dates or its nesting
            detection = None
        if isinstance(detection, bool):
            return "detector" if detection else "classifier", ()
    rows = weight.shape[0] if weight.dim() else 0
    kind: Kind = "detector" if rows == AVA_CLASSES else "classifier"
    return kind, (f"its head has {rows} rows, so it is taken as a {kind}'s; --as says otherwise",)


def _caffe2(path: Path, blobs: Mapping[Any, Any], taken_as: Kind | None) -> Foreign:
    tensors, no_weights = {}, []
    for key, value in blobs.items():
        name = str(key)
        if pyslowfast.is_no_weight(name) or not isinstance(value, np.ndarray | Tensor):
            no_weights.append(name)
        else:
            # The arrays are views of the file: read-only, and in the byte order of the machine that wrote it.
            tensors[name] = value if isinstance(value, Tensor) else torch.from_numpy(_native(value))
    lfb = pyslowfast.lfb_blobs(tensors)
    if lfb:
        raise InputError(
            f"{path}: {len(lfb)} blobs of an I3D network with non-local blocks or of a head on it{some(lfb)}, which is "
            "no network of this project; SlowOnly and SlowFast ResNets of PySlowFast are read"
        )
    renamed = {pyslowfast.caffe2_key(name) or name for name in tensors}
    paths = pyslowfast.count_pathways(renamed)
    kind, notes = _projection(tensors.get("pred_w"), None, taken_as)

    def rename(key: str) -> str | None:
        middle = pyslowfast.caffe2_key(key)
        return middle and pyslowfast.our_key(middle, pathways=paths)

    head = "pred_" if kind != "backbone" else ""
    described = f"PySlowFast (Caffe2) {kind}"
    return Foreign("pyslowfast", kind, described, tensors, rename, tuple(no_weights), head, folded=True, notes=notes)


def _alphaction(tensors: dict[str, Tensor], others: list[str], around: Mapping[str, Any]) -> Foreign:
    """Take the weights; around them lie the states of optimiser and schedule and the memory of a training."""
    head = any(key.startswith(alphaction.HEAD) for key in tensors)
    kind: Kind = "detector" if head else "backbone"
    interacts = alphaction.has_interaction(tensors)
    unused = alphaction.unused_keys(tensors)
    beside, notes = _beside(around, "model")
    if unused:
        notes += ("the reduction of the keys of persons is left out: its network never applies it",)
    return Foreign(
        "alphaction",
        kind,
        f"AlphAction {kind}{', with interaction' if interacts else ''}",
        {key: value for key, value in tensors.items() if key not in unused},
        lambda key: alphaction.our_key(key, interacts=interacts),
        (*others, *beside, *unused),
        head=alphaction.HEAD if head else "",
        notes=notes,
    )


def _read(
    path: Path, read: Callable[[Mapping[str, Tensor]], videomae_files.ReadWeights], tensors: Mapping[str, Tensor]
) -> videomae_files.ReadWeights:
    """Call `read`; an error names the file."""
    try:
        return read(tensors)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _hiera(path: Path, tensors: dict[str, Tensor], others: list[str], around: Mapping[str, Any]) -> Foreign:
    found = _read(path, hiera_weights.read_hiera, tensors)
    head = hiera_weights.HEAD if any(key.startswith(hiera_weights.HEAD) for key in tensors) else ""
    kind: Kind = "classifier" if head else "backbone"
    beside, _ = _beside(around, "model_state")
    return Foreign(
        "hiera",
        kind,
        f"Hiera {'masked autoencoder' if found.dropped else kind}",
        found.tensors,
        hiera_weights.our_key,
        (*others, *beside, *found.dropped),
        head,
        notes=tuple(found.notes),
        made=tuple(found.made),
    )


def _acar(tensors: dict[str, Tensor], others: list[str], around: Mapping[str, Any]) -> Foreign:
    """Take the weights; around them lie the states of optimiser and schedule of a training."""
    kind: Kind = "detector" if any(key.startswith(acar_keys.HEAD) for key in tensors) else "backbone"
    beside, notes = _beside(around, "state_dict")
    if kind == "detector":
        notes += (
            "its columns are AVA's 60 evaluated classes in order of id, which dataset.class_map chooses "
            "(--recipe ava22_acar_r50 has it)",
            "relations are taken as halved (downsample max2x2), which leaves no trace in the weights",
        )
    return Foreign(
        "acar",
        kind,
        f"ACAR-Net {kind}",
        tensors,
        acar_keys.our_key,
        (*others, *beside),
        head=acar_keys.HEAD if kind == "detector" else "",
        notes=notes,
    )


def _beside(around: Mapping[str, Any], weights: str) -> tuple[list[str], tuple[str, ...]]:
    """Return the names of what lies around the weights, and a note on it."""
    beside = [key for key in map(str, around) if key != weights]
    return beside, (f"{', '.join(beside)} are left out: they belong to a training",) if beside else ()


def _native(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.array(array, dtype=array.dtype.newbyteorder("="), copy=True, order="C")


def _ours(path: Path, tensors: dict[str, Tensor]) -> Foreign:
    known: Checkpoint | None = None
    if path.with_suffix(".json").exists():
        tensors, described = load_checkpoint(path)
        known = described.original
    if known is not None and isinstance(known.spec, RecognizerSpec):
        return Foreign(
            "ours", "recognizer", "ActionBank recognizer", tensors, lambda key: key, head="head.", checkpoint=known
        )
    if any(key.startswith("backbone.") for key in tensors):
        kind: Kind = "detector" if any(key.startswith("head.") for key in tensors) else "backbone"
        head = "head." if kind == "detector" else ""
        return Foreign("ours", kind, f"ActionBank {kind}", tensors, lambda key: key, head=head, checkpoint=known)
    if known is not None and known.kind == "head":
        raise InputError(f"{path}: a head without a backbone, which nothing else can take")
    return Foreign("ours", "backbone", "ActionBank backbone", tensors, lambda key: f"backbone.{key}", checkpoint=known)
