"""A published detector, converted: put in the baseline's place, it is handed on and evaluated without any training."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from pipeline.base.command import new_app
from pipeline.base.errors import InputError
from pipeline.base.files import read_json
from pipeline.checkpoint.build_baseline import build_baseline
from pipeline.checkpoint.sidecars import Checkpoint
from pipeline.checkpoint.specs import DetectorSpec
from pipeline.checkpoint.weights import BASELINE, HEAD, load_checkpoint
from pipeline.commands.convert import convert, export
from pipeline.interop.export import export_mmaction2
from pipeline.models.settings import BaselineHead, RoiSettings
from stages import evaluate, train_head
from tests.interop.small_models import CLIP_INPUT
from tests.stages.zoo import Zoo, new_zoo

CLASSES = 20
REPOSITORY = Path(__file__).resolve().parents[2]
APP = new_app()
APP.command()(convert)
APP.command()(export)


@pytest.fixture
def project(zoo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Zoo:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    (tmp_path / "conf").symlink_to(REPOSITORY / "conf")
    return new_zoo(zoo_data, "head=baseline", "scope=all", "backbone=slowonly_tiny", "backbone.width=8")


def published(path: Path, *, classes: int) -> None:
    """A detector in MMAction2's layout, with `classes` beside the background column."""
    spec = DetectorSpec(
        backbone="slowonly_tiny", width=8, input=CLIP_INPUT, roi=RoiSettings(temporal="max"),
        head=BaselineHead(name="linear"), columns=classes, classes=classes, dropout=0.5,
    )  # fmt: skip
    torch.manual_seed(0)
    torch.save(export_mmaction2(build_baseline(spec).state_dict(), Checkpoint(spec=spec))[0], path)


def run(*words: str) -> None:
    result = CliRunner().invoke(APP, list(words))
    assert result.exit_code == 0, result.output


def test_a_converted_detector_is_handed_on_and_evaluated(project: Zoo, capsys: pytest.CaptureFixture[str]) -> None:
    published(Path("u.pth"), classes=CLASSES)
    recipe = ["--set", "backbone=slowonly_tiny", "--set", "roi.temporal=max"]
    run("convert", "u.pth", "--to", str(BASELINE), *recipe)
    train_head.train_head(workers=1, device="cpu")
    assert capsys.readouterr().out.splitlines()[-1] == f"{HEAD}: the baseline, handed on"
    assert read_json(Path("results/head/metrics.json")) == {
        "head": "baseline", "scope": "all", "mixed_banks": {}, "selected": None, "loss": None, "validation": {},
    }  # fmt: skip
    assert Path("results/head/epochs.tsv").read_text() == "epoch\tlr\tloss\n"
    assert project.evaluate()["head"] == "baseline"
    # What was handed on is still the detector that it was.
    run("convert", str(HEAD), "--to", "again.safetensors")
    found, known = (load_checkpoint(path)[1].to_json() for path in (Path("again.safetensors"), BASELINE))
    assert {**found, "source": None} == {**known, "source": None}
    assert found["roi"]["temporal"] == "max"
    run("export", str(HEAD), "--to", "back.pth")
    back, original = (torch.load(path, weights_only=True)["state_dict"] for path in ("back.pth", "u.pth"))
    assert all(torch.equal(back[key], value) for key, value in original.items())


def test_a_detector_of_other_classes_is_not_evaluated(project: Zoo) -> None:
    published(Path("u.pth"), classes=CLASSES)
    run("convert", "u.pth", "--to", str(BASELINE), "--background", "keep")
    train_head.train_head(workers=1, device="cpu")
    with pytest.raises(InputError, match=r"^models/head\.safetensors: scores 21 classes, dataset\.classes is 20$"):
        evaluate.evaluate(workers=1, device="cpu")


def test_a_protocol_that_the_metric_has_not_is_refused_before_anything_is_scored(project: Zoo) -> None:
    project.compose("head=baseline", "scope=all", "evaluation.metric=multisports", "evaluation.protocol=pyslowfast")
    with pytest.raises(
        InputError, match=r"^protocol of multisports is 'pyslowfast', expected official or mmaction2_1x$"
    ):
        evaluate.evaluate(workers=1, device="cpu")  # there is no checkpoint yet
