from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.bank.check_bank import verify_bank
from pipeline.bank.feature_rows import FeatureRows
from pipeline.bank.reader import Bank, open_bank
from pipeline.base.errors import InputError
from pipeline.base.files import write_json
from pipeline.features.check_sources import check_sources
from pipeline.features.requests import choose_boxes
from pipeline.tables.schemas import ANNOTATIONS, BOXES, KEYFRAMES, write_table
from pipeline.tables.select_boxes import BoxRule
from tests.bank.banks import PROVENANCE, write_small_bank

# video, timestamp, score, and of the box: x1
TABLE = [
    ("a", 0.0, 0.9, 0.1),
    ("a", 0.0, 0.5, 0.2),
    ("a", 0.0, 0.4, 0.3),
    ("a", 1.0, 0.3, 0.1 + 1e-16),
    ("a", 1.0, 0.2, 0.2),
    ("a", 9.0, 0.9, 0.1),  # not looked at
    ("b", 1.0, 0.7, 0.1),
    ("z", 1.0, 0.7, 0.1),  # of another split
]
TRUTH = [("a", 1.0, 0.5), ("a", 1.0, 0.5), ("a", 2.0, 0.4), ("z", 1.0, 0.5)]  # the first two: two labels of a box
SEEN = [0.0, 1.0, 2.0]


def box(x1: float) -> list[float]:
    return [x1, 0.25, 0.75, 1.0]


def table(rows: list[tuple[Any, ...]], schema: pa.Schema, path: Path) -> None:
    named = [dict(zip(schema.names, row, strict=False)) for row in rows]  # the last columns may be missing
    write_table(pa.Table.from_pylist(named, schema), path, schema)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    boxes = [(video, at, at, *box(x1), score, "made", None) for video, at, score, x1 in TABLE]
    objects = ("a", 0.0, 0.0, *box(0.6), 0.99, "made", "chair")
    table([*boxes, objects], BOXES, tmp_path / "boxes.parquet")
    truth = [(video, at, at, *box(x1), action, None) for action, (video, at, x1) in enumerate(TRUTH)]
    table(truth, ANNOTATIONS, tmp_path / "annotations.parquet")
    table([("a", 1.0, 1.0, "train", "annotated")], KEYFRAMES, tmp_path / "keyframes.parquet")
    write_json(tmp_path / "baseline.json", {"sha256": PROVENANCE["checkpoint_sha256"]})
    return tmp_path


def detections(video: str, *, lower: bool = False, full_frame: bool = False) -> np.ndarray:
    rows = np.array([[at, *box(x1), score] for name, at, score, x1 in TABLE if name == video])
    return choose_boxes(rows, np.array(SEEN), BoxRule(0.5, lower, full_frame))


def as_rows(values: np.ndarray, *, scored: bool = True) -> FeatureRows:
    return FeatureRows(np.ones((len(values), 4)), values[:, 0], values[:, 1:5], values[:, 5] if scored else None)


def truth_rows(video: str) -> FeatureRows:
    values = np.unique([[at, *box(x1)] for name, at, x1 in TRUTH if name == video] or np.empty((0, 5)), axis=0)
    return as_rows(np.column_stack([values, np.zeros(len(values))]), scored=False)


def bank(path: Path, rows: dict[str, FeatureRows], *, provenance: Any = None, **changes: Any) -> Bank:
    changes = {"ground_truth": None, "seconds_seen": SEEN, **changes}
    return open_bank(write_small_bank(path, rows, provenance=provenance, **changes))


def findings(found: Bank, sources: Path, **chosen: bool) -> list[str]:
    places = {"boxes": sources, "annotations": sources, "checkpoint": sources / "baseline.safetensors"}
    given = {name: places[name] for name, wanted in chosen.items() if wanted}
    return [str(each).removeprefix(f"{found.where}: ") for each in check_sources(found, **given)]


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("full_frame", [False, True])
def test_a_bank_of_these_boxes_has_no_findings(sources: Path, lower: bool, full_frame: bool) -> None:
    rows = {video: as_rows(detections(video, lower=lower, full_frame=full_frame)) for video in "ab"}
    assert len(rows["a"]) == 2 + lower + full_frame
    rule = {"lower_threshold": lower, "full_frame_box": full_frame}
    made = bank(sources / "train.zarr", rows, provenance={**PROVENANCE, **rule})
    assert findings(made, sources, boxes=True, checkpoint=True) == []
    assert findings(made, sources) == []


def test_the_rule_is_that_of_the_provenance(sources: Path) -> None:
    lowered = bank(sources / "train.zarr", {"a": as_rows(detections("a", lower=True))})
    assert findings(lowered, sources, boxes=True) == [
        "video 'a': detections: found 1 rows that are none, the first is timestamp 1 box 0.1 0.25 0.75 1 score 0.3, "
        "expected boxes of the table that pass the threshold"
    ]
    bare = {key: value for key, value in PROVENANCE.items() if key != "box_threshold"}
    unknown = bank(sources / "bare.zarr", {"a": as_rows(detections("a"))}, provenance=bare)
    assert findings(unknown, sources, boxes=True) == [
        "provenance: box_threshold: found None, expected a number, to tell which boxes belong into it"
    ]


def test_rows_too_few_too_many_and_moved_by_the_last_bit(sources: Path) -> None:
    good = detections("a")
    fewer = bank(sources / "fewer.zarr", {"a": as_rows(good[:1]), "b": as_rows(np.empty((0, 6)))})
    absent, good_ones = "found 1 that have no row, the first is", "expected boxes of the table that pass the threshold"
    assert findings(fewer, sources, boxes=True) == [
        f"video 'a': detections: {absent} timestamp 0 box 0.2 0.25 0.75 1 score 0.5, {good_ones}",
        f"video 'b': detections: {absent} timestamp 1 box 0.1 0.25 0.75 1 score 0.7, {good_ones}",
    ]
    twice = bank(sources / "twice.zarr", {"a": as_rows(good[[0, 1, 1]])})
    assert [line[:46] for line in findings(twice, sources, boxes=True)] == [
        "video 'a': detections: found 1 rows that are n"
    ]
    moved = good.copy()
    moved[0, 3] = np.nextafter(moved[0, 3], 1)
    assert len(findings(bank(sources / "moved.zarr", {"a": as_rows(moved)}), sources, boxes=True)) == 2
    scored = good.copy()
    scored[1, 5] = 0.625
    assert len(findings(bank(sources / "scored.zarr", {"a": as_rows(scored)}), sources, boxes=True)) == 2


def test_rows_without_boxes_cannot_be_compared(sources: Path) -> None:
    made = bank(sources / "train.zarr", {"a": as_rows(detections("a"), scored=False)})
    assert findings(made, sources, boxes=True) == [
        "video 'a': detections: found rows without box or score, expected both, to compare them with the table"
    ]


def test_ground_truth_is_the_distinct_annotated_boxes(sources: Path) -> None:
    good = bank(sources / "good.zarr", {"a": as_rows(detections("a"))}, ground_truth=truth_rows("a"))
    assert findings(good, sources, annotations=True) == []
    bad = bank(sources / "bad.zarr", {"b": as_rows(detections("b"))}, ground_truth=truth_rows("a"))
    assert findings(bad, sources, annotations=True) == [
        "video 'b': ground_truth: found 2 rows that are none, the first is timestamp 1 box 0.5 0.25 0.75 1, "
        "expected annotated boxes"
    ]
    short = bank(sources / "short.zarr", {"a": as_rows(detections("a"))}, ground_truth=truth_rows("b"))
    assert findings(short, sources, annotations=True) == [
        "video 'a': ground_truth: found 2 that have no row, the first is timestamp 1 box 0.5 0.25 0.75 1, "
        "expected annotated boxes"
    ]


def test_annotated_boxes_beyond_the_end_of_the_film_belong_not_in(sources: Path) -> None:
    short = bank(
        sources / "short.zarr", {"a": as_rows(detections("a"))}, ground_truth=truth_rows("a").take(np.arange(1)),
        attributes={"checkpoint_sha256": PROVENANCE["checkpoint_sha256"], "duration_seconds": 2.0},
    )  # fmt: skip
    assert len(truth_rows("a")) == 2
    assert findings(short, sources, annotations=True) == []


def test_ground_truth_stands_where_the_split_has_annotations_and_only_there(sources: Path) -> None:
    bare = bank(sources / "bare.zarr", {"a": as_rows(detections("a"))})
    assert findings(bare, sources, annotations=True) == [
        "video 'a': ground_truth: found no such row set, expected split train has annotations"
    ]
    test = bank(sources / "test.zarr", {"a": as_rows(detections("a"))}, split="test", ground_truth=truth_rows("a"))
    assert findings(test, sources, annotations=True) == [
        "video 'a': ground_truth: found it, expected split test has no annotations"
    ]


def test_the_producer_is_that_of_the_sidecar(sources: Path) -> None:
    made = bank(sources / "train.zarr", {"a": as_rows(detections("a"))}, provenance={"box_threshold": 0.5})
    assert findings(made, sources, checkpoint=True) == [
        f"checkpoint_sha256: found None, expected {'c' * 64} of {sources / 'baseline.safetensors'}"
    ]
    with pytest.raises(InputError, match="no such file"):
        check_sources(made, checkpoint=sources / "other.safetensors")
    with pytest.raises(InputError, match="no such table"):
        check_sources(made, boxes=sources / "nowhere")


def with_objects(folder: Path, objects: FeatureRows | None, best: int = 2) -> Bank:
    rows = {video: as_rows(detections(video)) for video in ("a", "b")}
    path = write_small_bank(
        folder / "train.zarr", rows, provenance={**PROVENANCE, "objects": best}, objects=objects, seconds_seen=SEEN
    )
    return open_bank(path)


def test_objects_are_the_best_of_each_second_of_the_table(tmp_path: Path) -> None:
    things = [("a", 0.0, 0.0, *box(0.1 * rank), 0.9 - 0.1 * rank, "made", "chair") for rank in range(1, 4)]
    persons = [(video, at, at, *box(x1), score, "made", None) for video, at, score, x1 in TABLE]
    table([*persons, *things, ("b", 0.0, 0.0, *box(0.1), 0.8, "made", "cup")], BOXES, tmp_path / "boxes.parquet")
    rows = np.array([[0.0, *box(0.1), 0.8], [0.0, *box(0.2), 0.7]])
    bank = with_objects(tmp_path, as_rows(rows))
    found = [each for each in check_sources(bank, boxes=tmp_path) if "objects" in each.item]
    assert list(map(str, found)) == [
        f"{bank.where}: video 'b': objects: found 1 rows that are none, the first is timestamp 0 box 0.2 0.25 0.75 1 "
        "score 0.7, expected the best 2 objects of each second in the table"
    ]
    bare = with_objects(tmp_path / "bare", None)
    found = [each for each in check_sources(bare, boxes=tmp_path) if "objects" in each.item]
    assert str(found[0]) == (
        f"{bare.where}: video 'a': objects: found no such row set, expected one in every video, as the bank stores "
        "objects"
    )


def test_a_bank_keeps_no_more_objects_of_a_second_than_it_says(tmp_path: Path) -> None:
    bank = with_objects(tmp_path, as_rows(np.array([[0.0, *box(0.1), 0.8], [0.0, *box(0.2), 0.7]])), best=1)
    assert [str(each) for each in verify_bank(Path(bank.where)) if "rows at" in str(each)] == [
        f"{bank.where}: part {video!r}: objects: video {video!r}: timestamp: found 2 rows at 0, expected at most 1"
        for video in ("a", "b")
    ]
