"""Parameters of data sets and banks, as far as they are not declared in the package that uses them."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from pipeline.bank.settings import BankSettings
from pipeline.base.block import Block, Fraction, Positive
from pipeline.playground.settings import Playground
from pipeline.tables.label_map import MAX_CLASS_ID


class Dataset(Block):
    """The sources of a data set, and how they are read."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    "Folder below data/."
    generate: list[str]
    "[name] for a data set that make_videos renders, [] for one that the user brings."
    videos: str
    "Folder of video files or of folders of pictures; the file's stem, or the folder's name, is the video_id."
    frame_rate: Annotated[float, Field(ge=0.001, le=100_000)] | Literal["none"]
    "Frame rate of folders of pictures (VIDEO/img_00001.jpg), except those that frame_rates.csv lists."
    annotations: str
    "Folder of annotations in any of the formats of docs/datasets.md."
    proposals: str
    "Folder of person boxes in any of the formats of docs/data-layout.md; not read if boxes.detector makes the boxes."
    objects: str
    "Folder of boxes of objects, with their classes (docs/data-layout.md); conf/none/objects if there are none."
    classes: Annotated[int, Field(gt=0, le=MAX_CLASS_ID)]
    "Width of the classifier: action ids run from 1 to this."
    max_bad_fraction: Fraction
    "Largest share of bad annotation rows that is accepted."
    first_id: Literal["auto", 0, 1]
    "First action id of the source; auto: 0 if its label map lists an id 0 (MultiSports: 0), else 1."
    timestamps: Literal["auto", "seconds", "frames"]
    "Unit of an AVA CSV's timestamps: seconds, or frame numbers from 1; auto decides by the rows, or refuses."
    split_number: Positive
    "For pickles of tubes with several splits of the videos (JHMDB has three): which split is read."
    class_map: Literal["none"] | list[int | str] | dict[str, int | str | list[int | str]]
    "Classes to keep, by name or the source's id; or new name -> the classes that it merges. none keeps all unchanged."
    action_attribute: str | list[str]
    "Annotation tools: attribute(s) that hold a person's actions; auto finds them; none: the label is the action."
    keyframe_seconds: Annotated[float, Field(gt=0)]
    "CVAT and VIA: seconds from one keyframe to the next."
    val_fraction: Fraction
    "Share of val where the source gives no split: of the videos (by a hash of the id), or of each video's keyframes."
    split_by: Literal["film", "time"]
    "How train and val are split where the source gives no split: by whole film, or the last part of each film is val."
    split_gap_seconds: Annotated[float, Field(ge=0)]
    "split_by time: seconds without a keyframe between train and val, at least the length of a clip."
    evaluate: Literal["ava", "kinetics", "ava_kinetics"]
    "AVA-Kinetics: which data set the val split holds."
    clips: str
    "AVA-Kinetics: folder whose file names give the span of each clip; conf/none/clips if there are no clips."
    origins: dict[Literal["videos", "annotations", "proposals", "objects", "clips"], str] = Field(default_factory=dict)
    "Where the user gets the sources, for the message that they are missing."
    pack: Positive | Literal["none"]
    "none: one frame file and one bank part per video; N: videos share N frame files and N bank parts."
    playground: Playground | None = None


@dataclass(frozen=True, kw_only=True)
class BankParams(BankSettings):
    """The feature bank."""

    name: Literal["own", "external"]
    make: list[Literal["train", "val", "test"]]
    "Splits that infer_bank computes; empty for a head that reads no bank, and for external banks."
    reads: Literal["bank", "features"]
    "Source of a head's rows in scope head: a bank, or (linear on own banks) features computed and kept in .work."
    train: str
    "Path of the train bank."
    val: str
    "Path of the val bank."
    producer: str
    "sha256 of the checkpoint that must have made the banks; baseline: see models/baseline.json; unknown: none named."
    sidecar: str
    "The baseline's sidecar, models/baseline.json; conf/none/sidecar if only the banks tell what made them."
    allow_mixed: bool
    "Accept train and val banks that differ in producer or settings; metrics.json records it."
