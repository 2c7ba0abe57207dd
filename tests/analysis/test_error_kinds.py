"""Hand-made keyframes whose errors, and the AP that each costs, are known."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.analysis.error_kinds import KINDS, NOT_COUNTED, Errors, find_errors
from pipeline.evaluation.ava_map import evaluate
from pipeline.evaluation.protocols import PROTOCOLS
from pipeline.tables.schemas import ANNOTATIONS, DETECTIONS, KEYFRAMES
from tests.evaluation.test_report import table

WALK, WAVE, SIT = 1, 2, 5
LEFT, RIGHT = (0.0, 0.0, 0.4, 1.0), (0.6, 0.0, 1.0, 1.0)
LEFT_SHIFTED = (0.2, 0.0, 0.6, 1.0)  # IoU 1/3 with LEFT
FAR = (0.45, 0.0, 0.55, 0.1)


def found_in(
    labels: list[tuple], rows: list[tuple], *, classes: tuple[int, ...] = (WALK, WAVE, SIT), **options
) -> Errors:
    """Errors of labels (second, box, action) and rows (second, box, action, score)."""
    seconds = sorted({each[0] for each in [*labels, *rows]})
    return find_errors(
        table(ANNOTATIONS, [("a", float(t), float(t), *box, action, 0) for t, box, action in labels]),
        table(DETECTIONS, [("a", float(t), float(t), *box, action, score) for t, box, action, score in rows]),
        class_ids=classes,
        keyframes=table(KEYFRAMES, [("a", float(t), float(t), "val", "annotated") for t in seconds]),
        **options,
    )


def names(kinds) -> list[str]:
    return ["found" if kind == -1 else KINDS[kind] for kind in kinds]


def costs(errors: Errors, action: int = WALK) -> dict[str, tuple[float, float]]:
    """Share and gain of each kind that has any, of one class."""
    place = errors.class_ids.tolist().index(action)
    return {
        name: (round(errors.share[place, kind], 6), round(errors.gain[place, kind], 6))
        for kind, name in enumerate(KINDS)
        if errors.share[place, kind] or errors.gain[place, kind]
    }


def test_nothing_is_wrong() -> None:
    errors = found_in([(1, LEFT, WALK)], [(1, LEFT, WALK, 0.9)])
    assert names(errors.label_kind) == names(errors.row_kind) == ["found"]
    assert errors.found_by.tolist() == [0]
    assert costs(errors) == {}


def test_a_person_without_a_box() -> None:
    errors = found_in([(1, LEFT, WALK), (1, RIGHT, WALK)], [(1, LEFT, WALK, 0.9)])
    assert names(errors.label_kind) == ["found", "missed"]
    assert errors.ap[0] == 0.5
    assert costs(errors) == {"missed": (1.0, 0.5)}
    assert errors.label_loss.tolist() == [0.0, 0.5]


def test_nobody_has_a_box() -> None:
    errors = found_in([(1, LEFT, WALK)], [])
    assert errors.ap[0] == 0
    assert costs(errors) == {"missed": (1.0, 1.0)}


def test_a_badly_placed_box() -> None:
    """It costs twice: its label is not found, and it stands above the one that is. Moved, it is right."""
    errors = found_in([(1, LEFT, WALK), (2, LEFT, WALK)], [(1, LEFT_SHIFTED, WALK, 0.9), (2, LEFT, WALK, 0.8)])
    assert names(errors.label_kind) == ["localisation", "found"]
    assert names(errors.row_kind) == ["localisation", "found"]
    assert errors.ap[0] == pytest.approx(0.25)
    assert costs(errors) == {"localisation": (1.0, 0.75)}
    assert errors.label_loss[0] == pytest.approx(0.5)
    assert errors.row_loss[0] == pytest.approx(0.25)


def test_of_several_badly_placed_boxes_one_is_moved() -> None:
    rows = [(1, LEFT_SHIFTED, WALK, 0.9), (1, (0.0, 0.0, 0.4, 0.3), WALK, 0.7), (2, LEFT, WAVE, 0.8)]
    errors = found_in([(1, LEFT, WALK), (2, LEFT, WALK)], rows)
    assert names(errors.row_kind) == ["localisation", "localisation", "class"]
    assert errors.mended[0, KINDS.index("localisation")] == 0.5


def test_another_action_of_a_person_with_a_box() -> None:
    """He walks; that he waves is false, and that he walks was scored below what is written."""
    errors = found_in([(1, LEFT, WALK), (2, LEFT, WAVE)], [(1, LEFT, WAVE, 0.9), (2, LEFT, WAVE, 0.8)])
    assert names(errors.label_kind) == ["class", "found"]
    assert names(errors.row_kind) == ["class", "found"]
    assert errors.ap[:2].tolist() == [0.0, 0.5]
    assert costs(errors, WALK) == {"class": (1.0, 1.0)}  # found with the score of the best row of the box
    assert costs(errors, WAVE) == {"class": (1.0, 0.5)}


def test_a_label_that_the_cap_leaves_out_is_one_of_a_wrong_class() -> None:
    rows = [(1, LEFT, WAVE, 0.9), (1, LEFT, WALK, 0.1)]
    errors = found_in([(1, LEFT, WALK)], rows, cap=1)
    assert names(errors.label_kind) == ["class"]
    assert names(errors.row_kind[:1]) == ["class"]
    assert errors.row_kind[1] == NOT_COUNTED
    assert names(found_in([(1, LEFT, WALK)], rows).label_kind) == ["found"]


def test_several_actions_of_one_person_are_all_right() -> None:
    labels = [(1, LEFT, WALK), (1, LEFT, WAVE)]
    errors = found_in(labels, [(1, LEFT, WALK, 0.9), (1, LEFT, WAVE, 0.6), (1, LEFT, SIT, 0.7)])
    assert names(errors.row_kind) == ["found", "found", "class"]
    assert errors.ap[:2].tolist() == [1.0, 1.0]
    assert np.isnan(errors.ap[2])  # nobody sits: no AP, and nothing is lost
    assert errors.share[2].sum() == 0
    assert errors.row_loss.sum() == 0


def test_a_second_box_on_one_person() -> None:
    near = (0.0, 0.0, 0.4, 0.9)
    labels, rows = [(1, LEFT, WALK), (2, LEFT, WALK)], [
        (1, LEFT, WALK, 0.9), (1, near, WALK, 0.8), (2, LEFT, WALK, 0.7),
    ]  # fmt: skip
    errors = found_in(labels, rows)
    assert names(errors.row_kind) == ["found", "duplicate", "found"]
    assert errors.ap[0] == pytest.approx((1 + 2 / 3) / 2)
    assert costs(errors) == {"duplicate": (1.0, round(1 / 6, 6))}


def test_a_box_where_nobody_is() -> None:
    errors = found_in([(1, LEFT, WALK)], [(1, FAR, WALK, 0.9), (1, LEFT, WALK, 0.8), (1, FAR, WALK, 0.1)])
    assert names(errors.row_kind) == ["background", "found", "background"]
    assert costs(errors) == {"background": (1.0, 0.5)}
    assert errors.row_loss.tolist() == [0.5, 0.0, 0.0]  # what stands below the last label costs nothing


def test_a_keyframe_that_shows_nobody() -> None:
    errors = found_in([(2, LEFT, WALK)], [(1, LEFT, WALK, 0.9), (2, LEFT, WALK, 0.8)])
    assert names(errors.row_kind) == ["background", "found"]


def test_badly_placed_and_of_another_action() -> None:
    errors = found_in([(1, LEFT, WALK), (2, LEFT, WAVE)], [(1, LEFT_SHIFTED, WAVE, 0.9), (2, LEFT, WAVE, 0.8)])
    assert names(errors.row_kind) == ["both", "found"]
    assert costs(errors, WAVE) == {"both": (1.0, 0.5)}
    assert names(errors.label_kind) == ["localisation", "found"]


def test_two_persons_with_one_box_between_them() -> None:
    """The box overlaps both by half and more, and finds the one it overlaps more."""
    one, other = (0.0, 0.0, 0.4, 1.0), (0.1, 0.0, 0.5, 1.0)
    errors = found_in([(1, one, WALK), (1, other, WALK)], [(1, (0.04, 0.0, 0.44, 1.0), WALK, 0.9)])
    assert names(errors.label_kind) == ["found", "missed"]


def test_a_person_of_a_class_that_is_not_scored_is_no_background() -> None:
    errors = found_in([(1, LEFT, 7), (2, LEFT, WALK)], [(1, LEFT, WALK, 0.9), (2, LEFT, WALK, 0.8)])
    assert names(errors.row_kind) == ["class", "found"]
    assert errors.label_kind.tolist() == [NOT_COUNTED, -1]


def test_errors_of_several_kinds_share_the_loss() -> None:
    """Two of four labels are found, at precisions 1/2 and 2/4: 1 - AP is 3/4; a label not found costs 1/4."""
    labels = [(t, LEFT, WALK) for t in (1, 2, 3, 4)]
    rows = [(1, FAR, WALK, 0.9), (1, LEFT, WALK, 0.8), (2, LEFT, WALK, 0.7), (2, LEFT, WALK, 0.75)]
    errors = found_in(labels, [*rows[:3], (5, RIGHT, WALK, 0.75)])
    assert errors.ap[0] == pytest.approx(0.25)
    shares = {"missed": 0.5 / 0.75, "background": 0.25 / 0.75}
    assert {name: share for name, (share, _) in costs(errors).items()} == pytest.approx(shares, abs=1e-6)
    # The first of the two false rows stands above both labels, the second above one.
    assert errors.row_loss.tolist() == pytest.approx([1 / 8 + 1 / 16, 0, 0, 1 / 16])


def test_an_excluded_keyframe_counts_for_nothing() -> None:
    annotations = table(ANNOTATIONS, [("a", 1.0, 1.0, *LEFT, WALK, 0), ("a", 2.0, 2.0, *LEFT, WALK, 0)])
    detections = table(DETECTIONS, [("a", 1.0, 1.0, *LEFT, WALK, 0.9), ("a", 2.0, 2.0, *FAR, WALK, 0.9)])
    keyframes = table(KEYFRAMES, [("a", 1.0, 1.0, "val", "annotated"), ("a", 2.0, 2.0, "val", "excluded")])
    errors = find_errors(annotations, detections, class_ids=[WALK], keyframes=keyframes)
    assert errors.label_kind.tolist() == errors.row_kind.tolist() == [-1, NOT_COUNTED]
    upstream = find_errors(annotations, detections, class_ids=[WALK], keyframes=keyframes, protocol="mmaction2_1x")
    assert names(upstream.label_kind) == ["found", "missed"]


BOXES = st.sampled_from([LEFT, RIGHT, LEFT_SHIFTED, FAR, (0.05, 0.0, 0.45, 1.0), (0.0, 0.0, 1.0, 1.0)])
LABELS = st.lists(st.tuples(st.integers(1, 4), BOXES, st.integers(1, 4)), unique=True, max_size=12)
SCORES = st.sampled_from([0.1, 0.2, 0.5, 0.5000001, 0.9])
ROWS = st.lists(st.tuples(st.integers(1, 5), BOXES, st.integers(1, 4), SCORES), max_size=20)


@settings(max_examples=150, deadline=None)
@given(labels=LABELS, rows=ROWS, protocol=st.sampled_from(sorted(PROTOCOLS)), cap=st.sampled_from([0, 3, 50]))
def test_what_holds_for_any_rows(labels: list[tuple], rows: list[tuple], protocol: str, cap: int) -> None:
    errors = found_in(labels, rows, classes=(1, 2, 3), protocol=protocol, cap=cap)
    seconds = sorted({each[0] for each in [*labels, *rows]})
    official = evaluate(
        pa.table(table(ANNOTATIONS, [("a", float(t), float(t), *box, action, 0) for t, box, action in labels])),
        pa.table(table(DETECTIONS, [("a", float(t), float(t), *box, each, s) for t, box, each, s in rows])),
        class_ids=(1, 2, 3),
        keyframes=table(KEYFRAMES, [("a", float(t), float(t), "val", "annotated") for t in seconds]),
        protocol=protocol,
        cap=cap,
    )
    np.testing.assert_allclose(errors.ap, official.ap)
    assert errors.false_rows.sum() == (official.num_detections - official.num_true_positives).sum()
    assert errors.unfound.sum() == (official.num_gt - official.num_true_positives).sum()
    defined = ~np.isnan(errors.ap)
    lost = np.where(defined, 1 - errors.ap, 0)
    # What is lost is lost by rows and labels, to the last of it.
    assert errors.label_loss.sum() + errors.row_loss.sum() == pytest.approx(lost.sum() / max(1, defined.sum()))
    np.testing.assert_allclose(errors.share.sum(axis=1), (lost > 1e-12).astype(float), atol=1e-9)
    assert (errors.mended[defined] <= 1 + 1e-12).all()
    assert (errors.gain[defined] >= -1e-12).all()  # mending never harms
