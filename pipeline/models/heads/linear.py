"""The baseline's head, and the control for every other: one linear layer on the person's own feature."""

from pipeline.models.heads.head import Head, HeadSettings


def linear(settings: HeadSettings) -> Head:
    """Dropout, pooling, a linear layer (MMAction2 `BBoxHeadAVA`). It reads no bank."""
    return Head(None, settings, channels=settings.roi_channels)
