"""Read the tables for training and evaluation, and make keyframes from them."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.base.errors import InputError
from pipeline.base.ranks import is_main
from pipeline.evaluation.validate import of_split
from pipeline.tables.film_ends import keyframes_in_films
from pipeline.tables.film_ids import names_beside
from pipeline.tables.keyframes import KeyframeSet, group_keyframes
from pipeline.tables.label_map import Label, read_labels
from pipeline.tables.schemas import ANNOTATIONS, BOXES, KEYFRAMES, read_table
from pipeline.tables.select_boxes import ANY_SCORE, BoxRule, ObjectRule


@dataclass(frozen=True)
class Tables:
    """Outs of import_annotations and, if boxes are needed, of import_boxes."""

    annotations: pa.Table
    keyframes: pa.Table
    labels: list[Label]
    boxes: pa.Table | None

    def of_split(self, split: str) -> tuple[pa.Table, pa.Table]:
        """Return the annotations and keyframes of a split."""
        return of_split(self.annotations, self.keyframes, split)

    def scored_labels(self, classes: str, count: int) -> list[Label]:
        """Return the classes that are scored: those of the label map, or all ids from 1 to `count`."""
        if classes == "labelmap":
            return self.labels
        known = {label.id: label for label in self.labels}
        return [known.get(each, Label(each, f"class {each}", "unnamed")) for each in range(1, count + 1)]


@dataclass(frozen=True)
class KnownFilms:
    """The films that have frames or rows; other films may be annotated too."""

    video_ids: Iterable[str]
    where: str = "the frame store"
    "What holds these films, in words."
    duration_seconds: Callable[[str], float] | None = None
    "Returns the length of a film; later keyframes are left out. None if lengths are unknown."


def read_tables(annotations: Path, boxes: Path | None) -> Tables:
    """Read and check the tables in two outs.

    Raises:
        InputError: a file is absent or of another schema.
    """
    return Tables(
        annotations=read_table(annotations / "annotations.parquet", ANNOTATIONS),
        keyframes=read_table(annotations / "keyframes.parquet", KEYFRAMES),
        labels=read_labels(annotations / "labels.json"),
        boxes=None if boxes is None else read_table(boxes / "boxes.parquet", BOXES),
    )


def split_keyframes(
    tables: Tables,
    split: str,
    *,
    classes: int,
    rule: BoxRule = ANY_SCORE,
    with_empty: bool = False,
    films: KnownFilms | None = None,
    objects: ObjectRule | None = None,
) -> KeyframeSet:
    """Select the keyframes of a split, sorted by (video_id, timestamp), without excluded ones.

    Args:
        tables: see `Tables`.
        split: train, val or test.
        classes: width of the labels.
        rule: selects the proposals of each keyframe.
        with_empty: include keyframes that show nobody (they are scored, but not trained on).
        films: only these have frames or rows; None keeps all. A printed line counts the annotated films that are not
            among them, and another the keyframes beyond the end of their film.
        objects: selects the objects of each keyframe; None reads none.

    Raises:
        InputError: none of the annotated films of the split is among `films`.
    """
    grouped = group_keyframes(
        tables.annotations,
        tables.keyframes,
        tables.boxes,
        split=split,
        classes=classes,
        rule=rule,
        with_empty=with_empty,
        objects=objects,
    )
    if films is None:
        return grouped
    wanted = set(films.video_ids)
    annotated = sorted(set(grouped.video_ids))
    absent = [each for each in annotated if each not in wanted]
    if absent and len(absent) == len(annotated):
        beside = names_beside(films.where, wanted, annotated)
        raise InputError(f"{split}: no film of {films.where} is an annotated film of {split}: {beside}")
    if absent and is_main():
        lost = sum(each in set(absent) for each in grouped.video_ids)
        print(
            f"keyframes of {split}: {len(absent)} of {len(annotated)} annotated films are not in {films.where}, and "
            f"their {lost} keyframes are left out; the first: {absent[0]}",
            file=sys.stderr,
        )
    shown = grouped.select(np.flatnonzero([video_id in wanted for video_id in grouped.video_ids]))
    if films.duration_seconds is None:
        return shown
    return keyframes_in_films(shown, films.duration_seconds, f"keyframes of {split}")
