"""Write a checkpoint as an ONNX model, with a JSON file beside it that says what goes in and what comes out."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.base.files import atomic_path, json_text, write_bytes
from pipeline.checkpoint.build_baseline import build_baseline
from pipeline.checkpoint.build_scope import build_scope_detector, build_scope_head
from pipeline.checkpoint.sidecars import Checkpoint, plain
from pipeline.checkpoint.specs import DetectorSpec, HeadSpec
from pipeline.checkpoint.weights import load_into
from pipeline.interop.onnx_graph import OPSET, Graph, Port, trace
from pipeline.models.detector import Detector
from pipeline.models.heads.head import Head
from pipeline.models.settings import Labels
from pipeline.models.standardise import StandardisedHead
from pipeline.tables.label_map import Label

METADATA = "actionbank"
"The key of the model's metadata that holds the description, as JSON."
MOST_BYTES = 2**31 - 2**20
"A protobuf holds less than 2 GiB."


def export_onnx(
    to: Path, tensors: Mapping[str, Tensor], checkpoint: Checkpoint, labels: Sequence[Label] | None
) -> dict[str, Any]:
    """Write `to` (the model) and `to` with the suffix .json (its description); return the description.

    The old description goes first and the new one is written last: where there is one, the model is whole.

    Args:
        to: the .onnx file.
        tensors: the weights of our checkpoint.
        checkpoint: the content of its sidecar.
        labels: the names of the classes; None leaves them out.

    Raises:
        InputError: the checkpoint is a backbone alone, a label is no class of it, a package is absent, or the network
            cannot be traced.
    """
    spec = checkpoint.original.spec
    if not isinstance(spec, DetectorSpec | HeadSpec):
        raise InputError(f"is a {checkpoint.named}, expected a detector, or a head on stored features")
    if isinstance(spec, DetectorSpec) and spec.frozen:
        raise InputError(
            f"its features are those of {spec.frozen.library}'s {spec.frozen.model_type}, which is not exported; a "
            "head of scope=head on its rows is"
        )
    above = [label.id for label in labels or () if label.id > spec.classes]
    if above:
        raise InputError(f"has {spec.classes} classes, and the label map names id {above[0]}")
    network = build_network(spec, tensors, checkpoint.where)
    known = {**described(spec, checkpoint.original, network, labels), "opset": OPSET}
    graph = Graph(network, spec.labels)
    sizes = fixed_sizes(spec, network)
    model, inputs, outputs = trace(graph, sizes, lambda ins, outs: {METADATA: json_text({**known, **_ends(ins, outs)})})
    data = model.SerializeToString(deterministic=True)
    beside = to.with_suffix(".json")
    beside.unlink(missing_ok=True)
    write_bytes(to, data)
    known |= {**_ends(inputs, outputs), "model": {"file": to.name, "sha256": hashlib.sha256(data).hexdigest()}}
    with atomic_path(beside) as partial:
        partial.write_text(json_text(known), encoding="utf-8")
    return known


def build_network(
    spec: DetectorSpec | HeadSpec, tensors: Mapping[str, Tensor], where: str
) -> Detector | Head | StandardisedHead:
    """Build the network of a spec in evaluation mode, with its weights.

    Raises:
        InputError: the weights do not fit, or take more than a model can hold.
    """
    found = sum(each.numel() * each.element_size() for each in tensors.values())
    if found > MOST_BYTES:
        raise InputError(f"has {found} bytes of weights, expected at most {MOST_BYTES}: a protobuf holds no more")
    network: Detector | Head | StandardisedHead
    if isinstance(spec, DetectorSpec):
        network = build_baseline(spec)
    else:
        network = build_scope_head(spec) if spec.scope == "head" else build_scope_detector(spec)
    load_into(network, dict(tensors), where)
    return network.eval()


def fixed_sizes(spec: DetectorSpec | HeadSpec, network: Detector | Head | StandardisedHead) -> dict[str, int]:
    """Return the sizes of inputs and outputs that the settings fix, by the words of `INPUTS` and `OUTPUTS`."""
    window = spec.head.window if isinstance(spec, HeadSpec) else None
    return {
        "FRAMES": spec.input.frames if spec.input else 0,
        "CHANNELS": network.roi_channels if isinstance(network, Detector) else spec.roi_channels,  # type: ignore[union-attr]
        "BANK": spec.bank_channels if isinstance(spec, HeadSpec) else 0,
        "SLOTS": window.seconds * window.per_second if window else 0,
        "CLASSES": spec.classes,
        "COLUMNS": spec.columns,
    }


def described(
    spec: DetectorSpec | HeadSpec,
    checkpoint: Checkpoint,
    network: Detector | Head | StandardisedHead,
    labels: Sequence[Label] | None,
) -> dict[str, Any]:
    """Return what one who serves the model must know: clips, windows, objects, classes and scores."""
    head = spec.head
    long_term = isinstance(spec, HeadSpec)
    return {
        "checkpoint": {"sha256": checkpoint.sha256, "kind": checkpoint.kind, "backbone": spec.backbone},
        "head": head.name,
        "clip": None if spec.input is None else {**plain(spec.input), "colour": "RGB", "layout": "[3, frames, h, w]"},
        "boxes": {"stride": network.backbone.stride if isinstance(network, Detector) else None, "unit": "pixels"},
        "window": plain(head.window) if long_term else None,  # type: ignore[union-attr]
        "objects": plain(head.objects) if long_term else None,  # type: ignore[union-attr]
        "producer": checkpoint.record.get("producer"),
        "classes": spec.classes,
        "labels": None if labels is None else [plain(each) for each in labels],
        "score": score_function(spec.labels, spec.classes),
    }


def score_function(labels: Labels, classes: int) -> dict[str, Any]:
    """Return how scores are made of logits: the columns of each part, and its function."""
    if labels.kind == "grouped":
        parts, first = [], 0
        for group, size in zip(labels.groups, labels.sizes, strict=True):
            parts.append({"columns": [first, first + size], "function": group.kind, "first_id": first + 1})
            first += size
        return {"kind": labels.kind, "parts": parts, "background_column": None}
    columns = classes + labels.background
    function = "sigmoid" if labels.kind == "multi" else "softmax"
    part = {"columns": [0, columns], "function": function, "first_id": 0 if labels.background else 1}
    return {"kind": labels.kind, "parts": [part], "background_column": 0 if labels.background else None}


def _ends(inputs: list[Port], outputs: list[Port]) -> dict[str, Any]:
    return {"inputs": [asdict(each) for each in inputs], "outputs": [asdict(each) for each in outputs]}
