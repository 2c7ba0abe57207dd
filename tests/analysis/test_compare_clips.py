"""Changes of accuracies between two evaluations of the same clips."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.analysis.compare_clips import ClipResult, compare_clips
from pipeline.base.errors import InputError
from pipeline.base.files import read_json, write_json
from pipeline.cli import build_app
from pipeline.evaluation.clip_report import scores_table
from pipeline.tables.clip_labels import label_classes, write_clip_labels
from pipeline.tables.schemas import CLIP_SCORES, write_table

NAMES = ["a", "b", "c"]
LABELS = np.array([0, 0, 0, 1])


def result(name: str, *best: int) -> ClipResult:
    """One whose highest scores are those of these classes."""
    return ClipResult(name, [f"v{number}" for number in range(4)], LABELS, np.eye(3, dtype=np.float32)[list(best)])


def test_changes_are_those_of_the_accuracies_and_resamples_are_paired() -> None:
    found = compare_clips(result("A", 0, 1, 1, 0), result("B", 0, 0, 1, 1), NAMES, resamples=200, seed=1)
    assert found.clips == 4
    top1, top5, mean = found.overall
    assert (top1.a, top1.b, top1.change) == (0.25, 0.75, 0.5)
    assert (top5.a, top5.change, top5.low, top5.high) == (1.0, 0.0, 0.0, 0.0)
    assert mean.change == pytest.approx(5 / 6 - 1 / 6)
    assert top1.low is not None
    assert top1.high is not None
    assert 0 <= top1.low <= 0.5 <= top1.high <= 1
    assert [(each.name, each.examples, each.change) for each in found.classes] == [
        ("a", 3, pytest.approx(1 / 3)), ("b", 1, 1.0),
    ]  # fmt: skip
    same = compare_clips(result("A", 0, 1, 1, 0), result("B", 0, 1, 1, 0), NAMES, resamples=0, seed=1)
    assert [(each.change, each.low) for each in same.overall] == [(0.0, None)] * 3


def test_other_clips_are_refused() -> None:
    other = replace(result("B", 0, 0, 0, 0), labels=np.array([0, 0, 1, 1]))
    with pytest.raises(InputError) as error:
        compare_clips(result("A", 0, 0, 0, 0), other, NAMES, resamples=0, seed=0)
    assert str(error.value) == (
        "A and B scored other clips or labels (4 clips of 3 classes, 4 clips of 3 classes), expected two experiments "
        "on the same split"
    )


def test_the_command_compares_two_folders(tmp_path: Path) -> None:
    for name, best in (("one", (0, 1, 1, 0)), ("two", (0, 0, 1, 1))):
        results, given = tmp_path / name / "results/recognition", result(name, *best)
        results.mkdir(parents=True)
        (results / "predictions").mkdir()
        table = scores_table(given.video_ids, given.labels, given.scores)
        write_table(table, results / "predictions/accurate.parquet", CLIP_SCORES)
        write_json(results / "metrics.json", {"dataset": "d"})
        (tmp_path / name / "data/d/labels").mkdir(parents=True)
        write_clip_labels(tmp_path / name / "data/d/labels/labels.json", label_classes(NAMES))
    words = ["compare", str(tmp_path / "one"), str(tmp_path / "two"), "--track", "recognition"]
    done = CliRunner().invoke(build_app("compare"), [*words, "--json", str(tmp_path / "c.json"), "--resamples", "0"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].split()[:4] == ["clips", "A", "B", "change"]
    assert lines[1].split() == ["a", "3", "0.3333", "0.6667", "+0.3333"]
    assert lines[-1] == f"A {tmp_path / 'one'}, B {tmp_path / 'two'}; accurate views of 4 clips"
    assert read_json(tmp_path / "c.json")["overall"][0]["change"] == 0.5
