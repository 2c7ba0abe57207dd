"""The parameters of the recognition track: the block `recognition` of `params.yaml`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.base.block import Block, Fraction, Positive
from pipeline.evaluation.settings import RecognitionEvaluation
from pipeline.models.recognition_settings import RecognitionHead
from pipeline.playground.settings import ClipPlayground
from pipeline.recognition.settings import RecognizerTraining
from pipeline.video.settings import ClipFrames
from pipeline.video.view_input import ViewInput


class RecognitionChoices(Block):
    """The file chosen from each Hydra group below `conf/recognition`."""

    dataset: str
    backbone: str
    head: str


class RecognitionDataset(Block):
    """The sources of a data set of clips, and how they are read."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    "Folder below data/."
    generate: list[str]
    "[name] for a data set that make_videos renders, [] for one that the user brings."
    run: list[str]
    "[name]; [] for none: recognition/dvc.yaml then has no stages."
    videos: str
    "Folder of video files or of folders of pictures; the file's stem, or the folder's name, is the video_id."
    frame_rate: Annotated[float, Field(ge=0.001, le=100_000)] | Literal["none"]
    "Frame rate of folders of pictures."
    labels: str
    "Folder of labels in any of the formats of docs/recognition-data.md."
    classes: Positive
    "Number of classes: ids run from 0 to one less."
    max_bad_fraction: Fraction
    "Largest share of clips that may be left out."
    origin: str = ""
    "Where the user gets the sources, for the message that they are missing."
    pack: Positive | Literal["none"]
    "none: one frame file per video; N: videos share N frame files."
    playground: ClipPlayground | None = None


class RecognitionBackbone(Block):
    """The network that turns each frame into a feature map."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    "A name of the table in pipeline/models/recognizer.py."
    width: Positive | None
    "Channels of the stem; all other widths scale with it. null takes the published 64 (tiny: 16)."
    input: ViewInput
    segments: Positive
    "Equal parts of a clip, of each of which the recognizer sees one frame."


class Accuracy(Block):
    """What a table reports, in percent."""

    top1: float
    top5: float


class ReportedAccuracies(Block):
    """The two numbers of a table."""

    efficient: Accuracy
    "Centre crop, one sampling."
    accurate: Accuracy
    "Three crops, two samplings."


class ReportedRecognition(Block):
    """What the source of a published row reports about it; no stage reads this block."""

    mmaction2_1x: ReportedAccuracies
    mmaction2_0x: ReportedAccuracies
    source: str
    config: str
    "Upstream's configuration file."
    initial_weights: str
    "Upstream's file, to be converted to the path in recognition.train.init."
    memory_mb: Positive | None = None
    "Per GPU, of version 0.x."
    fixture: str | None = None
    note: str = ""


class RecognitionParams(Block):
    """The block `recognition`."""

    choices: RecognitionChoices
    dataset: RecognitionDataset
    frames: ClipFrames
    backbone: RecognitionBackbone
    head: RecognitionHead
    train: RecognizerTraining
    evaluation: RecognitionEvaluation
    reported: ReportedRecognition | None = None

    @model_validator(mode="after")
    def _agree(self) -> "RecognitionParams":
        shown, stored = self.backbone.input, self.frames.short_side
        if stored != "none" and stored < shown.short_side:
            raise ValueError(
                f".frames.short_side {stored} is below .backbone.input.short_side {shown.short_side}: views would be "
                "upsampled; store larger frames, or set it to none"
            )
        return self
