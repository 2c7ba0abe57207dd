"""What a head is trained from; the stage's tests run the training itself."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.bank.reader import open_bank
from pipeline.base.errors import InputError
from pipeline.checkpoint.build_baseline import build_baseline
from pipeline.checkpoint.sidecars import Checkpoint
from pipeline.checkpoint.specs import BackboneSpec, DetectorSpec, HeadSpec
from pipeline.checkpoint.weights import save_checkpoint
from pipeline.features.open_rows import RowSource
from pipeline.models.detector import Detector
from pipeline.models.settings import BaselineHead, RoiSettings
from pipeline.training import head_training as module
from pipeline.training.head_training import Start, train_head
from pipeline.video.clip_input import ClipInput
from tests.bank.banks import PROVENANCE, make_rows, write_small_bank
from tests.checkpoint.sidecars import HEAD, LINEAR, checkpoint

SPEC = DetectorSpec(
    backbone="slowonly_tiny", width=8, columns=3, classes=3, dropout=0.0, roi=RoiSettings(),
    input=ClipInput(frames=2, interval=2, short_side=32, mean=(0, 0, 0), std=(1, 1, 1)),
    head=BaselineHead(name="linear"),
)  # fmt: skip
NOTHING: Any = None


def seeded(seed: int) -> Detector:
    torch.manual_seed(seed)
    return build_baseline(SPEC)


def test_the_backbone_is_taken_out_of_the_baseline(tmp_path: Path) -> None:
    trained, path = seeded(1), tmp_path / "baseline.safetensors"
    sha256 = save_checkpoint(path, trained.state_dict(), Checkpoint(spec=SPEC))
    other = seeded(2)
    head = other.head.classifier.weight.clone()  # type: ignore[union-attr, operator]
    assert module._load_start(other, Start(str(path), True, sha256)) == {
        "file": "baseline.safetensors", "sha256": sha256,
    }  # fmt: skip
    for name, value in trained.backbone.state_dict().items():
        assert torch.equal(other.backbone.state_dict()[name], value)
    assert torch.equal(other.head.classifier.weight, head)  # type: ignore[union-attr, arg-type]


def test_weights_of_a_backbone_alone_and_none(tmp_path: Path) -> None:
    trained, path = seeded(1), tmp_path / "kinetics.safetensors"
    sha256 = save_checkpoint(path, trained.backbone.state_dict(), Checkpoint(spec=BackboneSpec()))
    other = seeded(2)
    record = module._load_start(other, Start(str(path), False, None))
    assert record == {"file": "kinetics.safetensors", "sha256": sha256}
    before = {name: value.clone() for name, value in other.backbone.state_dict().items()}
    assert module._load_start(other, Start("none", False, None)) is None
    assert all(torch.equal(value, before[name]) for name, value in other.backbone.state_dict().items())
    with pytest.raises(InputError, match="the weights do not fit the model: "):
        module._load_start(other, Start(str(path), True, None))


def test_a_head_that_does_not_fit_is_refused_before_anything_is_read() -> None:
    spec = checkpoint(HEAD).spec
    assert isinstance(spec, HeadSpec)
    wrong = replace(spec, head=replace(spec.head, options={"layer": 2}))
    start = Start("none", False, None)
    with pytest.raises(
        InputError, match=r"^head lfb_nl: unknown option layer, expected layers, latent, dropout, init, window_dropout$"
    ):
        train_head(wrong, NOTHING, NOTHING, start=start, options=NOTHING, log="none")


def test_the_record_names_what_made_the_rows(tmp_path: Path) -> None:
    banks = tuple(
        open_bank(write_small_bank(tmp_path / f"{split}.zarr", {split: make_rows({0.0: 1})}, split=split))
        for split in ("train", "val")
    )
    spec = checkpoint(HEAD).spec
    assert isinstance(spec, HeadSpec)
    inputs = module._Inputs(spec, banks, {"x": [None, "y"]}, None, None, NOTHING, NOTHING, "digest")
    start = Start("none", True, "b" * 64)
    assert module._record(inputs, start) == {
        "producer": PROVENANCE["checkpoint_sha256"], "baseline": "b" * 64, "mixed_banks": {"x": [None, "y"]},
        "banks": {"train": banks[0].digest, "val": banks[1].digest}, "annotations": "digest",
    }  # fmt: skip
    without = module._record(replace(inputs, banks=()), start)
    assert (without["producer"], without["banks"]) == (None, {})


@pytest.mark.parametrize(("value", "expected"), [(HEAD, True), (LINEAR, False)])
def test_windows_are_read_from_banks_though_other_rows_come_from_parts(
    monkeypatch: pytest.MonkeyPatch, value: dict[str, Any], expected: bool
) -> None:
    class Opened(Exception):
        pass

    def open_pair(source: RowSource) -> None:
        raise Opened(source.reads_bank)

    monkeypatch.setattr(module, "open_pair", open_pair)
    spec = checkpoint(value).spec
    assert isinstance(spec, HeadSpec)
    rows = RowSource(NOTHING, NOTHING, {}, reads_bank=False, producer="", allow_mixed=False, hardware=NOTHING)
    with pytest.raises(Opened) as opened:
        module._read(spec, NOTHING, rows, NOTHING)
    assert opened.value.args == (expected,)
