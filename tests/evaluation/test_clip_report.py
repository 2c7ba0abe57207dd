"""Tables of what was found of clips."""

import csv
from pathlib import Path

import numpy as np
import pytest

from pipeline.base.errors import InputError
from pipeline.evaluation.clip_report import read_scores, scores_table, write_clip_report
from pipeline.tables.schemas import CLIP_SCORES, write_table
from tests.recognition.clips import NAMES


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_tables_count_the_clips_of_each_class_and_what_they_were_taken_for(tmp_path: Path) -> None:
    scores = np.eye(3, dtype=np.float32)[[0, 1, 1, 0]] * 0.5
    metrics = write_clip_report(
        tmp_path, np.array([0, 0, 0, 1]), {"efficient": scores}, names=NAMES, rule="ours", extra={}
    )
    assert metrics["efficient"] == {"top1": 0.25, "top5": 1.0, "mean_class": pytest.approx(1 / 6)}
    per_class = rows(tmp_path / "per_class.csv")
    assert [each["clips"] for each in per_class] == ["3", "1", "0"]
    assert [each["top1_efficient"] for each in per_class] == [str(1 / 3), "0.0", ""]
    assert rows(tmp_path / "confusion.csv")[1] == {"actual": "moving left", "predicted": "moving right"}
    pairs = [(each["class"], each["taken_for"], each["clips"]) for each in rows(tmp_path / "confused_pairs.csv")]
    assert pairs == [("moving left", "moving right", "2"), ("moving right", "moving left", "1")]


def test_a_table_of_scores_that_lacks_a_row_is_refused(tmp_path: Path) -> None:
    table = scores_table(["a", "b"], np.array([0, 1]), np.zeros((2, 3), np.float32))
    write_table(table.slice(0, 5), tmp_path / "x.parquet", CLIP_SCORES)
    with pytest.raises(
        InputError, match="does not hold each class of each clip in turn; run evaluate_recognizer again"
    ):
        read_scores(tmp_path / "x.parquet")
