"""Build a recognizer from its spec."""

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
