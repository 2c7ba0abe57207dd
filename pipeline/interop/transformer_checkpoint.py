"""Take the weights out of a checkpoint of a transformer: VideoMAE in three layouts, and Hiera."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.interop import hiera_weights, mmaction2, videomae_files
from pipeline.interop.foreign_checkpoint import Foreign, Framework, Kind, left_beside
from pipeline.interop.reading import naming


def from_videomae(path: Path, tensors: dict[str, Tensor], others: list[str], around: Mapping[str, Any]) -> Foreign:
    """Take the backbone of a file of VideoMAE; around it lies the state of a training."""
    original = videomae_files.is_original(tensors)
    head = next((each for each in ("head.", "classifier.") if f"{each}weight" in tensors), "")
    kind: Kind = "classifier" if head else "backbone"
    read = videomae_files.read_original if original else videomae_files.read_transformers
    described = f"{'VideoMAE' if original else 'transformers VideoMAE'} {kind}"
    beside, _ = left_beside(around, "model", "module")
    return from_layout(path, "videomae", kind, described, read, tensors, [*others, *beside], head)


def from_layout(
    path: Path,
    framework: Framework,
    kind: Kind,
    described: str,
    read: Callable[[Mapping[str, Tensor]], videomae_files.ReadWeights],
    tensors: dict[str, Tensor],
    others: list[str],
    head: str,
) -> Foreign:
    """Take a VideoMAE backbone whose keys `read` understands.

    Args:
        path: the file, for messages.
        framework: which wrote it.
        kind: see `Foreign`, as `described` and `head`.
        described: for the user.
        read: gives the weights in the layout of this project.
        tensors: the weights as they are stored.
        others: names of entries that are not weights.
        head: prefix of the keys of the source's own head.

    Raises:
        InputError: names the file and what `read` refuses.
    """
    with naming(path):
        found = read(tensors)
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


def from_hiera(path: Path, tensors: dict[str, Tensor], others: list[str], around: Mapping[str, Any]) -> Foreign:
    """Take the backbone of a file of Hiera; around it lies the state of a training.

    Raises:
        InputError: its shapes are of no Hiera for clips.
    """
    with naming(path):
        found = hiera_weights.read_hiera(tensors)
    head = hiera_weights.HEAD if any(key.startswith(hiera_weights.HEAD) for key in tensors) else ""
    kind: Kind = "classifier" if head else "backbone"
    beside, _ = left_beside(around, "model_state")
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
