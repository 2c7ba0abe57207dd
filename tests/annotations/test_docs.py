"""The examples of docs/data-layout.md are what the importers read."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from pipeline.annotations.ava import import_ava
from pipeline.boxes.importing import import_boxes
from pipeline.project.compose import compose_params
from pipeline.tables.keyframes import group_keyframes
from pipeline.tables.select_boxes import BoxRule

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PAGE = (REPOSITORY / "docs" / "data-layout.md").read_text()


def block(opening: str) -> str:
    """The text of the fenced block that begins with ```opening."""
    found = re.findall(rf"^( *)```{re.escape(opening)}\n(.*?)^ *```$", PAGE, re.DOTALL | re.MULTILINE)
    assert len(found) == 1, opening
    indent, text = found[0]
    return "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True))


def test_the_examples_are_read_without_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, proposals, objects = tmp_path / "annotations", tmp_path / "proposals", tmp_path / "objects"
    objects.mkdir()
    (objects / "objects.csv").write_text(block("csv objects/objects.csv"))
    source.mkdir()
    proposals.mkdir()
    (source / "labelmap.pbtxt").write_text(block("pbtxt labelmap.pbtxt"))
    for name in ("train.csv", "val.csv", "excluded_val.csv", "videos.csv"):
        (source / name).write_text(block(f"csv {name}"))
    (proposals / "val.csv").write_text(block("csv proposals/val.csv"))
    monkeypatch.chdir(proposals)
    exec(compile(block("python"), "data-layout.md", "exec"), {})

    found = import_ava(source, classes=80)
    assert found.problems == []
    assert {video["video_id"]: video["split"] for video in found.timelines.to_pylist()} == {
        "first_film": "train",
        "second_film": "train",
        "third_film": "val",
        "unlabelled_film": "test",
    }
    assert found.summary["splits"]["train"]["labels_of_classes_not_in_the_label_map"] == 1
    assert [label.group for label in found.labels] == ["person_movement", "posture", "person_interaction"]
    boxes = import_boxes(proposals, found.timelines, min_score=0.05, objects=objects)
    assert boxes.summary["objects"] == {"book": 1, "chair": 1, "cup": 1}
    assert boxes.problems == []
    assert boxes.summary["all_files"]["keyframes_without_a_box"] == 2
    train = group_keyframes(
        found.annotations, found.keyframes, boxes.boxes, split="train", classes=80, rule=BoxRule(0.9)
    )
    assert [(each.keyframe.video_id, len(each.labels), len(each.scores)) for each in train] == [
        ("first_film", 2, 2),
        ("second_film", 1, 0),
    ]


def test_the_configuration_of_ones_own_data_composes(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "conf", tmp_path / "conf")
    (tmp_path / "conf/dataset/mine.yaml").write_text(block("yaml"))
    dataset = compose_params(["dataset=mine"], tmp_path / "conf")["dataset"]
    assert dataset["name"] == "mine"
    assert dataset["max_bad_fraction"] == 0.05
    assert yaml.safe_load(block("yaml"))["dataset"].items() <= dataset.items()
