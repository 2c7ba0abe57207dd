"""The size of a frame that is scaled to a short side."""


def scaled_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) with the given short side, the other rounded half up, as mmcv's `rescale_size`."""
    scale = short_side / min(height, width)
    return int(height * scale + 0.5), int(width * scale + 0.5)
