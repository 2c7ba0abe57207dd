"""Parameters of what is read and stored: sources, frames, boxes, banks."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.block import Block, Fraction, Positive


class Playground(Block):
    """What `make_videos` renders."""

    train_videos: Positive
    val_videos: Positive
    min_seconds: Positive
    max_seconds: Positive
    width: Positive
    height: Positive
    seed: int


class Dataset(Block):
    """Where a data set's sources lie."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    "Folder below data/."
    generate: list[str]
    "[name] for a data set that make_videos renders, [] for one that is brought."
    videos: str
    "Folder of video files; a file's stem is its video_id."
    annotations: str
    "Folder of train.csv, val.csv, excluded_*.csv, labelmap.pbtxt, videos.csv (docs/data-layout.md)."
    proposals: str
    "Folder of person boxes: *.pkl in the AVA proposals layout, *.csv in AVA CSV with scores."
    classes: Positive
    "Width of the classifier: action ids run from 1 to this."
    max_bad_fraction: Fraction
    "Largest share of bad annotation rows that is let pass."
    pack: Positive | Literal["none"]
    "Videos are stored one by one (none) or spread over this many files of frames and parts of a bank."
    playground: Playground | None = None


class Frames(Block):
    """Frame extraction."""

    fps: Annotated[float, Field(gt=0)]
    "Frames per second of the constant grid that clips are counted on."
    short_side: Positive | Literal["none"]
    "Stored frames have this short side in pixels (never upsampled); none keeps the source's size."
    allow_smaller: bool
    "Let short_side be below the scale that training or inference asks for; clips are then upsampled."
    quality: Annotated[int, Field(ge=1, le=100)]
    "JPEG quality."
    max_bad_fraction: Fraction
    "Largest share of unreadable videos that is let pass."


class Boxes(Block):
    """Import of person boxes."""

    min_score: float
    "Rows below this floor are dropped; each consumer applies its own threshold above it."
    max_bad_fraction: Fraction
    "Largest share of bad rows that is let pass."


class Bank(Block):
    """The feature bank."""

    name: Literal["own", "external"]
    make: list[Literal["train", "val", "test"]]
    "Splits that infer_bank computes; empty for a head that reads no bank, and for external banks."
    train: str
    "Path of the train bank."
    val: str
    "Path of the val bank."
    box_threshold: float
    "Detected boxes from this score on are stored; a window may ask for a higher score, never a lower."
    seconds: Literal["grid", "annotated"]
    "grid: every second of the film; annotated: only annotated keyframes, as upstream."
    dtype: Literal["fp16", "fp32"]
    codec: Literal["none", "zstd", "lz4"]
    compute_dtype: Literal["fp32", "tf32", "bf16"]
    lower_threshold: bool
    "Upstream's habit: where no box of a second reaches the threshold, take its best ones."
    full_frame_box: bool
    "Upstream's habit: a second without any proposal gets one box of the whole frame."
    producer: str
    "sha256 of the checkpoint that an external bank must come from, or baseline: that of models/baseline.json."
    allow_mixed: bool
    "Let train and val banks differ in producer or settings; metrics.json records it."
