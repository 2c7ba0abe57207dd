from pathlib import Path

import pytest
import torch

from pipeline.base.errors import DamagedError, InputError
from pipeline.checkpoint.weights import load_checkpoint, load_into, load_tensors, read_checkpoint, save_checkpoint
from tests.checkpoint.sidecars import BASELINE, checkpoint

CHECKPOINT = checkpoint(BASELINE, own={"anything": [1, None]})
TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(2)}


def test_a_checkpoint_comes_back_with_its_sidecar(tmp_path: Path) -> None:
    digest = save_checkpoint(tmp_path / "m.safetensors", TENSORS, CHECKPOINT)
    tensors, found = load_checkpoint(tmp_path / "m.safetensors")
    assert found.to_json() == {**CHECKPOINT.to_json(), "sha256": digest}
    assert torch.equal(tensors["weight"], TENSORS["weight"])
    again = save_checkpoint(tmp_path / "n.safetensors", dict(reversed(TENSORS.items())), CHECKPOINT)
    assert again == digest


def test_weights_of_another_sidecar_are_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.safetensors", TENSORS, CHECKPOINT)
    save_checkpoint(tmp_path / "b.safetensors", {"bias": torch.ones(2)}, CHECKPOINT)
    (tmp_path / "a.safetensors").write_bytes((tmp_path / "b.safetensors").read_bytes())
    fault = r"a.safetensors: is damaged or of another run: sha256 is \w{12}, was written with \w{12}; run `actionbank"
    with pytest.raises(DamagedError, match=fault):
        load_checkpoint(tmp_path / "a.safetensors")


def test_files_that_are_no_checkpoint_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x.safetensors: no such file"):
        load_tensors(tmp_path / "x.safetensors")
    (tmp_path / "x.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(InputError, match=r"x.safetensors: not a whole safetensors file"):
        load_tensors(tmp_path / "x.safetensors")
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(InputError, match=r"x.json: no sidecar of a checkpoint"):
        read_checkpoint(tmp_path / "x.safetensors")


def test_weights_that_do_not_fit_are_refused_by_name() -> None:
    model = torch.nn.Linear(3, 2)
    load_into(model, TENSORS, "m")
    assert torch.equal(model.weight, TENSORS["weight"])
    wrong = {"weight": torch.zeros(2, 4), "extra": torch.zeros(1)}
    with pytest.raises(InputError) as caught:
        load_into(model, wrong, "m.safetensors")
    assert str(caught.value) == (
        "m.safetensors: the weights do not fit the model: 1 missing (the first: bias), "
        "1 unexpected (the first: extra), 1 of another shape (the first: weight)"
    )
