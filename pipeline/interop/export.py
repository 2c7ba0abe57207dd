"""Export our detectors and backbones as MMAction2's state dicts; this is the exact inverse of the conversion."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.checkpoint.sidecars import Checkpoint, HandedOn
from pipeline.checkpoint.specs import BackboneSpec, DetectorSpec, HeadSpec, RecognizerSpec
from pipeline.interop import mmaction2_recognizer
from pipeline.interop.conversion import last_layer
from pipeline.interop.mmaction2 import upstream_key, upstream_shape


def export_mmaction2(tensors: Mapping[str, Tensor], checkpoint: Checkpoint) -> tuple[dict[str, Any], list[str]]:
    """Convert a checkpoint to MMAction2's form; return it with notes about what that form cannot express.

    A multi-label classifier gets a row 0 of zeros, which MMAction2 expects before its classes and does not score.

    Args:
        tensors: the weights of our checkpoint.
        checkpoint: the content of its sidecar.

    Returns:
        `state_dict` with upstream's keys and shapes in our order; `meta` with plain values.

    Raises:
        InputError: the head, or the pooling of cells, has no counterpart upstream, or the checkpoint holds no backbone.
    """
    checkpoint = checkpoint.original
    spec, known = checkpoint.spec, checkpoint.to_json()
    if checkpoint.kind == "head":
        raise InputError("a head without a backbone is no model of MMAction2; export a detector")
    if isinstance(spec, DetectorSpec) and spec.frozen:
        raise InputError(f"its features are those of a frozen {spec.frozen.model_type}, which it does not hold")
    if isinstance(spec, DetectorSpec | HeadSpec) and spec.roi and spec.roi.pool != "max":
        raise InputError(f"roi.pool is {spec.roi.pool}, and MMAction2 takes the maximum over a person's cells")
    if isinstance(spec, BackboneSpec):
        tensors = {f"backbone.{key.removeprefix('backbone.')}": value for key, value in tensors.items()}
    first_row = (
        isinstance(spec, DetectorSpec | HeadSpec)
        and spec.labels.kind != "single"
        and checkpoint.record.get("background_row") != "kept"
    )
    last = last_layer(tensors)
    state: dict[str, Tensor] = {}
    for key, value in tensors.items():
        name = (
            mmaction2_recognizer.upstream_key(key, head=spec.head.name, segments=spec.segments)
            if isinstance(spec, RecognizerSpec)
            else upstream_key(key)
        )
        if name is None:
            head = "unknown" if isinstance(spec, BackboneSpec) else spec.head.name
            raise InputError(f"{key}: the head {head} has no counterpart in MMAction2 (or is standardised)")
        if first_row and key in last:
            value = torch.cat([torch.zeros_like(value[:1]), value])
        state[name] = value.reshape(upstream_shape(name, tuple(value.shape))).contiguous()
    meta = {
        key: known[key] for key in ("backbone", "width", "roi", "head", "input", "labels", "segments") if key in known
    }
    notes = []
    if isinstance(spec, DetectorSpec | HeadSpec | HandedOn) and spec.labels.kind == "grouped":
        notes.append("MMAction2 scores every class by a sigmoid, this model some groups of classes by a softmax")
    if str(known.get("backbone")).startswith("pyslowfast_slowfast"):
        notes.append("MMAction2 takes the slow frames at an even stride, this model was trained with PySlowFast's")
    return {"state_dict": state, "meta": {"exported_from": "ActionBank", **meta}}, notes
