from pathlib import Path

import pytest

from pipeline.annotations.assemble import AvaImport
from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.errors import InputError
from pipeline.evaluation.validate import validation_metrics
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import DETECTIONS
from tests.annotations.sources import write_source

ROWS = (
    "a,902,0.1,0.2,0.3,0.4,1,0\na,902,0.1,0.2,0.3,0.4,2,0\na,902,0.1,0.2,0.3,0.4,12,0\n"
    "a,903,0.1,0.2,0.3,0.4,12,0\na,904\na,905,0.1,0.2,0.3,0.4,77,0\n"
)


def read(folder: Path, choice, classes: int, **options) -> AvaImport:
    return import_source(write_source(folder, val=ROWS), SourceOptions(classes=classes, class_map=choice, **options))


def rows(found: AvaImport) -> list[tuple]:
    return [(row["timestamp"], row["action_id"]) for row in found.annotations.to_pylist()]


def statuses(found: AvaImport) -> list[str]:
    return [str(each) for each in found.keyframes["status"].to_pylist()]


def test_a_subset_is_numbered_from_one_in_the_order_written(tmp_path: Path) -> None:
    found = read(tmp_path, ["action 12", 1], 2)
    assert rows(found) == [(902, 1), (902, 2), (903, 1)]
    assert [(label.id, label.name) for label in found.labels] == [(1, "action 12"), (2, "action 1")]
    assert statuses(found) == ["annotated", "annotated", "empty", "empty"]
    assert found.problems == []
    assert found.summary["classes_left_out"] == {"2": 1, "77": 1}
    assert found.summary["class_map"] == {"action 12": [12], "action 1": [1]}
    assert found.summary["splits"]["val"]["labels_per_class"] == {"1": 2, "2": 1}
    assert found.summary["splits"]["val"]["keyframes"] == {"annotated": 2, "empty": 2, "excluded": 0}
    assert found.told[-1] == "classes: 2 by dataset.class_map; left out: 2 rows of 2 others"


def test_a_huge_id_costs_its_row_and_no_memory(tmp_path: Path) -> None:
    text = ROWS + "a,906,0.1,0.2,0.3,0.4,2000000000,0\n"
    found = import_source(write_source(tmp_path, val=text), SourceOptions(classes=1, class_map=[12]))
    assert rows(found) == [(902, 1), (903, 1)]
    assert found.summary["classes_left_out"]["2000000000"] == 1


def test_merged_and_renamed_classes_have_one_row_for_a_box(tmp_path: Path) -> None:
    found = read(tmp_path, {"moving": ["Action_1", 2], "still": 12}, 2)
    assert rows(found) == [(902, 1), (902, 2), (903, 2)]
    assert [label.name for label in found.labels] == ["moving", "still"]
    assert found.summary["class_map"] == {"moving": [1, 2], "still": [12]}


def test_a_class_has_the_ap_that_it_has_among_all(tmp_path: Path) -> None:
    everything = import_source(write_source(tmp_path, val=ROWS), SourceOptions(classes=80))
    chosen = read(tmp_path, [12], 1)
    aps = []
    for found, class_id in ((everything, 12), (chosen, 1)):
        detections = DETECTIONS.empty_table().to_pylist()
        for stamp, score in ((902.0, 0.9), (903.0, 0.2), (904.0, 0.5), (905.0, 0.6)):
            box = {"x1": 0.1, "y1": 0.2, "x2": 0.3, "y2": 0.4}
            detections.append(
                {
                    "video_id": "a",
                    "timestamp": stamp,
                    "time_seconds": stamp - 900,
                    **box,
                    "action_id": class_id,
                    "score": score,
                }
            )
        table = {"detected": DETECTIONS.empty_table().from_pylist(detections, DETECTIONS)}
        labels = [Label(class_id, "twelve", "g")]
        metrics = validation_metrics(
            table, annotations=found.annotations, keyframes=found.keyframes, labels=labels, headline="detected"
        )
        aps.append(metrics["map"])
    assert aps[0] == aps[1]
    assert 0.5 < aps[0] < 1


@pytest.mark.parametrize(
    ("choice", "classes", "message"),
    [
        ([1, 2], 3, "dataset.class_map: makes 2 classes, dataset.classes is 3: expected the same number"),
        ([1, 3], 2, "dataset.class_map: id 3 is not in the label map, expected one of its 3 ids from 1 to 12"),
        (
            ["action 1", "action13"],
            2,
            "dataset.class_map: found 'action13', expected a class of the label map: action 1, action 2, action 12 (is "
            "it 'action 1'?)",
        ),
        ([1, "action 1"], 2, "dataset.class_map: class 'action 1' is taken twice"),
        ({"a": [1], "b": []}, 2, "dataset.class_map: 'b' takes in nothing, expected names or ids of classes"),
        ({"action 2": 1, "x": 2}, 2, None),
    ],
)
def test_what_is_no_choice_is_refused(tmp_path: Path, choice, classes: int, message: str | None) -> None:
    if message is None:
        assert [label.name for label in read(tmp_path, choice, classes).labels] == ["action 2", "x"]
        return
    with pytest.raises(InputError) as error:
        read(tmp_path, choice, classes)
    assert str(error.value) == message


def test_ids_are_those_that_the_source_writes(tmp_path: Path) -> None:
    write_source(tmp_path, val="a,902,0.1,0.2,0.3,0.4,0\na,902,0.1,0.2,0.3,0.4,2\n")
    (tmp_path / "labelmap.pbtxt").unlink()
    (tmp_path / "labelmap.csv").write_text("id,name\n0,zero\n1,one\n2,two\n")
    found = import_source(tmp_path, SourceOptions(classes=3))
    assert rows(found) == [(902, 1), (902, 3)]
    assert [(label.id, label.name) for label in found.labels] == [(1, "zero"), (2, "one"), (3, "two")]
    found = import_source(tmp_path, SourceOptions(classes=1, class_map=[2]))
    assert rows(found) == [(902, 1)]
    assert found.labels[0].name == "two"
    assert found.summary["classes_left_out"] == {"0": 1}
