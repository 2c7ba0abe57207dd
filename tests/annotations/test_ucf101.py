import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.base.errors import InputError

BOXES = np.array([[250, 20, 60, 200], [251, 20, 60, 200]], np.uint8)  # x + width is 310 and 311


def tube(label: int = 0, boxes: Any = BOXES, first: int = 30) -> dict[str, Any]:
    return {"label": label, "boxes": boxes, "sf": first, "ef": first + len(boxes)}


def write(folder: Path, content: object, videos: str = "v_a,25,320,240\nv_b,50,320,240\n") -> Path:
    (folder / "pyannot.pkl").write_bytes(pickle.dumps(content))
    (folder / "videos.csv").write_text(f"video_id,fps,width,height\n{videos}")
    return folder


def test_boxes_are_cast_before_they_are_added(tmp_path: Path) -> None:
    content = {
        "Basketball/v_a": {"numf": 90, "label": 0, "annotations": [tube()]},
        "Biking/v_b": {"numf": 90, "label": 1, "annotations": [tube(1), tube(1, BOXES[:1].astype(np.uint16), 0)]},
    }
    found = import_source(write(tmp_path, content), SourceOptions(classes=2))
    assert found.problems == []
    assert [(label.id, label.name, label.group) for label in found.labels] == [
        (1, "Basketball", "action"), (2, "Biking", "action"),
    ]  # fmt: skip
    rows = [
        (row["video_id"], row["time_seconds"], row["x1"], row["x2"], row["y2"], row["action_id"], row["person_id"])
        for row in found.annotations.to_pylist()
    ]
    assert rows == [
        ("v_a", 1.2, 250 / 320, 310 / 320, 220 / 240, 1, 0),
        ("v_a", 1.24, 251 / 320, 311 / 320, 220 / 240, 1, 0),
        ("v_b", 0.0, 250 / 320, 310 / 320, 220 / 240, 2, 1),
        ("v_b", 0.6, 250 / 320, 310 / 320, 220 / 240, 2, 0),
        ("v_b", 0.62, 251 / 320, 311 / 320, 220 / 240, 2, 0),
    ]
    assert found.told[0] == "pyannot.pkl: UCF101-24 pickle (pyannot.pkl): 2 videos; its splits are told nowhere"
    assert found.assumed_fps == {}


def test_rates_are_assumed_and_sizes_are_not(tmp_path: Path) -> None:
    content = {"Basketball/v_a": {"annotations": [tube()]}}
    found = import_source(write(tmp_path, content, "v_a,,320,240\n"), SourceOptions(classes=2))
    assert found.assumed_fps == {"v_a": 25.0}
    with pytest.raises(InputError) as error:
        import_source(write(tmp_path, content, "v_a,25,,\n"), SourceOptions(classes=2))
    assert "holds pixels of video v_a, and nothing says its size" in str(error.value)


@pytest.mark.parametrize(
    "bad",
    [
        tube() | {"ef": 40},
        tube() | {"label": "Basketball"},
        tube() | {"boxes": BOXES[:, :3]},
        tube() | {"boxes": None},
        "tube",
        tube(boxes=BOXES[:0]),
        tube() | {"sf": -1, "ef": 1},
    ],
)
def test_a_bad_tube_costs_itself(tmp_path: Path, bad: object) -> None:
    content = {"Basketball/v_a": {"annotations": [tube(), bad]}, "Biking/v_b": {"annotations": [tube(1)]}}
    found = import_source(write(tmp_path, content), SourceOptions(classes=2))
    (problem,) = found.problems
    assert (problem.item, problem.expected) == (
        "Basketball/v_a, tube 1", "a dict with label, boxes (n, 4), sf and ef = sf + n",
    )  # fmt: skip
    assert found.annotations.num_rows == 4


def test_two_videos_of_one_name_are_refused(tmp_path: Path) -> None:
    content: dict[str, Any] = {"Basketball/v_a": {"annotations": []}, "Biking/v_a": {"annotations": []}}
    with pytest.raises(InputError, match="two clips are named v_a, expected one file of each name"):
        import_source(write(tmp_path, content), SourceOptions(classes=2))


def test_ids_without_folders_name_no_classes(tmp_path: Path) -> None:
    write(tmp_path, {"v_a": {"annotations": [tube()]}})
    with pytest.raises(InputError, match=r"found pyannot\.pkl and no names of classes: expected a label map"):
        import_source(tmp_path, SourceOptions(classes=2))
    (tmp_path / "labelmap.txt").write_text("0: Basketball\n1: Biking\n")
    assert import_source(tmp_path, SourceOptions(classes=2)).annotations["action_id"].to_pylist() == [1, 1]
