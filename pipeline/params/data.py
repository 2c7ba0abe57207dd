"""Parameters of what is read and stored that are not declared where they are used: sources, banks."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from pipeline.bank.settings import BankSettings
from pipeline.base.block import Block, Fraction, Positive
from pipeline.playground.settings import Playground
from pipeline.tables.label_map import MAX_CLASS_ID


class Dataset(Block):
    """Where a data set's sources lie."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    "Folder below data/."
    generate: list[str]
    "[name] for a data set that make_videos renders, [] for one that is brought."
    videos: str
    "Folder of video files, whose stem is their video_id, or of folders of pictures, whose name is it."
    frame_rate: Annotated[float, Field(ge=0.001, le=100_000)] | Literal["none"]
    "Pictures per second of folders of pictures (VIDEO/img_00001.jpg), but for those that frame_rates.csv lists."
    annotations: str
    "Folder of annotations in any of the formats of docs/datasets.md."
    proposals: str
    "Folder of person boxes in any of the formats of docs/data-layout.md; not read where boxes.detector makes them."
    classes: Annotated[int, Field(gt=0, le=MAX_CLASS_ID)]
    "Width of the classifier: action ids run from 1 to this."
    max_bad_fraction: Fraction
    "Largest share of bad annotation rows that is let pass."
    first_id: Literal["auto", 0, 1]
    "What the source's action ids begin with; auto: 0 where its label map lists an id 0 (MultiSports: 0), else 1."
    timestamps: Literal["auto", "seconds", "frames"]
    "What an AVA CSV counts: seconds, or frames from 1 on; auto looks at the rows, and refuses to guess."
    split_number: Positive
    "Pickles of tubes with several ways to split the videos (JHMDB has three): which one is read."
    class_map: Literal["none"] | list[int | str] | dict[str, int | str | list[int | str]]
    "Classes that are kept, by name or by the source's id; or new name -> what it takes in. none keeps all as they are."
    action_attribute: str | list[str]
    "Annotation tools: the attribute that names a person's actions, or a list; auto finds them; none: the label is it."
    keyframe_seconds: Annotated[float, Field(gt=0)]
    "CVAT and VIA: seconds from one keyframe to the next."
    val_fraction: Fraction
    "Share of videos in val, by a hash of the id, where nothing says the split; by time, of the keyframes of each."
    split_by: Literal["film", "time"]
    "What is put into train and val where nothing says it: whole films, or of each film the last part into val."
    split_gap_seconds: Annotated[float, Field(ge=0)]
    "By time: seconds without a keyframe between train and val, no less than a clip lasts."
    evaluate: Literal["ava", "kinetics", "ava_kinetics"]
    "AVA-Kinetics: what the val split is."
    clips: str
    "AVA-Kinetics: folder whose file names tell what each clip holds; conf/none/clips where there are no clips."
    origins: dict[Literal["videos", "annotations", "proposals", "clips"], str] = Field(default_factory=dict)
    "Where the sources come from, for the message that says that they are not here."
    pack: Positive | Literal["none"]
    "Videos are stored one by one (none) or spread over this many files of frames and parts of a bank."
    playground: Playground | None = None


@dataclass(frozen=True, kw_only=True)
class BankParams(BankSettings):
    """The feature bank."""

    name: Literal["own", "external"]
    make: list[Literal["train", "val", "test"]]
    "Splits that infer_bank computes; empty for a head that reads no bank, and for external banks."
    reads: Literal["bank", "features"]
    "Where a head's rows come from in scope head: from a bank, or (linear on own banks) computed and kept in .work."
    train: str
    "Path of the train bank."
    val: str
    "Path of the val bank."
    producer: str
    "sha256 of the checkpoint that a bank must come from; baseline: that of models/baseline.json; unknown: none named."
    sidecar: str
    "The baseline's sidecar, models/baseline.json; conf/none/sidecar where the banks alone say what made them."
    allow_mixed: bool
    "Let train and val banks differ in producer or settings; metrics.json records it."
