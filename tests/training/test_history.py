from pathlib import Path

from pipeline.base.files import read_json
from pipeline.training.history import OF_EPOCH, Metrics
from pipeline.training.loop import Fitted
from pipeline.training.outs import write_training


def test_keys_beyond_those_of_every_epoch_are_of_its_validation(tmp_path: Path) -> None:
    row: Metrics = {**dict.fromkeys(OF_EPOCH, 1), "map": 0.5, "new": 0.25}
    write_training(tmp_path, Fitted([row], 1), select="last", more={})
    assert (tmp_path / "epochs.tsv").read_text().splitlines()[0].split("\t") == list(OF_EPOCH)
    assert (tmp_path / "validation.tsv").read_text().splitlines()[0].split("\t") == ["epoch", "map", "new"]
    assert read_json(tmp_path / "metrics.json")["validation"] == {"map": 0.5, "new": 0.25}
