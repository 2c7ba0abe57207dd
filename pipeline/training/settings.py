"""Settings of a training: what `fit` needs of every one, and the blocks `baseline` and `head_train`."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.base.block import Block, Fraction, Positive
from pipeline.models.settings import BaselineHead
from pipeline.tables.select_boxes import BoxRule
from pipeline.training.history import Metrics
from pipeline.training.plateau import find_plateau
from pipeline.training.schedule import Schedule, learning_rate

Degrees = Annotated[float, Field(ge=0, le=180)]
USUAL_BOXES = 32
Factor = Annotated[float, Field(gt=0, exclude_if=lambda factor: factor == 1)]
LayerDecay = Annotated[float, Field(gt=0, le=1, exclude_if=lambda decay: decay == 1)]
DropPath = Annotated[float, Field(ge=0, lt=1, exclude_if=lambda rate: rate == 0)]


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
    colour: Fraction | tuple[Degrees, Fraction, Fraction]
    "Largest relative change of brightness and contrast; or largest shifts [hue in degrees, saturation, value]."
    box_jitter: Fraction | tuple[Fraction, Fraction, Fraction, Fraction]
    "Standard deviation of each box edge, as a share of its side; or largest moves [x out, x in, y out, y in]."
    max_boxes: Annotated[Positive, Field(exclude_if=lambda number: number == USUAL_BOXES)]
    "Boxes of a keyframe that are trained on; of more, so many are drawn."


class HeadAugmentation(Augmentation):
    """Random changes of a training clip, with the objects that a head may read."""

    flip_objects: Annotated[bool, Field(exclude_if=lambda flips: bool(flips))] = True
    "Whether boxes of objects are flipped with their clip; AlphAction forgets it. Left out of a record if they are."


class Videos(Block):
    """The train films to train on; a film's fold is sha256 of its id, as a number, modulo folds (docs/gap.md)."""

    folds: Positive
    use: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    "The folds to use, from 0 on."

    @model_validator(mode="after")
    def _exist(self) -> "Videos":
        if max(self.use) >= self.folds or len(set(self.use)) != len(self.use):
            raise ValueError(f".use is {self.use}, expected different folds from 0 to {self.folds - 1}")
        return self


class ValidationRhythm(Block):
    """When a model is validated during training."""

    interval: Annotated[int, Field(ge=0)]
    "Epochs between two validations; 0: no validation."


class Validation(ValidationRhythm):
    """Scoring during training: mAP at IoU 0.5 by the official protocol, over the label map's classes."""

    boxes: Literal["detected", "ground_truth"]
    "The boxes whose mAP selects an epoch."
    box_threshold: float
    "Detected boxes below this score are not scored."

    @property
    def rule(self) -> BoxRule:
        """The rule that selects the detected boxes to score."""
        return BoxRule(self.box_threshold)


class KeptEpoch(Block):
    """The epoch whose weights are kept."""

    select: Literal["last", "best"]
    "best: the epoch with the highest validation mAP, or top-1 accuracy; the metrics name it."

    @property
    def needs_validation(self) -> bool:
        """Whether only a validation can choose the epoch."""
        return self.select == "best"


class EarlyStop(Block):
    """Early end of a training whose validation no longer rises (docs/watching.md)."""

    patience: Annotated[int, Field(ge=0)]
    "This many validations in a row without a rise end the training; 0 trains all epochs."
    min_delta: Annotated[float, Field(ge=0, le=1)]
    "A mAP, or top-1 accuracy, is a rise if it exceeds the highest so far by more than this."

    @property
    def is_off(self) -> bool:
        """Whether all epochs are trained."""
        return not self.patience


class MemoryWeight(Block):
    """How much the rows of the asynchronous memory count in training (docs/memory.md); not used by a head on a bank."""

    by: Literal["loss", "age", "none"]
    """loss: min(tag, now) / max(tag, now) of the losses of the row's step and of the last step, as AlphAction; age:
    half as much every half_life passes; none: all alike."""
    half_life: Annotated[float, Field(gt=0)]
    "By age: passes over the train keyframes, which may be a fraction."

    @property
    def is_usual(self) -> bool:
        """Whether the rows count as published."""
        return self.by == "loss"


class Fitting(Block):
    """The settings that `fit` needs, whatever is trained."""

    block: ClassVar[str]
    "Name of this block in params.yaml, for messages."
    headline: ClassVar[str] = "map"
    "The number of a validation that selects an epoch (`SHOWN`)."
    lr: Annotated[float, Field(gt=0)]
    "For a global batch of base_batch."
    base_batch: Positive
    auto_scale_lr: bool
    "Multiply lr by global_batch / base_batch."
    optimiser: Annotated[Literal["sgd", "adamw"], Field(exclude_if=lambda name: name == "sgd")]
    "Left out of the record of a training if it is sgd."
    momentum: Fraction
    "sgd: momentum; adamw: the first beta (the second is 0.999)."
    nesterov: bool
    "sgd: Nesterov's momentum."
    weight_decay: Annotated[float, Field(ge=0)]
    decay: Literal["all", "weights"]
    "weights: norms and biases do not decay (PySlowFast's norms, AlphAction's and TRN's biases)."
    bias_lr_factor: Factor
    "Ratio of the rate of biases, outside norms, to that of weights (AlphAction, TRN: 2)."
    norm: Literal["batch", "sync", "frozen", "partial"]
    "Batch norm statistics; see `prepare_norm`."
    clip_norm: Annotated[float, Field(gt=0)] | Literal["none"]
    "Largest L2 norm of the gradient; none: it is not limited."
    global_batch: Positive
    "Samples (keyframes, or clips of a class) per optimiser step."
    bn_batch: Positive
    "Samples per forward pass (the published batch per GPU); divides global_batch."
    schedule: Schedule
    validation: ValidationRhythm
    checkpoint: KeptEpoch
    early_stop: Annotated[EarlyStop, Field(exclude_if=lambda stop: stop.is_off)]
    "Left out of the record of a training if it is off."
    compute_dtype: Literal["fp32", "tf32", "bf16"]
    memory_format: Literal["contiguous", "channels_last_3d", "channels_last"]
    "Of the convolutions' weights; channels_last is for networks on pictures, channels_last_3d for those on clips."
    compile: bool
    "Run the backbone through torch.compile; its kernels round differently."
    deterministic: bool
    threads: Positive
    "CPU threads for arithmetic; another number rounds differently."
    seed: int

    @property
    def full_lr(self) -> float:
        """The peak learning rate of the schedule, for this global batch."""
        return self.lr * self.global_batch / self.base_batch if self.auto_scale_lr else self.lr

    def rate(self, epoch: int, step: int, steps_per_epoch: int) -> float:
        """Return the learning rate of an optimiser step; epoch and step count from 0."""
        return learning_rate(
            self.schedule, self.full_lr, epoch=epoch, iteration=step, iterations_per_epoch=steps_per_epoch
        )

    def is_validated(self, epoch: int) -> bool:
        """Return whether the model is validated after an epoch, counted from 1; after the last one it always is."""
        interval = self.validation.interval
        return bool(interval) and (epoch % interval == 0 or epoch == self.schedule.epochs)

    def is_over(self, history: Sequence[Metrics]) -> bool:
        """Return whether the training ends after the epochs of `history`."""
        stop = self.early_stop
        stopped = stop.patience and find_plateau(history, stop.min_delta, self.headline).since >= stop.patience
        return bool(stopped) or len(history) >= self.schedule.epochs

    @property
    def goes_by_validation(self) -> str:
        """The setting that needs a validation, with its value; empty if none does."""
        if self.early_stop.patience:
            return f"early_stop.patience {self.early_stop.patience}"
        return f"checkpoint.select {self.checkpoint.select}" if self.checkpoint.needs_validation else ""

    @model_validator(mode="after")
    def _fits(self) -> "Fitting":
        if self.global_batch % self.bn_batch:
            raise ValueError(f".global_batch {self.global_batch} is no multiple of .bn_batch {self.bn_batch}")
        if self.optimiser == "adamw" and self.nesterov:
            raise ValueError(".nesterov is sgd's, and .optimiser is adamw")
        if self.goes_by_validation and not self.validation.interval:
            raise ValueError(f".{self.goes_by_validation} needs a .validation.interval above 0")
        return self


class Training(Fitting):
    """The settings that baseline and head training share."""

    videos: Videos
    "Validation always uses the whole val split."
    box_threshold: float
    "Detected boxes below this score are not used."
    lower_threshold: bool
    "As upstream: if no box of a keyframe reaches the threshold, take its best ones."
    augmentation: Augmentation
    "Of clips; not used by a head in scope head."
    match_iou: Fraction | Literal["none"]
    "A detected box takes the labels of a ground-truth box if they overlap at least this much; none: none does."
    loss: Loss
    interaction_lr_factor: Factor
    "Ratio of the rate of the interaction of a head aia_* to that of all else (AlphAction: 10)."
    layer_decay: LayerDecay
    "Ratio of the rate of each block of a transformer to that of the next one; 1: all alike. Left out of a record if 1."
    drop_path: DropPath
    "Probability that a clip skips the last block of a transformer; it rises evenly from 0. Left out of a record if 0."
    norm: Literal["batch", "sync", "frozen"]
    "Batch norm statistics: batch: of bn_batch keyframes; sync: of the global batch; frozen: the initial ones."
    dropout: Fraction
    "Before the last linear layer."
    validation: Validation
    memory_format: Literal["contiguous", "channels_last_3d"]

    @property
    def rule(self) -> BoxRule:
        """The rule that selects the detected boxes to train on."""
        return BoxRule(self.box_threshold, self.lower_threshold)


class BaselineTraining(Training):
    """Training of the detector whose features fill the bank."""

    block: ClassVar[str] = "baseline"

    head: BaselineHead
    freeze: Annotated[Literal["none", "backbone"], Field(exclude_if=lambda frozen: frozen == "none")]
    "backbone: only what follows it is trained: attentive pooling and the head. Left out of a record if it is none."
    init: str
    "A safetensors file of backbone weights to start from, or none."
    full_frame_box: bool
    "As upstream: a keyframe without any proposal gets one box of the whole frame."

    @property
    def rule(self) -> BoxRule:
        """See `Training.rule`."""
        return BoxRule(self.box_threshold, self.lower_threshold, self.full_frame_box)


class HeadTraining(Training):
    """Training of the head (or, in scope all, of the detector with the head)."""

    block: ClassVar[str] = "head_train"

    init: Literal["kinetics", "baseline"]
    "In scope all: start the backbone from the file of Kinetics weights, or from the trained baseline."
    feature_dropout: Fraction
    "Dropout of persons' features and of window rows, against overfitting."
    kinetics: str
    "A safetensors file of backbone weights, or none."
    memory: Annotated[MemoryWeight, Field(exclude_if=lambda weight: weight.is_usual)]
    "Left out of the record of a training if it is the usual one."
    augmentation: HeadAugmentation
    "Of clips; not used by a head in scope head."

    @model_validator(mode="after")
    def _trains(self) -> "HeadTraining":
        if not self.schedule.epochs:
            raise ValueError(".schedule.epochs is 0; only the baseline may stay at its initial weights")
        return self


class Watching(Block):
    """How a training is shown while it runs; no stage depends on it (docs/watching.md)."""

    log: Literal["none", "tensorboard", "mlflow"]
    "Where loss, learning rate and validation are logged, besides the terminal."
