"""Choose a detector by name: what its boxes depend on, and how it is loaded."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.base.code_version import code_version
from pipeline.base.distributed import from_main
from pipeline.base.files import digest_file
from pipeline.base.make_items import Needs
from pipeline.boxes.detecting import MOTION_NEEDS
from pipeline.boxes.film_frames import Detector
from pipeline.boxes.motion import detect_motion

if TYPE_CHECKING:
    import torch

NO_WEIGHTS = "conf/none/weights"


class ChosenDetector(NamedTuple):
    """A detector that is not yet loaded."""

    settings: dict[str, Any]
    "What its boxes depend on besides the frames."
    load: Callable[[], Detector]
    on_gpu: bool = False
    names: Sequence[str] = ()
    "The classes of the objects that it finds beside persons; none if it finds persons alone."
    needs: Needs = MOTION_NEEDS
    "What it needs on a Ray cluster."


def choose_detector(name: str, *, weights: str, min_score: float, device: str) -> ChosenDetector:
    """Return the detector `motion` or `fasterrcnn`; only `fasterrcnn` uses the other three arguments.

    Args:
        name: `motion` or `fasterrcnn`.
        weights: the file of the weights (boxes.weights); NO_WEIGHTS takes those that torchvision downloads.
        min_score: boxes below it are left out.
        device: see `pick_device`.

    Raises:
        InputError: the device does not exist, or there are no weights.
    """
    if name == "motion":
        return ChosenDetector({"code": code_version("pipeline.boxes.motion", "pipeline.video.store")}, _load_motion)
    return _fasterrcnn(weights, min_score, device)


def _load_motion() -> Detector:
    return detect_motion


def _fasterrcnn(weights: str, min_score: float, device: str) -> ChosenDetector:
    # Imported here because `motion` needs neither PyTorch nor torchvision's detection.
    from pipeline.base.numerics import pick_device
    from pipeline.boxes.fasterrcnn import NAMES, published_weights, read_weights

    place = pick_device(device)
    path = from_main(lambda: published_weights() if weights == NO_WEIGHTS else Path(weights))
    load = partial(_load_fasterrcnn, read_weights(path), str(path), min_score, place)
    code = code_version("pipeline.boxes.fasterrcnn")
    settings = {"weights": digest_file(path), "min_score": min_score, "code": code}
    needs = Needs(module="stages.detect_boxes", keeps_model=True, may_use_gpu=device != "cpu")
    return ChosenDetector(settings, load, on_gpu=place.type == "cuda", names=NAMES, needs=needs)


def _load_fasterrcnn(
    tensors: "dict[str, torch.Tensor]", where: str, min_score: float, place: "torch.device"
) -> Detector:
    from pipeline.base.numerics import set_numerics
    from pipeline.base.ray_device import device_here
    from pipeline.boxes.fasterrcnn import coco_detector, load_fasterrcnn

    set_numerics(compute_dtype="fp32", deterministic=False, threads=1)
    place = device_here(place)
    model = load_fasterrcnn(tensors, where=where, min_score=min_score)
    return coco_detector(model.to(place), device=place)
