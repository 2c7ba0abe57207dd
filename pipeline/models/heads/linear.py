"""The baseline's head, and the control for all others: one linear layer on the person's own feature."""

from pipeline.models.heads.head import Head, HeadSettings


def linear(settings: HeadSettings) -> Head:
    """Build dropout, pooling and a linear layer (MMAction2 `BBoxHeadAVA`). It reads no bank."""
    return Head(None, settings, channels=settings.roi_channels)
