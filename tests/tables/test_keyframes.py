from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.errors import InputError
from pipeline.tables.keyframes import Keyframe, KeyframeSet, check_single_label, group_keyframes
from pipeline.tables.schemas import ANNOTATIONS, BOXES, KEYFRAMES
from pipeline.tables.select_boxes import BoxRule, ObjectRule

A, B, C = (0.1, 0.2, 0.3, 0.4), (0.1, 0.2, 0.3, 0.5), (0.5, 0.5, 0.9, 0.9)


def annotations(*rows: tuple) -> pa.Table:
    """Rows (video_id, timestamp, box, action_id)."""
    return table(ANNOTATIONS, [(video, stamp, stamp - 900, *box, action, None) for video, stamp, box, action in rows])


def keyframes(*rows: tuple) -> pa.Table:
    """Rows (video_id, timestamp, split, status)."""
    return table(KEYFRAMES, [(video, stamp, stamp - 900, split, status) for video, stamp, split, status in rows])


def boxes(*rows: tuple, label: str | None = None) -> pa.Table:
    """Rows (video_id, timestamp, box, score)."""
    return table(
        BOXES, [(video, stamp, stamp - 900, *box, score, "test", label, None) for video, stamp, box, score in rows]
    )


def table(schema: pa.Schema, rows: list[tuple]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema)


def group(*tables: pa.Table | None, **options) -> KeyframeSet:
    return group_keyframes(*tables, **{"split": "train", "classes": 4, "rule": BoxRule(0.9), **options})


SOME_KEYFRAMES = keyframes(
    ("b", 902.0, "train", "annotated"),
    ("a", 903.0, "train", "empty"),
    ("a", 902.0, "train", "annotated"),
    ("a", 901.0, "train", "excluded"),
    ("c", 902.0, "val", "annotated"),
)


def test_rows_of_one_box_are_one_person_with_all_its_labels() -> None:
    found = group(
        annotations(("a", 902.0, B, 4), ("b", 902.0, A, 1), ("a", 902.0, A, 3), ("a", 902.0, A, 1)),
        SOME_KEYFRAMES,
        None,
    )
    assert [each.keyframe for each in found] == [Keyframe("a", 902.0, 2.0), Keyframe("b", 902.0, 2.0)]
    assert found[0].ground_truth_xyxy.tolist() == [list(A), list(B)]
    assert found[0].labels.tolist() == [[True, False, True, False], [False, False, False, True]]
    assert found[1].labels.tolist() == [[True, False, False, False]]
    assert found[-1].keyframe.video_id == "b"
    assert found[0].proposals_xyxy.shape == (0, 4)
    assert found[0].ground_truth_xyxy.dtype == found[0].proposals_xyxy.dtype == found[0].scores.dtype == np.float64
    for index in (2, -3):
        with pytest.raises(IndexError, match=f"keyframe {index} of 2"):
            found[index]


def test_excluded_and_foreign_keyframes_are_left_out_and_empty_ones_by_choice() -> None:
    labels = annotations(("a", 901.0, A, 1), ("a", 902.0, A, 1), ("b", 902.0, A, 1), ("c", 902.0, A, 1))
    assert [each.keyframe.timestamp for each in group(labels, SOME_KEYFRAMES, None)] == [902.0, 902.0]
    found = group(labels, SOME_KEYFRAMES, None, with_empty=True)
    assert [(each.keyframe.timestamp, len(each.labels)) for each in found] == [(902.0, 1), (903.0, 0), (902.0, 1)]
    assert [each.keyframe.video_id for each in group(labels, SOME_KEYFRAMES, None, split="val")] == ["c"]
    assert len(group(labels, SOME_KEYFRAMES, None, split="test")) == 0


def test_proposals_come_by_score_from_the_threshold_on() -> None:
    proposals = boxes(
        ("a", 902.0, A, 0.9), ("a", 902.0, C, 0.95), ("a", 902.0, B, 0.95), ("b", 902.0, A, 0.89), ("z", 902.0, A, 1.0)
    )
    found = group(annotations(), SOME_KEYFRAMES, proposals)
    assert found[0].proposals_xyxy.tolist() == [list(B), list(C), list(A)]
    assert found[0].scores.tolist() == [0.95, 0.95, 0.9]
    assert len(found[1].scores) == 0


def test_objects_are_no_proposals() -> None:
    objects = boxes(("a", 902.0, A, 1.0), label="ball")
    assert len(group(annotations(), SOME_KEYFRAMES, objects)[0].scores) == 0


def test_the_best_objects_come_by_score_and_then_by_box() -> None:
    things = boxes(
        ("a", 902.0, B, 0.5), ("a", 902.0, A, 0.5), ("a", 902.0, C, 0.7), ("b", 902.0, A, 0.2), ("z", 902.0, A, 0.9),
        label="cup",
    )  # fmt: skip
    table = pa.concat_tables([things, boxes(("a", 902.0, A, 0.95))])
    found = group(annotations(), SOME_KEYFRAMES, table, objects=ObjectRule(2, 0.3))
    assert found.video_ids == ["a", "b"]
    none = [np.nan] * 4
    expected = np.array([[C, A], [none, none]])
    assert found.objects_xyxy is not None
    np.testing.assert_array_equal(found.objects_xyxy, expected)
    np.testing.assert_array_equal(found.select(np.array([1, 0])).objects_xyxy, expected[[1, 0]])
    np.testing.assert_array_equal(found[0].objects_xyxy, expected[0])
    assert found[0].proposals_xyxy.tolist() == [list(A)]
    plain = group(annotations(), SOME_KEYFRAMES, table)
    assert plain.objects_xyxy is plain[0].objects_xyxy is None


def test_the_threshold_is_lowered_to_the_best_score_of_a_keyframe() -> None:
    proposals = boxes(
        ("a", 902.0, A, 0.5), ("a", 902.0, B, 0.5), ("a", 902.0, C, 0.4), ("b", 902.0, A, 0.95), ("b", 902.0, B, 0.5)
    )
    found = group(annotations(), SOME_KEYFRAMES, proposals, rule=BoxRule(0.9, lower=True))
    assert [each.scores.tolist() for each in found] == [[0.5, 0.5], [0.95]]


def test_a_keyframe_without_any_box_gets_the_whole_frame() -> None:
    proposals = boxes(("a", 902.0, A, 0.5))
    found = group(annotations(), SOME_KEYFRAMES, proposals, rule=BoxRule(0.9, full_frame=True))
    assert [each.scores.tolist() for each in found] == [[], [1.0]]
    assert found[1].proposals_xyxy.tolist() == [[0.0, 0.0, 1.0, 1.0]]
    assert group(annotations(), SOME_KEYFRAMES, None, rule=BoxRule(0.9, full_frame=True))[0].scores.tolist() == [1.0]


def test_an_action_id_above_the_classes_is_refused() -> None:
    with pytest.raises(InputError) as error:
        group(annotations(("a", 902.0, A, 5)), SOME_KEYFRAMES, None)
    assert str(error.value) == "annotations: action id 5, expected 1 to 4 (dataset.classes)"


def test_a_person_with_several_actions_is_an_error_or_a_soft_label() -> None:
    single = group(annotations(("a", 902.0, A, 2), ("a", 902.0, B, 2), ("b", 902.0, A, 1)), SOME_KEYFRAMES, None)
    check_single_label(single, several="error")
    double = group(annotations(("a", 902.0, A, 2), ("b", 902.0, B, 4), ("b", 902.0, B, 1)), SOME_KEYFRAMES, None)
    check_single_label(double, several="soft")
    with pytest.raises(InputError) as error:
        check_single_label(double, several="error")
    assert str(error.value) == (
        "annotations: video b, timestamp 902, box 0.1 0.2 0.3 0.5: found the actions 1, 4, expected one "
        "(labels.kind is single; labels.several: soft takes equal parts, first the lowest id)"
    )


def test_of_each_softmax_a_person_has_one_action() -> None:
    both = group(annotations(("a", 902.0, A, 2), ("a", 902.0, A, 4)), SOME_KEYFRAMES, None)
    check_single_label(both, several="error", softmax=[(1, 2), (3, 4)])
    check_single_label(both, several="error", softmax=[])
    check_single_label(both, several="first", softmax=[(2, 4)])
    with pytest.raises(InputError) as error:
        check_single_label(both, several="error", softmax=[(1, 1), (2, 4)])
    assert str(error.value).endswith(
        "found the actions 2, 4, expected one of 2 to 4 (labels.kind is grouped; labels.several: soft takes equal "
        "parts, first the lowest id)"
    )


VIDEOS, STAMPS = st.sampled_from("abc"), st.sampled_from([902.0, 902.25, 903.0])
BOX = st.sampled_from([A, B, C])


@settings(deadline=None)
@given(
    labels=st.lists(st.tuples(VIDEOS, STAMPS, BOX, st.integers(1, 4)), max_size=15),
    proposals=st.lists(st.tuples(VIDEOS, STAMPS, BOX, st.sampled_from([0.1, 0.5, 0.9, 1.0])), max_size=15),
    named=st.lists(
        st.tuples(
            VIDEOS, STAMPS, st.sampled_from(["train", "val"]), st.sampled_from(["annotated", "empty", "excluded"])
        ),
        unique_by=lambda row: row[:2],
    ),
    lower=st.booleans(),
    full=st.booleans(),
    with_empty=st.booleans(),
)
def test_against_the_plain_definition(labels, proposals, named, lower: bool, full: bool, with_empty: bool) -> None:
    found = group(
        annotations(*labels),
        keyframes(*named),
        boxes(*proposals),
        rule=BoxRule(0.8, lower, full),
        with_empty=with_empty,
    )
    statuses = ("annotated", "empty") if with_empty else ("annotated",)
    expected = sorted((row[0], row[1]) for row in named if row[2] == "train" and row[3] in statuses)
    assert [(each.keyframe.video_id, each.keyframe.timestamp) for each in found] == expected
    for each in found:
        key = (each.keyframe.video_id, each.keyframe.timestamp)
        persons = defaultdict(set)
        for *row_key, box, action in labels:
            if tuple(row_key) == key:
                persons[box].add(action)
        actions = [(np.flatnonzero(row) + 1).tolist() for row in each.labels]
        assert [tuple(box) for box in each.ground_truth_xyxy.tolist()] == sorted(persons)
        assert actions == [sorted(persons[box]) for box in sorted(persons)]
        mine = sorted((-score, box) for *row_key, box, score in proposals if tuple(row_key) == key)
        least = min(0.8, -mine[0][0]) if lower and mine else 0.8
        kept = [(-score, box) for score, box in mine if -score >= least]
        if full and not mine:
            kept = [(1.0, (0.0, 0.0, 1.0, 1.0))]
        assert list(zip(each.scores.tolist(), map(tuple, each.proposals_xyxy.tolist()), strict=True)) == kept
