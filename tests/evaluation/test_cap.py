import heapq
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation.ava_map import score_matching
from pipeline.evaluation.box_arrays import BoxArrays
from pipeline.evaluation.cap import best_rows
from pipeline.tables.schemas import BOX_COLUMNS
from tests.evaluation import reference
from tests.evaluation.test_against_reference import CLASSES, crowds, matched


@settings(max_examples=200, deadline=None)
@given(crowds())
def test_ties_at_the_cap(case):
    result = score_matching(matched(case), case["iou"])
    expected = reference.evaluate(**case, class_ids=CLASSES)
    assert result.ap.tolist() == pytest.approx(list(expected.values()), abs=1e-12, nan_ok=True)


CORNERS = st.sampled_from(sorted(product((0.0, 0.5), repeat=4)))
ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 1), st.sampled_from([0.25, 0.5, 0.75]), CORNERS), max_size=12
)


@given(rows=ROWS, limit=st.integers(1, 4))
def test_the_rows_that_stay_are_those_of_the_heap(rows: list[tuple], limit: int) -> None:
    """Which of equal rows stays cannot be told, so that their tuples are compared."""
    frame, label, score, box = zip(*rows, strict=True) if rows else ((), (), (), ())
    corners = np.array(box, np.float64).reshape(-1, 4)
    table = pa.table({name: corners[:, place] for place, name in enumerate(BOX_COLUMNS)})
    given_rows = BoxArrays(
        np.array(frame, np.int64), np.array(label, np.int64), np.array(score, np.float64), np.arange(len(rows)), table
    )
    heaps: dict[int, list[tuple]] = {}
    for at, action, value, (x1, y1, x2, y2) in rows:
        heap, entry = heaps.setdefault(at, []), (value, action, y1, x1, y2, x2)
        if len(heap) < limit:
            heapq.heappush(heap, entry)
        elif value > heap[0][0]:
            heapq.heapreplace(heap, entry)
    expected = sorted((at, entry) for at, heap in heaps.items() for entry in heap)
    kept = [rows[place] for place in np.flatnonzero(best_rows(given_rows, limit))]
    assert sorted((at, (value, action, y1, x1, y2, x2)) for at, action, value, (x1, y1, x2, y2) in kept) == expected
