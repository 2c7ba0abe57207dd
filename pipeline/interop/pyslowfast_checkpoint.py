"""Take the weights out of a checkpoint of PySlowFast: torch's file, or Caffe2's pickle of arrays."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.interop import pyslowfast
from pipeline.interop.conversion import some
from pipeline.interop.foreign_checkpoint import Foreign, Kind

AVA_CLASSES = 80


def from_torch(
    tensors: dict[str, Tensor], others: list[str], around: Mapping[str, Any], taken_as: Kind | None
) -> Foreign:
    """Take the weights of a file of torch; its configuration, where it lies beside them, tells the kind of head."""
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


def from_caffe2(path: Path, blobs: Mapping[Any, Any], taken_as: Kind | None) -> Foreign:
    """Take the blobs of a Caffe2 file that are weights.

    Raises:
        InputError: they are of a network with blocks that no network of this project has.
    """
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


def _native(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.array(array, dtype=array.dtype.newbyteorder("="), copy=True, order="C")
