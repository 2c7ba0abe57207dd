import math
from pathlib import Path

from pipeline.base.files import read_json
from pipeline.training.history import Metrics
from pipeline.training.loop import Fitted
from pipeline.training.outs import write_training


def test_epochs_without_a_map_are_no_rows_of_the_validation(tmp_path: Path) -> None:
    history: list[Metrics] = [
        {"epoch": 1, "lr": 0.1, "loss": 2.0},
        {"epoch": 2, "lr": 0.1, "loss": 1.5, "map": 0.25, "a_detected": None},
        {"epoch": 3, "lr": 0.1, "loss": 1.0, "map": None, "a_detected": None},
        {"epoch": 4, "lr": 0.1, "loss": 0.5, "map": math.nan, "a_detected": None},
        {"epoch": 5, "lr": 0.1, "loss": 0.5, "map": 0.0, "a_detected": 0.5},
    ]
    write_training(tmp_path, Fitted(history, 2), select="best", more={"films": 3})
    assert (tmp_path / "epochs.tsv").read_text().splitlines() == [
        "epoch\tlr\tloss", "1\t0.1\t2.0", "2\t0.1\t1.5", "3\t0.1\t1.0", "4\t0.1\t0.5", "5\t0.1\t0.5",
    ]  # fmt: skip
    assert (tmp_path / "validation.tsv").read_text() == "epoch\tmap\ta_detected\n2\t0.25\t\n5\t0.0\t0.5\n"
    assert read_json(tmp_path / "metrics.json") == {
        "films": 3, "loss": 1.5, "selected": {"epoch": 2, "by": "map"}, "validation": {"a_detected": None, "map": 0.25},
    }  # fmt: skip


def test_weights_trained_elsewhere_leave_tables_without_rows(tmp_path: Path) -> None:
    write_training(tmp_path, Fitted([], 0), select="last", more={})
    assert (tmp_path / "epochs.tsv").read_text() == "epoch\tlr\tloss\n"
    assert (tmp_path / "validation.tsv").read_text() == "epoch\tmap\n"
    assert read_json(tmp_path / "metrics.json") == {"selected": None, "loss": None, "validation": {}}
