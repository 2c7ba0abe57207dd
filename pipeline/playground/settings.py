"""What a generated data set is made from; `params.yaml` holds it."""

from pipeline.base.block import Block, Positive


class Playground(Block):
    """What `make_videos` renders."""

    train_videos: Positive
    val_videos: Positive
    min_seconds: Positive
    "Length of the shortest film; three signals, one of each kind, need 73."
    max_seconds: Positive
    "Length of the longest film."
    width: Positive
    "Of a frame, in pixels, even."
    height: Positive
    "Of a frame, in pixels, even."
    seed: int
    "Another seed is another data set."
