"""Recognise by its keys which framework wrote a checkpoint, and take the weights out of it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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
    pyslowfast_checkpoint,
    torchvision_resnet,
    transformer_checkpoint,
    videomae_files,
)
from pipeline.interop.foreign_checkpoint import Foreign, Framework, Kind, keys_by_name, left_beside, tensors_of
from pipeline.interop.mmaction2_recognizer import recognizer_shape
from pipeline.interop.pickles import load_pickle
from pipeline.interop.reading import naming
from pipeline.interop.torch_files import LEGACY_MAGIC, ZIP_MAGIC, load_torch


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
    if path.suffix == ".safetensors" and (path.with_suffix(".json").exists() or not videomae_files.is_videomae(value)):
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
    names = keys_by_name(path, weights)
    if any(name.startswith("s1.pathway0_") for name in names):
        return pyslowfast_checkpoint.from_torch(*tensors_of(path, weights), around, taken_as)
    if any(pyslowfast.caffe2_key(name) for name in names):
        return pyslowfast_checkpoint.from_caffe2(path, weights, taken_as)
    if alphaction.is_alphaction(names):
        return _alphaction(*tensors_of(path, weights), around)
    if acar_keys.is_acar(names):
        return _acar(*tensors_of(path, weights), around)
    if hiera_weights.is_hiera(names):
        return transformer_checkpoint.from_hiera(path, *tensors_of(path, weights), around)
    if videomae_files.is_videomae(names):
        return transformer_checkpoint.from_videomae(path, *tensors_of(path, weights), around)
    if any(name.startswith("backbone.") for name in names):
        return _mmaction2(path, *tensors_of(path, weights), around, taken_as)
    if torchvision_resnet.is_original_trn(names):
        return _original_trn(path, *tensors_of(path, weights))
    if torchvision_resnet.is_torchvision(names):
        return _torchvision(*tensors_of(path, weights))
    raise InputError(
        f"{path}: no checkpoint that is known: its keys are {', '.join(sorted(names)[:3]) or 'none'}, expected those "
        "of MMAction2 (backbone.*), PySlowFast (s1.pathway0_*), Caffe2 (conv1_w), AlphAction (roi_heads.*), "
        "ACAR-Net (slow_conv1.weight), torchvision (conv1.weight), TRN-pytorch (base_model.*), VideoMAE "
        "(patch_embed.proj.weight, or transformers' names), Hiera for clips (pos_embed_spatial) or of this project "
        "(safetensors)"
    )


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
        return transformer_checkpoint.from_layout(
            path, "mmaction2", kind, described, videomae_files.read_mmaction2, tensors, others, head
        )
    return Foreign("mmaction2", kind, described, tensors, mmaction2.our_key, tuple(others), head)


def _recognizer(
    path: Path,
    framework: Framework,
    described: str,
    tensors: dict[str, Tensor],
    mmaction2_key: Callable[[str], str],
    others: list[str],
) -> Foreign:
    """Take a recognizer of single frames, whose keys have names of MMAction2."""
    with naming(path):
        shape = recognizer_shape({mmaction2_key(key): tuple(value.shape) for key, value in tensors.items()})
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


def _alphaction(tensors: dict[str, Tensor], others: list[str], around: Mapping[str, Any]) -> Foreign:
    """Take the weights; around them lie the states of optimiser and schedule and the memory of a training."""
    head = any(key.startswith(alphaction.HEAD) for key in tensors)
    kind: Kind = "detector" if head else "backbone"
    interacts = alphaction.has_interaction(tensors)
    unused = alphaction.unused_keys(tensors)
    beside, notes = left_beside(around, "model")
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


def _acar(tensors: dict[str, Tensor], others: list[str], around: Mapping[str, Any]) -> Foreign:
    """Take the weights; around them lie the states of optimiser and schedule of a training."""
    kind: Kind = "detector" if any(key.startswith(acar_keys.HEAD) for key in tensors) else "backbone"
    beside, notes = left_beside(around, "state_dict")
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
