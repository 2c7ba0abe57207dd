"""The model in Python."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.predict.load_model import load_model
from pipeline.predict.model_files import find_model, pack_model
from tests.predict.conftest import CHOICES, Trained

Train = Callable[[str], Trained]


@pytest.mark.parametrize("name", CHOICES)
def test_a_packed_model_predicts_what_the_project_does(name: str, trained: Train, elsewhere: Path) -> None:
    project = trained(name)
    pack_model(elsewhere / "m.abm", find_model(project.folder))
    shutil.copy(project.film, "film.mp4")
    own, packed = (load_model(each, device="cpu", workers=1) for each in (project.folder, "m.abm"))
    assert own.facts() == packed.facts()
    assert own.facts()["head"] == own.spec.head.name
    seconds = [
        model.predict("film.mp4", detector="motion", every=5) for model in (own.shown_from(0.3), packed.shown_from(0.3))
    ]
    assert len(seconds[0]) >= 3
    for one, other in zip(*seconds, strict=True):
        assert (one.video_id, one.time_seconds, len(one.persons)) == ("film", other.time_seconds, len(other.persons))
        for mine, theirs in zip(one.persons, other.persons, strict=True):
            assert mine.scores.tolist() == theirs.scores.tolist()
            assert mine.actions == theirs.actions
            assert all(each.score >= 0.3 for each in mine.actions)


def test_which_model_makes_the_rows(trained: Train) -> None:
    bank, alone, aia = (load_model(trained(name).folder, device="cpu") for name in CHOICES)
    assert bank.producer is not None
    assert bank.producer.checkpoint.sha256 == bank.files.checkpoint.record["producer"]
    assert alone.producer is None
    assert aia.producer is not None
    assert aia.producer.checkpoint.sha256 == aia.files.checkpoint.sha256
    assert (bank.bank_settings.objects, aia.bank_settings.objects) == (5, 0)
    assert bank.project == trained("bank").folder


def test_a_threshold_of_boxes_reaches_the_windows(trained: Train) -> None:
    own, lower = (load_model(trained("bank").folder, device="cpu", box_threshold=each) for each in (None, 0.25))
    assert own.window is not None
    assert lower.window is not None
    assert (own.window.score, own.settings.box_threshold) == (0.9, 0.9)
    assert (lower.window.score, lower.settings.rule.threshold, lower.bank_settings.box_threshold) == (0.25, 0.25, 0.25)
    assert load_model(trained("all").folder, device="cpu", box_threshold=0.25).window is None


def test_thresholds_are_the_classes_own_unless_one_is_given(trained: Train) -> None:
    model = load_model(trained("bank").folder, device="cpu")
    assert model.shown_from(None).thresholds == model.files.thresholds
    assert set(model.shown_from(0.25).thresholds.values()) == {0.25}


def test_a_converted_detector_predicts(trained: Train, elsewhere: Path) -> None:
    for name in ("baseline.safetensors", "baseline.json"):
        shutil.copy(trained("bank").folder / "models" / name, name)
    model = load_model("baseline.safetensors", device="cpu", box_threshold=0.5)
    seconds = model.shown_from(0).predict(trained("bank").film, detector="motion", every=10)
    assert [each.time_seconds for each in seconds] in ([0, 10], [10], [0])
    assert {len(person.actions) for second in seconds for person in second.persons} == {20}


def test_a_device_that_is_not_there_is_refused(trained: Train) -> None:
    with pytest.raises(InputError, match=r"^device 'abacus': expected cpu, cuda, cuda:N or auto$"):
        load_model(trained("all").folder, device="abacus")
