"""The whole of a training: what it leaves, that it resumes with the same bytes, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.base.files import digest_tree, read_json
from pipeline.base.hardware import Hardware
from pipeline.checkpoint.weights import RECOGNIZER, load_checkpoint
from pipeline.recognition import recognizer_training as module
from pipeline.training import loop, state
from tests.recognition.clips import make_data, settings_of, spec_of


class Killed(Exception):
    """Stands for kill -9 after an epoch is saved."""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def train(data: Path, workers: int = 2, **changes: Any) -> None:
    hardware = Hardware(torch.device("cpu"), workers, 8)
    module.train_recognizer(data, spec_of(), settings_of(**changes), log="none", hardware=hardware)


def test_a_killed_training_goes_on_and_ends_with_the_bytes_of_a_whole_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_data(Path("data/clips"), unlabelled=1)
    train(data, workers=1)
    whole = digest_tree(Path("models")), digest_tree(Path("results"))
    assert "8 clips" in capsys.readouterr().out, "the clip without a label is not trained on"

    save = state.save_state

    def save_and_die(*given: Any) -> None:
        save(*given)
        raise Killed

    monkeypatch.setattr(loop, "save_state", save_and_die)
    with pytest.raises(Killed):
        train(data)
    monkeypatch.setattr(loop, "save_state", save)
    RECOGNIZER.unlink()
    train(data)
    assert (digest_tree(Path("models")), digest_tree(Path("results"))) == whole
    assert not list(Path(".work/train_recognizer").glob("*"))

    _, checkpoint = load_checkpoint(RECOGNIZER)
    assert checkpoint.recognizer() == spec_of()
    metrics = read_json(Path("results/recognizer/metrics.json"))
    assert metrics["selected"]["by"] == "top1"
    assert metrics["validation"].keys() == {"top1", "top5", "mean_class"}
    table = Path("results/recognizer/validation.tsv").read_text().splitlines()
    assert table[0] == "epoch\ttop1\tmean_class\ttop5"
    assert len(table) == 3


def test_partial_norms_leave_all_but_the_first_as_they_started() -> None:
    data = make_data(Path("data/clips"))
    train(data, norm="partial", schedule={"epochs": 1})
    tensors, _ = load_checkpoint(RECOGNIZER)
    means = {name: value for name, value in tensors.items() if name.endswith("running_mean")}
    moved = [name for name, value in means.items() if value.any()]
    assert len(moved) == 1
    assert len(means) > 4


def test_labels_that_do_not_fit_are_refused_before_anything_is_trained() -> None:
    data = make_data(Path("data/clips"), train=3, val=1, unlabelled=4)
    with pytest.raises(InputError) as error:
        train(data)
    assert str(error.value) == (
        "recognition.train.validation.interval is 1, and no clip of val has a label; expected 0, or a split val with "
        "labels"
    )
    with pytest.raises(InputError) as error:
        train(data, validation={"interval": 0}, checkpoint={"select": "last"})
    assert str(error.value) == "train recognizer: no clip with a label to train on"
    (data / "labels/labels.json").write_text('{"classes": [{"id": 0, "name": "a"}], "flips": {}, "one_sided": []}')
    with pytest.raises(InputError) as error:
        train(data)
    assert str(error.value) == "1 classes are listed in labels.json, and recognition.dataset.classes is 3"
    assert not RECOGNIZER.exists()
