"""Build a recognizer from its spec, or from the parameters of a recipe."""

from collections.abc import Mapping
from typing import Any

from pipeline.checkpoint.sidecars import read_settings
from pipeline.checkpoint.specs import RecognizerSpec
from pipeline.models.recognizer import Recognizer, build_recognition_head, build_recognizer_backbone


def build_recognizer(spec: RecognizerSpec) -> Recognizer:
    """Build the recognizer of a spec, with weights drawn from torch's global generator.

    Raises:
        InputError: the backbone is unknown, or its width, the segments or the relations do not fit.
    """
    backbone = build_recognizer_backbone(spec.backbone, width=spec.width)
    head = build_recognition_head(spec.head, inputs=backbone.out_channels, segments=spec.segments, classes=spec.classes)
    return Recognizer(backbone, head)


def recipe_spec(track: Mapping[str, Any]) -> RecognizerSpec:
    """Return the spec of a recipe.

    Args:
        track: the block `recognition` of `params.yaml`.

    Raises:
        InputError: a value of the spec is missing or of another type.
    """
    backbone = track["backbone"]
    values = {
        "backbone": backbone["name"],
        **{key: backbone[key] for key in ("width", "input", "segments")},
        "head": track["head"],
        "classes": track["dataset"]["classes"],
    }
    return read_settings(RecognizerSpec, values, "recognition")
