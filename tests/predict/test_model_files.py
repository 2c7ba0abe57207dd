"""A model is found whole, or refused with what is wrong with it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.base.checksums import read_sealed_json, write_sealed_json
from pipeline.base.errors import DamagedError, InputError
from pipeline.base.files import digest_tree
from pipeline.checkpoint.weights import save_checkpoint
from pipeline.predict.model_files import AGAIN, EXPECTED, find_model, needs_baseline, pack_model
from tests.checkpoint import sidecars
from tests.predict.conftest import Trained

Train = Callable[[str], Trained]


def rewrite(path: Path, **changes) -> None:
    value = read_sealed_json(path)
    path.unlink()
    write_sealed_json(path, {**value, **changes})


def test_a_packed_model_is_the_projects(trained: Train, elsewhere: Path) -> None:
    for name in ("bank", "all", "aia"):
        project = find_model(trained(name).folder)
        digest = pack_model(elsewhere / name, project)
        packed = find_model(elsewhere / name)
        assert packed.digest == project.digest == digest
        assert packed.checkpoint == project.checkpoint
        assert (packed.settings, list(packed.labels)) == (project.settings, list(project.labels))
        assert packed.thresholds == project.thresholds
        assert (packed.baseline is None) == (name != "bank")
        assert (packed.project, project.project) == (None, trained(name).folder)
        files = sorted(path.name for path in (elsewhere / name).iterdir())
        assert files[:2] == (["baseline.json", "baseline.safetensors"] if name == "bank" else files[:2])
        pack_model(elsewhere / "again", packed)
        assert digest_tree(elsewhere / "again") == digest_tree(elsewhere / name)


def test_thresholds_are_those_of_validation(trained: Train) -> None:
    thresholds = find_model(trained("bank").folder).thresholds
    assert list(thresholds) == list(range(1, 21))
    assert len(set(thresholds.values())) > 5
    assert all(0 < each <= 1 for each in thresholds.values())


def test_the_folder_of_weights_is_the_projects(trained: Train) -> None:
    root = trained("all").folder
    assert find_model(root / "models") == find_model(root)


def test_what_is_not_whole_or_damaged_is_refused(trained: Train, elsewhere: Path) -> None:
    model = elsewhere / "m.abm"
    pack_model(model, find_model(trained("bank").folder))
    shutil.copytree(model, elsewhere / "kept")

    def refused(kind: type[InputError] = InputError) -> str:
        with pytest.raises(kind) as error:
            find_model(Path("m.abm"))
        shutil.rmtree(model)
        shutil.copytree(elsewhere / "kept", model)
        return str(error.value)

    (model / "baseline.safetensors").unlink()
    assert refused() == f"m.abm: not a whole model: baseline.safetensors is missing; {AGAIN}"
    (model / "model.json").unlink()
    assert refused() == f"m.abm: not a whole model: model.json is missing (it is written last); {AGAIN}"
    weights = model / "head.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert refused(DamagedError).startswith("m.abm/head.safetensors: is damaged: sha256 is ")
    record = model / "model.json"
    text = record.read_text().replace('"version": 1', '"version": 2')
    record.unlink()
    record.write_text(text)
    assert refused(DamagedError).startswith("m.abm/model.json: is damaged or was edited: CRC32C is ")
    rewrite(record, version=2)
    assert refused() == "m.abm/model.json: is a packed model of version 2, this is read: 1"
    rewrite(record, format="other")
    assert refused() == "m.abm/model.json: format is 'other', expected 'actionbank model'"
    settings = json.loads(record.read_text())["settings"]
    rewrite(record, settings={**settings, "box_threshold": 0.5})
    assert refused(DamagedError).startswith("m.abm: is damaged: digest is ")
    rewrite(record, settings={**settings, "fps": "fast"})
    assert refused().startswith("m.abm/model.json: settings: fps: Input should be a valid number")


def test_what_is_no_model_is_refused(elsewhere: Path) -> None:
    with pytest.raises(InputError) as error:
        find_model(Path("nowhere"))
    assert str(error.value) == f"nowhere: no model there; --model takes {EXPECTED}"
    save_checkpoint(Path("backbone.safetensors"), {}, sidecars.checkpoint(sidecars.BACKBONE))
    with pytest.raises(InputError) as error:
        find_model(Path("backbone.safetensors"))
    assert str(error.value) == f"backbone.safetensors: is a backbone, expected a whole detector, or {EXPECTED}"


def test_a_head_needs_the_model_that_makes_its_rows(trained: Train, elsewhere: Path) -> None:
    project = find_model(trained("bank").folder)
    shutil.copytree(trained("bank").folder / "models", "models")
    Path("data").symlink_to(trained("bank").folder / "data")
    shutil.copy(trained("bank").folder / "params.yaml", "params.yaml")
    producer = project.checkpoint.record["producer"]
    Path("models/baseline.safetensors").unlink()
    with pytest.raises(InputError) as error:
        find_model(Path())
    assert str(error.value) == (
        f"models/head.safetensors: head lfb_nl reads rows of checkpoint {producer}, and models/baseline.safetensors is "
        "not there; a bank made elsewhere is of no use for a new film"
    )
    Path("models/baseline.safetensors").touch()
    rewrite(Path("models/baseline.json"), sha256="0" * 64)
    with pytest.raises(InputError) as error:
        find_model(Path())
    assert str(error.value) == (
        f"models/head.safetensors: was trained with rows of checkpoint {producer}, models/baseline.safetensors is "
        f"{'0' * 64}"
    )
    rewrite(Path("models/baseline.json"), channels=48)
    with pytest.raises(InputError) as error:
        find_model(Path())
    assert str(error.value) == (
        f"models/head.safetensors: head lfb_nl reads rows of {project.checkpoint.spec.roi_channels} channels, "  # type: ignore[union-attr]
        "models/baseline.safetensors makes rows of 48"
    )


def test_a_converted_detector_is_a_model(trained: Train, elsewhere: Path) -> None:
    models = trained("bank").folder / "models"
    for name in ("baseline.safetensors", "baseline.json"):
        shutil.copy(models / name, name.replace("baseline", "mine"))
    found = find_model(Path("mine.safetensors"))
    assert found.checkpoint.scored().head.is_baseline
    assert (found.settings.fps, found.settings.short_side) == (30.0, 64)
    assert (found.labels[0].name, len(found.labels), set(found.thresholds.values())) == ("class 1", 20, {0.5})
    assert pack_model(elsewhere / "m.abm", found) == find_model(elsewhere / "m.abm").digest == found.digest
    assert find_model(elsewhere / "m.abm").checkpoint.scored().head.is_baseline
    Path("names.txt").write_text("1: stand\n20: fly\n")
    named = find_model(Path("mine.safetensors"), Path("names.txt")).labels
    assert [named[0].name, named[1].name, named[19].name] == ["stand", "class 2", "fly"]
    with pytest.raises(InputError) as error:
        find_model(models.parent, Path("names.txt"))
    assert str(error.value) == (
        f"{models.parent}: has classes of its own, and labels are given; a converted checkpoint takes them"
    )


def test_which_heads_read_rows_of_another_model() -> None:
    def needs(value: dict) -> bool:
        return needs_baseline(sidecars.checkpoint(value))

    asynchronous = {**sidecars.ALL, "head": {**sidecars.ALL["head"], "memory": "asynchronous", "standardise": "none"}}
    alone = {**sidecars.ALL, "head": sidecars.LINEAR["head"]}
    values = (sidecars.HEAD, sidecars.LINEAR, sidecars.ALL, asynchronous, alone, sidecars.HANDED_ON)
    assert [needs(value) for value in values] == [True, True, True, False, False, False]


def test_weights_that_are_not_their_sidecars_are_not_packed(trained: Train, elsewhere: Path) -> None:
    files = find_model(trained("all").folder)
    Path("head.safetensors").write_bytes(b"other")
    shutil.copy(files.head.with_suffix(".json"), "head.json")
    with pytest.raises(DamagedError) as error:
        pack_model(elsewhere / "m.abm", replace(files, head=Path("head.safetensors")))
    assert str(error.value) == "head.safetensors: is not the file that its sidecar describes, so it is not packed"
    assert not (elsewhere / "m.abm").exists()
