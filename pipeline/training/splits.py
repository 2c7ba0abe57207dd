"""Read and check the keyframes that a detector or a head is trained on, and those that validation scores."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.models.settings import Labels
from pipeline.tables.box_thresholds import check_threshold, videos_of
from pipeline.tables.folds import keyframes_in_folds
from pipeline.tables.keyframes import KeyframeSet, check_single_label
from pipeline.tables.select_boxes import ObjectRule
from pipeline.tables.split_tables import KnownFilms, Tables, read_tables, split_keyframes
from pipeline.training.settings import Training
from pipeline.training.validation import check_val_labels
from pipeline.video.store import FrameStore


@dataclass(frozen=True)
class Splits:
    """The tables and keyframes of a training."""

    tables: Tables
    train: KeyframeSet
    "Keyframes of the chosen folds."
    val: KeyframeSet
    "All keyframes that validation scores."

    @property
    def train_films(self) -> int:
        """Number of films that are trained on."""
        return len(set(self.train.video_ids))


@dataclass(frozen=True)
class SplitSources:
    """The paths of annotations and boxes, and the films that have frames or rows."""

    annotations: Path
    boxes: Path | None
    "None if a bank has the boxes."
    films: KnownFilms
    store: FrameStore | None = None
    "The frame store, if clips are read."
    objects: ObjectRule | None = None
    "Selects the objects of each keyframe, for a head that reads them from the boxes."


def read_splits(sources: SplitSources, settings: Training, *, classes: int, labels: Labels) -> Splits:
    """Read the keyframes of train and val.

    Args:
        sources: see `SplitSources`.
        settings: see `Training`.
        classes: width of the labels.
        labels: how many actions a person can have.

    Raises:
        InputError: a table is absent or has another schema, or no keyframes to train on or to score fit the settings.
    """
    tables = read_tables(sources.annotations, sources.boxes)
    train = split_keyframes(
        tables, "train", classes=classes, rule=settings.rule, films=sources.films, objects=sources.objects
    )
    train = keyframes_in_folds(train, **settings.videos.model_dump(), what=f"{settings.block}.videos")
    if labels.kind != "multi":
        softmax = labels.softmax_ids if labels.kind == "grouped" else None
        check_single_label(train, several=labels.several, softmax=softmax)
    validation = settings.validation
    val = split_keyframes(
        tables,
        "val",
        classes=classes,
        rule=validation.rule,
        with_empty=True,
        films=sources.films,
        objects=sources.objects,
    )
    if setting := settings.goes_by_validation:
        check_val_labels(tables, f"{settings.block}.{setting}")
    if tables.boxes is not None and validation.interval and validation.boxes == "detected":
        check_threshold(
            str(sources.boxes),
            tables.boxes,
            videos_of(tables.keyframes, "val"),
            split="val",
            rule=validation.rule,
            key=f"{settings.block}.validation.box_threshold",
        )
    return Splits(tables, train, val)
