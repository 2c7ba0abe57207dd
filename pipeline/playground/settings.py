"""The parameters `playground`: what a generated data set is made from."""

from pipeline.base.block import Block, Positive


class Playground(Block):
    """The parameters of `make_videos`."""

    train_videos: Positive
    val_videos: Positive
    min_seconds: Positive
    "Length of the shortest film; three signals, one of each kind, need 73."
    max_seconds: Positive
    "Length of the longest film."
    width: Positive
    "Width of a frame in pixels, even."
    height: Positive
    "Height of a frame in pixels, even."
    seed: int
    "The seed of the data set: all films depend on it."


class ClipPlayground(Block):
    """The parameters of a playground of clips, for recognition."""

    train_per_class: Positive
    "Clips of each class in train."
    val_per_class: Positive
    fps: Positive
    "Frames per second."
    min_frames: Positive
    "Length of the shortest clip, in frames."
    max_frames: Positive
    width: Positive
    "Width of a frame in pixels, even."
    height: Positive
    "Height of a frame in pixels, even."
    seed: int
    "The seed of the data set: all clips depend on it."
