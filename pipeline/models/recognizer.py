"""The recognizer: views of clips in, logits of classes out.

Shape suffixes of names: B views, S segments, C channels, H and W pixels, h and w cells of a map, K classes.
"""

from collections.abc import Callable

from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.models.backbones.resnet2d import ResNet2d, resnet50, resnet_tiny
from pipeline.models.heads.trn import RelationHead
from pipeline.models.heads.tsn import MeanHead
from pipeline.models.recognition_settings import RecognitionHead
from pipeline.models.relations import Relations

RECOGNIZER_BACKBONES: dict[str, Callable[..., ResNet2d]] = {"resnet50": resnet50, "resnet_tiny": resnet_tiny}


class Recognizer(nn.Module):
    """A backbone for single frames, and a head over the segments of a clip (MMAction2 `Recognizer2D`)."""

    def __init__(self, backbone: ResNet2d, head: MeanHead | RelationHead) -> None:
        """Put the parts together."""
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, views: Tensor, relations: Relations | None = None) -> Tensor:
        """Compute the logits of every view, [B, K].

        The frames of all views go through the backbone as one batch.

        Args:
            views: normalised RGB frames, one per segment, [B, S, 3, H, W].
            relations: for each scale of a relation head its relations; None chooses them as the head's settings say.
        """
        pooled_NC = self.backbone(views.flatten(0, 1)).mean(dim=(2, 3))
        logits: Tensor = self.head(pooled_NC.unflatten(0, views.shape[:2]), relations)
        return logits


def build_recognizer_backbone(name: str, *, width: int | None = None) -> ResNet2d:
    """Build a backbone for single frames; weights are drawn from torch's global generator.

    Args:
        name: a key of `RECOGNIZER_BACKBONES`.
        width: channels of the stem; all other widths scale with it. None takes ResNet-50's published 64, or the tiny
            backbone's 16.

    Raises:
        InputError: the name is not in the table, or width is not a multiple of 8.
    """
    if name not in RECOGNIZER_BACKBONES:
        known = ", ".join(RECOGNIZER_BACKBONES)
        raise InputError(f"recognition backbone {name}: no such backbone, expected one of {known}")
    if width is None:
        return RECOGNIZER_BACKBONES[name]()
    if width < 8 or width % 8:
        raise InputError(f"recognition backbone {name}: width is {width}, expected a multiple of 8")
    return RECOGNIZER_BACKBONES[name](width)


def build_recognition_head(
    settings: RecognitionHead, *, inputs: int, segments: int, classes: int
) -> MeanHead | RelationHead:
    """Build a head; weights are drawn from torch's global generator.

    Args:
        settings: which head, and its numbers.
        inputs: channels of the backbone.
        segments: S.
        classes: K.

    Raises:
        InputError: a head of relations has fewer than 2 segments, or see `RelationHead`.
    """
    if settings.channels is None or settings.hidden is None:
        return MeanHead(inputs, classes=classes, dropout=settings.dropout)
    if segments < 2:
        raise InputError(f"head {settings.name}: segments is {segments}, expected at least 2, whose order it learns")
    return RelationHead(
        inputs,
        segments=segments,
        scales=(segments,) if settings.name == "trn" else range(segments, 1, -1),
        widths=(settings.channels, settings.hidden),
        classes=classes,
        dropout=settings.dropout,
        test_relations=settings.test_relations,
        draws=(settings.per_scale, settings.relation_seed),
    )
