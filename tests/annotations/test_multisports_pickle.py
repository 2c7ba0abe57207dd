"""MultiSports' ground-truth pickle: the real sample, and what is refused."""

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.annotations.multisports_pickle import read_multisports
from pipeline.base.errors import InputError
from pipeline.evaluation.multisports.metric import evaluate_multisports
from pipeline.tables.schemas import ANNOTATIONS, DETECTIONS, KEYFRAMES, check_table

VIDEO = "aerobic_gymnastics/v_crsi07chcV8_c004"


def as_detections(annotations: pa.Table, score: float = 0.5) -> pa.Table:
    table = annotations.drop_columns(["person_id"])
    return table.append_column("score", pa.array([score] * len(table))).cast(DETECTIONS)


def test_the_real_sample(real: Path) -> None:
    found = read_multisports(real / "multisports_dataset" / "gt.pkl", "val", fps=25)
    assert found.sizes == {VIDEO: (1280, 720)}
    assert len(found.labels) == 66
    assert (found.labels[0].id, found.labels[0].name, found.labels[0].group) == (1, "aerobic push up", "aerobic")
    check_table(found.annotations, ANNOTATIONS, "annotations")
    check_table(found.keyframes, KEYFRAMES, "keyframes")
    rows = found.annotations.to_pylist()
    assert len(rows) == 2 * (21 + 26 + 23 + 42)
    # Class 10 of the file, its first tube, its first frame.
    assert rows[0] == {
        "video_id": VIDEO,
        "timestamp": 288.0,
        "time_seconds": 287 / 25,
        "x1": 562 / 1280,
        "y1": 361 / 720,
        "x2": 656 / 1280,
        "y2": 600 / 720,
        "action_id": 11,
        "person_id": 0,
    }
    assert found.keyframes["timestamp"].to_pylist() == [*range(288, 335), *range(618, 641), *range(660, 702)]
    assert set(found.keyframes["status"].to_pylist()) == {"annotated"}

    result = evaluate_multisports(
        found.annotations, found.keyframes, as_detections(found.annotations), found.labels, sizes=found.sizes
    )
    assert result["frame_map"] == 1
    classes = {class_id: each for class_id, each in result["per_class"].items() if each["boxes"]}
    assert [each["tubes"] for each in classes.values()] == [2, 2, 2, 2]
    # Class 10 moves so fast that its boxes overlap by less than one half from one frame to the next: tubes break.
    assert {class_id for class_id, each in classes.items() if each["video_ap"]["0.50:0.95"] == 1} == {11, 12, 15}
    assert classes[10]["detected_tubes"] == 3


def write(path: Path, **changes: object) -> Path:
    tube = np.array([[1, 10, 20, 30, 40], [2, 12, 20, 32, 40]], np.float32)
    content: dict[str, object] = {
        "labels": ["basketball pass", "basketball save"],
        "train_videos": [["b"]],
        "test_videos": [["a", "c"]],
        "nframes": {"a": 5, "b": 5, "c": 5},
        "resolution": {"a": (100, 200), "b": (100, 200), "c": (np.int64(50), np.int64(100))},
        "gttubes": {"a": {0: [tube, tube + 1], 1: [tube]}, "b": {1: [tube]}, "c": {}},
    }
    path.write_bytes(pickle.dumps(content | changes))
    return path


def test_splits_tubes_and_classes(tmp_path: Path) -> None:
    path = write(tmp_path / "gt.pkl")
    val = read_multisports(path, "val", fps=10)
    assert val.sizes == {"a": (200, 100), "c": (100, 50)}
    columns = ("video_id", "timestamp", "action_id", "person_id", "x1", "y2")
    rows = [tuple(row[name] for name in columns) for row in val.annotations.to_pylist()]
    assert rows == [
        ("a", 1.0, 1, 0, 0.05, 0.4),
        ("a", 1.0, 2, 0, 0.05, 0.4),
        ("a", 2.0, 1, 1, 0.055, 0.41),
        ("a", 2.0, 1, 0, 0.06, 0.4),
        ("a", 2.0, 2, 0, 0.06, 0.4),
        ("a", 3.0, 1, 1, 0.065, 0.41),
    ]
    assert val.keyframes["time_seconds"].to_pylist() == [0.0, 0.1, 0.2]
    train = read_multisports(path, "train", fps=10)
    assert set(train.keyframes["split"].to_pylist()) == {"train"}
    assert train.annotations["video_id"].to_pylist() == ["b", "b"]
    empty = read_multisports(write(path, test_videos=[["c"]]), "val", fps=10)
    assert len(empty.annotations) == len(empty.keyframes) == 0


TUBE = np.array([[1, 10, 20, 30, 40], [2, 12, 20, 32, 40]], np.float32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": "x"}, "found ['gttubes', 'labels', 'nframes', 'resolution', 'test_videos', 'train_videos'], "
                          "expected a dict with a list 'labels'"),
        ({"labels": ["a", 3]}, "labels: expected names of classes"),
        ({"test_videos": ["a"]},
         "test_videos: expected a list with one list of video ids for each way to split the videos"),
        ({"test_videos": [[3]]}, "test_videos: expected lists of video ids"),
        ({"test_videos": [["z"]]}, "resolution: found no entry of video z"),
        ({"gttubes": {}}, "gttubes: found no entry of video a"),
        ({"gttubes": {"a": []}}, "tubes of a: found list, expected a dict by class"),
        ({"resolution": {"a": (100, 0)}}, "resolution of a: found (100, 0), expected (height, width) in pixels"),
        ({"gttubes": {"a": {2: [TUBE]}}}, "tubes of a: found class 2, expected 0 to 1"),
        ({"gttubes": {"a": {0: [TUBE[:, :4]]}}},
         "tubes of a: class 0, tube 0: found (2, 4), expected an array of rows frame, x1, y1, x2, y2"),
        ({"gttubes": {"a": {0: [TUBE, "x"]}}},
         "tubes of a: class 0, tube 1: found str, expected an array of rows frame, x1, y1, x2, y2"),
        ({"gttubes": {"a": {0: [TUBE[[0, 0]]]}}},
         "tubes of a: class 0, tube 0: expected finite numbers and one row for each frame from first to last"),
        ({"gttubes": {"a": {0: [TUBE * np.nan]}}},
         "tubes of a: class 0, tube 0: expected finite numbers and one row for each frame from first to last"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict, message: str) -> None:
    path = write(tmp_path / "gt.pkl", **changes)
    with pytest.raises(InputError) as error:
        read_multisports(path, "val", fps=25)
    assert str(error.value) == f"{path}: {message}"


def test_other_splits_and_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^split is 'test', expected train or val$"):
        read_multisports(write(tmp_path / "gt.pkl"), "test", fps=25)
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(InputError, match=r"list\.pkl: found list, expected a dict with a list 'labels'$"):
        read_multisports(tmp_path / "list.pkl", "val", fps=25)


class Hostile:
    def __reduce__(self):
        return print, ("run",)


def test_a_hostile_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps({"labels": Hostile()}))
    with pytest.raises(InputError, match=r"bad\.pkl: refused: the pickle names"):
        read_multisports(tmp_path / "bad.pkl", "val", fps=25)
