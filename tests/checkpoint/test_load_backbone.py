"""Weights to start a backbone from: what is taken, and what is refused."""

import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from pipeline.base.command import new_app
from pipeline.base.errors import InputError
from pipeline.base.files import digest_file
from pipeline.checkpoint.load_backbone import load_backbone
from pipeline.checkpoint.sidecars import Checkpoint
from pipeline.checkpoint.specs import BackboneSpec
from pipeline.checkpoint.weights import save_checkpoint, save_tensors
from pipeline.commands.convert import convert
from pipeline.interop.export import export_mmaction2
from pipeline.models.build import build_backbone
from pipeline.models.detector import Detector
from tests.checkpoint.sidecars import BASELINE, HEAD, checkpoint
from tests.interop.small_models import WIDTH, checkpoint_of, small_detector

REPOSITORY = Path(__file__).resolve().parent.parent.parent
NAME = "slowonly_r50"
APP = new_app()
APP.command()(convert)


@pytest.fixture(scope="module")
def trained() -> Detector:
    return small_detector(NAME, "linear")


def refusal(path: Path, backbone: str = NAME) -> str:
    network = build_backbone(backbone, width=WIDTH)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: ") as caught:
        load_backbone(network, str(path))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    return str(caught.value).removeprefix(f"{path}: ")


def test_the_backbone_of_a_converted_classifier_is_taken(
    trained: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    detector, _ = export_mmaction2(trained.state_dict(), checkpoint_of(trained, NAME, "linear", False))
    tensors = {key: value for key, value in detector["state_dict"].items() if key.startswith("backbone.")}
    classifier = {"cls_head.fc_cls.weight": torch.zeros(400, 256), "cls_head.fc_cls.bias": torch.zeros(400)}
    torch.save({"state_dict": tensors | classifier, "meta": {}}, tmp_path / "kinetics.pth")
    target = tmp_path / "kinetics.safetensors"
    result = CliRunner().invoke(APP, [str(tmp_path / "kinetics.pth"), "--to", str(target)])
    assert result.exit_code == 0, result.output

    network = build_backbone(NAME, width=WIDTH)
    assert load_backbone(network, str(target)) == {"file": "kinetics.safetensors", "sha256": digest_file(target)}
    expected = trained.backbone.state_dict()
    assert network.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in network.state_dict().items())


def test_bare_weights_need_no_sidecar_and_none_loads_nothing(trained: Detector, tmp_path: Path) -> None:
    save_tensors(tmp_path / "bare.safetensors", trained.backbone.state_dict())
    network = build_backbone(NAME, width=WIDTH)
    assert load_backbone(network, "none") is None
    first = next(iter(network.state_dict()))
    assert not torch.equal(network.state_dict()[first], trained.backbone.state_dict()[first])
    assert load_backbone(network, str(tmp_path / "bare.safetensors")) is not None
    assert torch.equal(network.state_dict()[first], trained.backbone.state_dict()[first])


@pytest.mark.parametrize("kind", ["detector", "head"])
def test_a_whole_detector_is_refused(kind: str, trained: Detector, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_checkpoint(path, trained.state_dict(), checkpoint(BASELINE if kind == "detector" else HEAD))
    assert refusal(path) == f"is a {kind}, expected a backbone (`actionbank convert` makes one of a classifier)"


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent.safetensors") == "no such file"


def test_another_backbone_is_refused(trained: Detector, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_checkpoint(path, trained.backbone.state_dict(), Checkpoint(spec=BackboneSpec()))
    assert refusal(path, "slowonly_r50_nl").startswith("the weights do not fit the model: ")
