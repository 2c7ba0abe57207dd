"""Build a baseline from its spec."""

from pathlib import Path

from torch import Tensor

from pipeline.checkpoint.frozen_network import NETWORK, load_network
from pipeline.checkpoint.specs import DetectorSpec, HeadSpec
from pipeline.checkpoint.weights import BASELINE, load_into
from pipeline.models.build import build_detector
from pipeline.models.detector import Detector


def build_baseline(spec: DetectorSpec, beside: Path = BASELINE) -> Detector:
    """Build the detector of a spec, with weights drawn from torch's global generator.

    Args:
        spec: see `DetectorSpec`.
        beside: a file in whose folder the weights of a frozen network lie.

    Raises:
        InputError: backbone, head or option is unknown, or they do not fit; or see `load_network`.
    """
    frozen = load_network(beside.with_name(NETWORK.name), spec.input, spec.frozen) if spec.frozen else None
    return build_detector(
        frozen or spec.backbone,
        width=spec.width,
        roi=spec.roi,
        head=spec.head.name,
        head_options=spec.head.options,
        mlp=spec.head.mlp,
        classes=spec.columns,
        dropout=spec.dropout,
    )


def feature_detector(spec: DetectorSpec | HeadSpec, tensors: dict[str, Tensor], where: str) -> Detector:
    """Build the detector of a spec for its features alone, with its weights.

    A long-term head, which features do not depend on, is not built: an unused linear one stands in its place.

    Args:
        spec: see `Checkpoint.features`.
        tensors: the weights of the whole checkpoint.
        where: the file of weights, for messages.

    Raises:
        InputError: see `build_baseline`, or the weights do not fit.
    """
    if isinstance(spec, DetectorSpec):
        detector = build_baseline(spec, Path(where))
        load_into(detector, tensors, where)
        return detector
    assert spec.backbone is not None  # in scope all it is the detector's own
    detector = build_detector(spec.backbone, width=spec.width, roi=spec.roi, classes=spec.columns)
    load_features(detector, tensors, where)
    return detector


def load_features(detector: Detector, tensors: dict[str, Tensor], where: str) -> None:
    """Load what makes the features, the backbone and the pool of cells, out of the weights of another detector.

    Raises:
        InputError: the weights do not fit.
    """
    load_into(detector.backbone, _part(tensors, "backbone."), where)
    if detector.pool is not None:
        load_into(detector.pool, _part(tensors, "pool."), where)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
