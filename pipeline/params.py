"""The typed parameters: `params.yaml`, read once at the edge of a stage and validated as a whole.

Nothing below the stages imports this module; builders turn these objects into plain arguments. A string under a
field says what it means and in which unit.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import InputError

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]


class Block(BaseModel):
    """A block of parameters: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Choices(Block):
    """Which file of each Hydra group was chosen, so that `actionbank compose --check` can recompose."""

    dataset: str
    backbone: str
    head: str
    scope: str
    bank: str
    experiment: str | None = None


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


class ClipInput(Block):
    """What a backbone sees."""

    frames: Positive
    "T of a clip TxS."
    interval: Positive
    "S of a clip TxS, in grid frames."
    short_side: Positive
    "Inference scales the short side to this many pixels."
    offset_frames: int
    "Grid frames that a clip is moved by; 1 reproduces MMAction2's clips of AVA, which are one frame late."
    mean: tuple[float, float, float]
    "RGB mean, of values 0 to 255."
    std: tuple[float, float, float]
    "RGB standard deviation, of values 0 to 255."


class Backbone(Block):
    """The network that turns a clip into feature maps."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    "One of pipeline/models/build.py."
    width: Positive | None
    "Channels of the stem, with which all others scale; null takes the published 64 (tiny: 16)."
    input: ClipInput


class Roi(Block):
    """How a person's feature is cut out of the feature maps, in the baseline and so in its bank."""

    output_size: Positive
    "Cells per side."
    temporal: Literal["mean", "max"]
    "How the frames of a feature map are pooled before RoIAlign."
    context: Literal["none", "global"]
    "global: the pooled map of the whole frame beside each person's; doubles the channels."
    aligned: bool
    "RoIAlign's shift by half a cell; the Caffe2 models of PySlowFast are without."


class Labels(Block):
    """How many actions a person has at a time."""

    kind: Literal["multi", "single"]
    "multi: a sigmoid per class; single: a softmax over all."
    background: bool
    "single: a column that no action has takes part in the softmax, as upstream on AVA."
    several: Literal["error", "soft"]
    "single: a person with several actions is an error, or a soft label of equal parts."

    @model_validator(mode="after")
    def _column(self) -> "Labels":
        if self.background and self.kind == "multi":
            raise ValueError("background is a column of the softmax, labels.kind is multi")
        return self


class Loss(Block):
    """Focal loss: alpha (1 - p)^gamma times the cross-entropy."""

    alpha: Annotated[float, Field(gt=0)]
    gamma: Annotated[float, Field(ge=0)]
    "0 is the plain cross-entropy."


class Augmentation(Block):
    """Random changes of a training clip."""

    short_side: tuple[Positive, Positive]
    "Smallest and largest short side in pixels."
    crop: Positive | Literal["none"]
    "Side of the random square crop in pixels."
    flip: Fraction
    "Probability of a horizontal flip."
    colour: Fraction
    "Largest relative change of brightness and contrast."
    box_jitter: Fraction
    "Standard deviation of each box edge, as a share of the box's side."


class Schedule(Block):
    """Learning rate over the epochs."""

    epochs: Positive
    warmup_epochs: Annotated[int, Field(ge=0)]
    warmup_factor: Fraction
    "The first learning rate, as a share of lr."
    warmup_by: Literal["epoch", "iteration"]
    decay: Literal["step", "cosine"]
    milestones: list[Positive]
    "Epochs at which `step` multiplies the rate by gamma."
    gamma: Fraction


class Validation(Block):
    """Scoring while training: mAP at IoU 0.5 by the official protocol, of the label map's classes."""

    interval: Annotated[int, Field(ge=0)]
    "Epochs between two validations; 0 validates never."
    boxes: Literal["detected", "ground_truth"]
    "Which boxes the mAP is of that selects an epoch."
    box_threshold: float
    "Detected boxes below this score are not scored."


class Checkpoint(Block):
    """Which epoch's weights are kept."""

    select: Literal["last", "best"]
    "best takes the epoch of the highest validation mAP, and says so in the metrics."

    @property
    def needs_validation(self) -> bool:
        """Whether an epoch can be chosen only by its mAP."""
        return self.select == "best"


class Training(Block):
    """What baseline and head training share."""

    box_threshold: float
    "Detected boxes below this score are not used."
    lower_threshold: bool
    "Upstream's habit: where no box of a keyframe reaches the threshold, take its best ones."
    match_iou: Fraction
    "A detected box takes the labels of a ground-truth box that it overlaps at least so much."
    loss: Loss
    lr: Annotated[float, Field(gt=0)]
    "For a global batch of base_batch."
    base_batch: Positive
    auto_scale_lr: bool
    "Multiply lr by global_batch / base_batch."
    momentum: Fraction
    nesterov: bool
    weight_decay: Annotated[float, Field(ge=0)]
    decay: Literal["all", "weights"]
    "weights: norms and biases do not decay (PySlowFast's norms, AlphAction's biases)."
    norm: Literal["batch", "sync", "frozen"]
    "Statistics of batch norm: of bn_batch keyframes, of the whole global batch, or those it started with."
    clip_norm: Annotated[float, Field(gt=0)]
    "Largest L2 norm of the gradient."
    dropout: Fraction
    "Before the last linear layer."
    global_batch: Positive
    "Keyframes per optimiser step."
    bn_batch: Positive
    "Keyframes per forward pass (the published batch per GPU); divides global_batch."
    schedule: Schedule
    validation: Validation
    checkpoint: Checkpoint
    compute_dtype: Literal["fp32", "tf32", "bf16"]
    memory_format: Literal["contiguous", "channels_last_3d"]
    compile: bool
    "Run the backbone through torch.compile; other kernels round differently."
    deterministic: bool
    threads: Positive
    "CPU threads of the arithmetic; other numbers round differently."
    seed: int

    @model_validator(mode="after")
    def _fits(self) -> "Training":
        if self.global_batch % self.bn_batch:
            raise ValueError(f"global_batch {self.global_batch} is no multiple of bn_batch {self.bn_batch}")
        if self.checkpoint.needs_validation and not self.validation.interval:
            raise ValueError("checkpoint.select best needs a validation.interval above 0")
        return self


class BaselineHead(Block):
    """The head that the baseline is trained with."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    "linear or acrn."
    mlp: bool
    "A hidden layer before the classifier."
    options: dict[str, bool | int | float | str]
    "Further arguments of the head's function."


class Baseline(Training):
    """Training of the detector whose features fill the bank."""

    head: BaselineHead
    init: str
    "A safetensors file of backbone weights to start from, or none."
    augmentation: Augmentation
    full_frame_box: bool
    "Upstream's habit: a keyframe without any proposal gets one box of the whole frame."


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


class Window(Block):
    """The stretch of the bank around a keyframe."""

    seconds: Positive
    "Length: from timestamp - seconds // 2 on, the keyframe's own second included."
    per_second: Positive
    "Slots per second (K); more persons are sampled in training and taken by score in evaluation."
    mask: Literal["none", "valid"]
    "none: empty slots are zeros that take part, as published; valid: they are ignored."
    score: float
    "Rows below this score are not read; at least bank.box_threshold."


class Head(Block):
    """What scores a person; its function is in pipeline/models/heads."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    reads: Literal["bank", "features"]
    "bank: windows of the bank; features: nothing but the person's own feature, so no bank is computed."
    banks: list[Literal["train", "val", "test"]]
    "Splits that infer_bank computes for it."
    standardise: Literal["none", "train"]
    "Zero mean and unit spread per channel, by statistics of the train split."
    window: Window | None = None
    "For a head that reads the bank."
    mlp: bool = False
    "A hidden layer before the classifier."
    options: dict[str, bool | int | float | str] = {}
    "Further arguments of the head's function."

    @property
    def is_baseline(self) -> bool:
        """Whether the baseline itself is evaluated and no further head is trained."""
        return self.name == "baseline"

    @model_validator(mode="after")
    def _has_window(self) -> "Head":
        if (self.window is None) != (self.reads == "features"):
            raise ValueError(f"a head that reads {self.reads} has {'no' if self.window is None else 'a'} window")
        return self


class Scope(Block):
    """What train_head trains."""

    name: Literal["head", "all"]
    "head: the head alone on frozen features, no frame is read; all: the whole detector."
    frames: str
    weights: str
    boxes: str
    "Dependencies of train_head and evaluate; conf/none/* where the choice needs none."


class HeadTrain(Training):
    """Training of the head (or, in scope all, of the detector with the head)."""

    init: Literal["kinetics", "baseline"]
    "Scope all: start the backbone from the file of Kinetics weights, or from the trained baseline."
    feature_dropout: Fraction
    "Share of the channels dropped from persons' features and from window rows, against features learned by heart."
    kinetics: str
    "A safetensors file of backbone weights, or none."
    augmentation: Augmentation
    "Scope all."


class Evaluation(Block):
    """Scoring on the val split."""

    metric: Literal["ava", "multisports"]
    "ava: mAP of keyframes; multisports: frame-mAP, and video-mAP of linked tubes."
    decode: Literal["all", "argmax"]
    "Actions of a box that become detections: all above action_threshold, or the best one, if above."
    boxes: Literal["detected", "ground_truth"]
    "Which boxes the headline mAP is of; both are in every table."
    box_threshold: float
    lower_threshold: bool
    action_threshold: float
    "Rows with a score at or below this are not written as detections."
    protocol: Literal["official", "mmaction2_1x", "mmaction2_0x", "pyslowfast"]
    iou: Fraction
    "Matching threshold of the headline mAP."
    more_ious: list[Fraction]
    "Further thresholds in the per-IoU table."
    classes: Literal["labelmap", "all"]
    "labelmap: the classes that the label map lists (AVA: 60 of 80); all: 1 to dataset.classes."
    cap: Annotated[int, Field(ge=0)]
    "Rows per keyframe that the official code keeps; 0 for no cap. Only protocol official reads it."
    compute_dtype: Literal["fp32", "tf32", "bf16"]
    max_bad_fraction: Fraction


class Reported(Block):
    """What the source of a published row says of it; nothing of it is read by a stage."""

    map: float
    "mAP in percent, as reported."
    video_map: dict[str, float] = {}
    "By tube IoU."
    source: str
    "Where the number stands."
    config: str
    "Upstream's configuration file."
    protocol: Literal["official", "mmaction2_1x", "mmaction2_0x", "pyslowfast", "multisports"]
    "The evaluation that made the number."
    gpus: Positive
    clips_per_gpu: Positive
    resolution: str
    memory_mb: Positive | None = None
    "Per GPU."
    trained_on: str
    evaluated_on: str
    initial_weights: str
    "Upstream's file, to be converted to the path in baseline.init (docs/checkpoints.md)."
    fixture: str | None = None
    "The parity fixture of its arithmetic."
    note: str = ""


class Params(Block):
    """The whole of params.yaml."""

    choices: Choices
    seed: int
    inputs: dict[str, Any]
    "Paths that the groups choose from."
    sizes: dict[str, int | str]
    "Sizes that a data set gives to every head."
    dataset: Dataset
    frames: Frames
    boxes: Boxes
    backbone: Backbone
    roi: Roi
    labels: Labels
    baseline: Baseline
    bank: Bank
    head: Head
    scope: Scope
    head_train: HeadTrain
    evaluation: Evaluation
    reported: Reported | None = None

    @model_validator(mode="after")
    def _agree(self) -> "Params":
        self._frames_large_enough()
        for block, threshold in (
            ("bank.box_threshold", self.bank.box_threshold),
            ("baseline.box_threshold", self.baseline.box_threshold),
            ("evaluation.box_threshold", self.evaluation.box_threshold),
            ("head_train.box_threshold", self.head_train.box_threshold),
            ("baseline.validation.box_threshold", self.baseline.validation.box_threshold),
        ):
            if threshold < self.boxes.min_score:
                raise ValueError(f"{block} {threshold} is below boxes.min_score {self.boxes.min_score}")
        if self.scope.name == "head":
            for block, threshold in (
                ("head_train.box_threshold", self.head_train.box_threshold),
                ("head_train.validation.box_threshold", self.head_train.validation.box_threshold),
                ("evaluation.box_threshold", self.evaluation.box_threshold),
            ):
                if threshold < self.bank.box_threshold:
                    raise ValueError(f"{block} {threshold} is below bank.box_threshold {self.bank.box_threshold}")
        if self.head.window is not None and self.head.window.score < self.bank.box_threshold:
            raise ValueError(
                f"head.window.score {self.head.window.score} is below bank.box_threshold {self.bank.box_threshold}"
            )
        return self

    def _frames_large_enough(self) -> None:
        stored = self.frames.short_side
        asked = {"backbone.input.short_side": self.backbone.input.short_side}
        for name, training in (("baseline", self.baseline), ("head_train", self.head_train)):
            asked[f"{name}.augmentation.short_side"] = max(training.augmentation.short_side)
        if stored == "none" or self.frames.allow_smaller:
            return
        for key, pixels in asked.items():
            if stored < pixels:
                raise ValueError(
                    f"frames.short_side {stored} is below {key} {pixels}: clips would be upsampled; "
                    "store larger frames or set frames.allow_smaller"
                )


def parse_params(values: Any, where: str) -> Params:
    """Validate a whole parameter tree.

    Raises:
        InputError: one line with every bad key, what was found and what was expected.
    """
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        lines = []
        for each in error.errors():
            key = ".".join(str(part) for part in each["loc"]) or "parameters"
            found = "" if each["type"] in ("missing", "value_error") else f" (found {each['input']!r})"
            lines.append(f"{key}: {each['msg'].removeprefix('Value error, ')}{found}")
        raise InputError(f"{where}: " + "; ".join(lines)) from None


def load_params(path: Path | None = None) -> Params:
    """Read and validate `params.yaml` of the current folder (or `path`).

    Raises:
        InputError: the file is absent, not YAML, or a key is missing, unknown or out of range.
    """
    path = path or Path(os.environ.get("ACTIONBANK_PARAMS", "params.yaml"))
    try:
        values = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run it in the project's folder, or `actionbank compose`") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    return parse_params(values, str(path))
