import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.tables.ordering import first_alike, group_starts, ordered, ranked, ranks, sort_table

ROWS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from([-1.5, 0.0, 2.0])), max_size=12)


@settings(deadline=None)
@given(ROWS)
def test_ordered_is_a_stable_sort(rows: list[tuple[int, float]]) -> None:
    keys = [np.array([row[0] for row in rows]), np.array([row[1] for row in rows])]
    order = ordered(keys).tolist()
    assert order == sorted(range(len(rows)), key=rows.__getitem__)
    assert ordered([key[order] for key in keys]).tolist() == list(range(len(rows)))


@settings(deadline=None)
@given(ROWS)
def test_first_alike_and_group_starts(rows: list[tuple[int, float]]) -> None:
    keys = [np.array([row[0] for row in rows], int), np.array([row[1] for row in rows], float)]
    assert first_alike(keys).tolist() == [rows.index(row) for row in rows]
    in_order = sorted(rows)
    starts = group_starts([np.array([row[0] for row in in_order]), np.array([row[1] for row in in_order])])
    assert starts.tolist() == [index == in_order.index(row) for index, row in enumerate(in_order)]


@settings(deadline=None)
@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"]))))
def test_ranked_sorts_by_the_bytes_of_the_text(texts: list[str]) -> None:
    names, places = ranked(pa.chunked_array([pa.array(texts, pa.string())]))
    assert names == sorted(set(texts), key=str.encode)
    assert [names[place] for place in places] == texts


def test_sort_table() -> None:
    table = pa.table({"name": ["b", "a", "b", "a"], "score": [0.1, 0.2, 0.3, 0.4]})
    assert sort_table(table, ["name", "score"])["score"].to_pylist() == [0.2, 0.4, 0.1, 0.3]
    assert sort_table(table, ["name", "score"], descending=["score"])["score"].to_pylist() == [
        0.4,
        0.2,
        0.3,
        0.1,
    ]


def test_ranks_count_within_a_group() -> None:
    assert ranks(np.array([3, 3, 5, 7, 7, 7])).tolist() == [0, 1, 0, 0, 1, 2]
    assert ranks(np.array([], int)).tolist() == []
