"""Use torchvision's Faster R-CNN, trained on COCO, as a detector of persons and objects."""

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import (
    FasterRCNN_ResNet50_FPN_V2_Weights,
    fasterrcnn_resnet50_fpn,
    fasterrcnn_resnet50_fpn_v2,
)

from pipeline.base.errors import InputError
from pipeline.boxes.film_frames import Detector, FilmFrames
from pipeline.checkpoint.weights import load_into, load_tensors
from pipeline.interop.torch_files import load_torch
from pipeline.tables.csv_rows import Floats

PERSON = 1
NAMES = tuple(FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1.meta["categories"])
"COCO's classes by number."
FORWARD_FRAMES = 8
"Fixed batch size, except for the last frames of a film: other sizes give other rounding errors."
PUBLISHED = FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1
V2_KEY = "rpn.head.conv.1.0.0.weight"
"Version 2 has two layers before the proposals, version 1 has one."


def published_weights() -> Path:
    """Return the weights in torchvision's own cache; download them if they are not there.

    Raises:
        InputError: the download failed.
    """
    url = PUBLISHED.url
    path = Path(torch.hub.get_dir(), "checkpoints", Path(url).name)
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2], progress=False)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"boxes.detector fasterrcnn: cannot download {url} ({error}); without a network put that file here and set "
            "boxes.weights to its path, or take boxes.detector motion, which needs no weights"
        ) from None
    return path


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a local file: safetensors, or a state dict saved by PyTorch.

    Raises:
        InputError: the file is absent, or has neither format.
    """
    if not path.is_file():
        raise InputError(f"boxes.weights: {path}: no such file")
    found = load_tensors(path) if path.suffix == ".safetensors" else load_torch(path)
    if not isinstance(found, dict) or not all(isinstance(each, Tensor) for each in found.values()):
        raise InputError(f"boxes.weights: {path}: holds a {type(found).__name__}, expected a state dict of tensors")
    return found


def load_fasterrcnn(weights: dict[str, Tensor], *, where: str, min_score: float) -> nn.Module:
    """Build Faster R-CNN with a ResNet-50 FPN for COCO's classes, in version 1 or 2 as the weights require.

    Args:
        weights: the state dict.
        where: the file of the weights, for messages.
        min_score: boxes below it are left out.

    Raises:
        InputError: the weights do not fit this network.
    """
    build = fasterrcnn_resnet50_fpn_v2 if V2_KEY in weights else fasterrcnn_resnet50_fpn
    model: nn.Module = build(weights=None, weights_backbone=None, box_score_thresh=min_score)
    load_into(model, weights, f"boxes.weights: {where} as torchvision's {build.__name__}")
    return model.eval()


def coco_detector(model: Any, *, device: torch.device) -> Detector:
    """Wrap a detection model of torchvision as a detector, with FORWARD_FRAMES frames per forward pass.

    Boxes of other classes than person are objects, whose last column is their place in NAMES.

    Args:
        model: maps images (float [3, H, W] in 0 to 1) to dicts of `boxes` [n, 4] in pixels, `labels` [n] and `scores`
            [n].
        device: the device of the model.
    """

    def detect(frames: FilmFrames) -> list[Floats]:
        found: list[Floats] = []
        waiting = iter(frames)
        while some := list(islice(waiting, FORWARD_FRAMES)):
            images = [torch.from_numpy(each).to(device).permute(2, 0, 1).float() / 255 for each in some]
            with torch.inference_mode():
                outputs = model(images)
            for image, output in zip(images, outputs, strict=True):
                boxes, labels, scores = (output[key].double().cpu().numpy() for key in ("boxes", "labels", "scores"))
                height, width = image.shape[1:]
                kind = np.where(labels == PERSON, -1, labels)
                found.append(np.column_stack([boxes / (width, height, width, height), scores, kind]))
        return found

    return detect
