"""The keyframes of a training: read once, and refused before anything is computed."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest

from pipeline.base.errors import InputError
from pipeline.models.settings import Labels
from pipeline.scoring.score_films import films_of_store
from pipeline.tables.folds import in_folds
from pipeline.tables.label_map import Label, write_labels
from pipeline.tables.schemas import ANNOTATIONS, BOXES, KEYFRAMES, write_table
from pipeline.tables.split_tables import KnownFilms
from pipeline.training.splits import Splits, SplitSources, read_splits
from pipeline.video.store import FrameStore
from tests.training.settings import training_settings

BOX = (0.1, 0.1, 0.5, 0.9)
TRAIN, VAL = ("a", "b"), ("v",)


def write(path: Path, schema: pa.Schema, rows: list[tuple]) -> None:
    write_table(pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema), path, schema)


def write_sources(folder: Path, *, actions: tuple[int, ...] = (1,), val: tuple[int, ...] = (2,)) -> SplitSources:
    """Films a and b of train and v of val; in each, a person at 1 s, and a box of score 0.5 at 1 s and 2 s."""
    of = {**dict.fromkeys(TRAIN, actions), **dict.fromkeys(VAL, val)}
    labels = [(film, 1.0, 1.0, *BOX, action, None) for film, each in of.items() for action in each]
    keys = [(film, at, at, "val" if film in VAL else "train") for film in of for at in (1.0, 2.0)]
    write(folder / "annotations.parquet", ANNOTATIONS, labels)
    status = {(film, at): "annotated" if at == 1 and of[film] else "empty" for film, at, *_ in keys}
    write(folder / "keyframes.parquet", KEYFRAMES, [(*key, status[key[:2]]) for key in keys])
    write_labels(folder / "labels.json", [Label(1, "walk", "x"), Label(2, "sit", "x")])
    write(folder / "boxes.parquet", BOXES, [(*key[:3], *BOX, 0.5, "made", None, None) for key in keys])
    return SplitSources(folder, folder, KnownFilms([*TRAIN, *VAL]))


def read(sources: SplitSources, labels: Labels = Labels(), **changes: Any) -> Splits:
    return read_splits(sources, training_settings(**changes), classes=2, labels=labels)


def refused(*arguments: Any, **changes: Any) -> str:
    with pytest.raises(InputError) as error:
        read(*arguments, **changes)
    return str(error.value)


def test_train_has_the_labelled_keyframes_and_val_all(tmp_path: Path) -> None:
    found = read(write_sources(tmp_path))
    assert list(zip(found.train.video_ids, found.train.timestamp.tolist(), strict=True)) == [("a", 1.0), ("b", 1.0)]
    assert list(zip(found.val.video_ids, found.val.timestamp.tolist(), strict=True)) == [("v", 1.0), ("v", 2.0)]
    assert found.train.labels.tolist() == [[True, False]] * 2
    assert found.train_films == 2


def test_train_is_of_the_chosen_folds_and_val_is_whole(tmp_path: Path) -> None:
    sources = write_sources(tmp_path)
    chosen = [fold for fold in range(7) if in_folds("a", folds=7, use=[fold])]
    some = read(sources, videos={"folds": 7, "use": chosen})
    expected = {film for film in TRAIN if in_folds(film, folds=7, use=chosen)}
    assert (set(some.train.video_ids), set(some.val.video_ids)) == (expected, {"v"})
    unused = [fold for fold in range(7) if not any(in_folds(film, folds=7, use=[fold]) for film in TRAIN)]
    assert refused(sources, videos={"folds": 7, "use": unused[:1]}) == (
        f"baseline.videos: none of the 2 train films is in fold {unused[0]} of 7"
    )


def test_a_person_with_two_actions_is_refused_where_there_is_to_be_one(tmp_path: Path) -> None:
    sources = write_sources(tmp_path, actions=(1, 2))
    assert read(sources).train.labels.tolist() == [[True, True]] * 2
    assert refused(sources, Labels("single")).startswith(
        "annotations: video a, timestamp 1, box 0.1 0.1 0.5 0.9: found the actions 1, 2, expected one"
    )
    assert read(sources, Labels("single", several="soft")).train.labels.tolist() == [[True, True]] * 2


def test_what_goes_by_the_map_needs_labels_in_val(tmp_path: Path) -> None:
    sources = write_sources(tmp_path, val=())
    assert len(read(sources).val) == 2
    assert refused(sources, select="best").startswith("baseline.checkpoint.select best goes by the mAP of val")
    assert refused(sources, patience=1).startswith("baseline.early_stop.patience 1 goes by the mAP of val")


def test_a_threshold_that_no_scored_box_reaches_is_refused(tmp_path: Path) -> None:
    sources = write_sources(tmp_path)
    scored = {"interval": 1, "boxes": "detected", "box_threshold": 0.6}
    assert refused(sources, validation=scored) == (
        f"{tmp_path}: no box of split val has a score of at least 0.6 (baseline.validation.box_threshold): the highest "
        "of 2 is 0.5; set baseline.validation.box_threshold to what this detector's scores mean"
    )
    for pardoned in ({"boxes": "ground_truth"}, {"interval": 0}):
        assert len(read(sources, validation={**scored, **pardoned}).val.scores) == 0


def test_the_films_of_a_store_end_where_it_says() -> None:
    store = cast(FrameStore, SimpleNamespace(video_ids=["a"], duration_seconds=lambda video_id: 2.5))
    known = films_of_store(store)
    assert (list(known.video_ids), known.where) == (["a"], "the frame store")
    assert known.duration_seconds is not None
    assert known.duration_seconds("a") == 2.5
