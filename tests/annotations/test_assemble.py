from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.annotations.ava import import_ava
from tests.annotations.sources import write_source
from tests.annotations.test_ava import GOOD, rows, statuses


def test_a_keyframe_whose_rows_are_all_bad_is_not_called_empty(tmp_path: Path) -> None:
    found = import_ava(write_source(tmp_path, train=GOOD + "v1,903,0.3,0.2,0.1,0.4,1,0\n"), classes=80)
    assert statuses(found) == [("v1", 902.0, "train", "annotated")]


def test_classes_that_the_label_map_does_not_list_are_kept(tmp_path: Path) -> None:
    found = import_ava(write_source(tmp_path, train="v1,902,0.1,0.2,0.3,0.4,80,0\n"), classes=80)
    assert rows(found)[0][7] == 80
    assert found.summary["splits"]["train"]["labels_of_classes_not_in_the_label_map"] == 1
    assert found.summary["splits"]["train"]["labels_per_class"] == {"1": 0, "2": 0, "12": 0, "80": 1}


LABELS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "-_"]),
        st.integers(900, 903),
        st.tuples(st.floats(0, 0.4), st.floats(0, 0.4), st.floats(0.5, 1), st.floats(0.5, 1)),
        st.integers(1, 80),
        st.none() | st.integers(0, 3),
    ),
    unique_by=lambda row: row[:4],
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(labels=LABELS, order=st.randoms())
def test_round_trip_in_any_order(scratch: Path, labels: list, order) -> None:
    lines = [
        ",".join([video, f"{stamp:04d}", *map(repr, box), str(action), *([] if person is None else [str(person)])])
        for video, stamp, box, action, person in labels
    ]
    folder = scratch / "round_trip"
    found = import_ava(write_source(folder, train="\n".join(lines)), classes=80)
    assert found.problems == []
    assert rows(found) == sorted(
        [(video, float(stamp), stamp - 900.0, *box, action, person) for video, stamp, box, action, person in labels],
        key=lambda row: (row[0], row[1], row[3:7], row[7]),
    )
    order.shuffle(lines)
    again = import_ava(write_source(folder, train="\n".join(lines)), classes=80)
    assert again.annotations.equals(found.annotations)
    assert again.keyframes.equals(found.keyframes)
    assert again.summary == found.summary
