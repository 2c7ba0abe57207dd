"""Choose a detector by name: what its boxes depend on, and how it is loaded."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.base.code_version import code_version
from pipeline.base.distributed import from_main
from pipeline.base.files import digest_file
from pipeline.boxes.detecting import Detector
from pipeline.boxes.motion import detect_motion

NO_WEIGHTS = "conf/none/weights"


class ChosenDetector(NamedTuple):
    """A detector that is not yet loaded."""

    settings: dict[str, Any]
    "What its boxes depend on besides the frames."
    load: Callable[[], Detector]
    on_gpu: bool = False
    names: Sequence[str] = ()
    "The classes of the objects that it finds beside persons; none if it finds persons alone."


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
        return ChosenDetector(
            {"code": code_version("pipeline.boxes.motion", "pipeline.video.store")}, lambda: detect_motion
        )
    return _fasterrcnn(weights, min_score, device)


def _fasterrcnn(weights: str, min_score: float, device: str) -> ChosenDetector:
    # Imported here because `motion` needs neither PyTorch nor torchvision's detection.
    from pipeline.base.numerics import pick_device, set_numerics
    from pipeline.boxes.fasterrcnn import NAMES, coco_detector, load_fasterrcnn, published_weights, read_weights

    place = pick_device(device)
    path = from_main(lambda: published_weights() if weights == NO_WEIGHTS else Path(weights))
    tensors = read_weights(path)

    def load() -> Detector:
        set_numerics(compute_dtype="fp32", deterministic=False, threads=1)
        model = load_fasterrcnn(tensors, where=str(path), min_score=min_score)
        return coco_detector(model.to(place), device=place)

    code = code_version("pipeline.boxes.fasterrcnn")
    settings = {"weights": digest_file(path), "min_score": min_score, "code": code}
    return ChosenDetector(settings, load, on_gpu=place.type == "cuda", names=NAMES)
