import os
import re
import sys
import types
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.interop.frameworks import recognise_checkpoint
from pipeline.interop.pickles import Inert
from tests.interop.small_models import (
    caffe2_blobs,
    pyslowfast_state,
    small_detector,
    write_pickle,
)
from tests.interop.test_convert_checkpoint import save, upstream


def test_what_a_pyslowfast_head_scores_is_told_by_its_configuration_its_rows_or_the_user(tmp_path: Path) -> None:
    state = pyslowfast_state(small_detector("pyslowfast_slow_r50", "linear"))
    path = save(tmp_path, {"model_state": state, "cfg": "DETECTION:\n  ENABLE: false\n"})
    assert recognise_checkpoint(path).kind == "classifier"
    assert recognise_checkpoint(path, taken_as="detector").kind == "detector"
    foreign = recognise_checkpoint(save(tmp_path, {"model_state": state}))
    assert foreign.kind == "classifier"
    assert foreign.notes == ("its head has 4 rows, so it is taken as a classifier's; --as says otherwise",)
    state["head.projection.weight"] = torch.zeros(80, 256)
    assert recognise_checkpoint(save(tmp_path, {"model_state": state, "cfg": "}{"})).kind == "detector"


@pytest.mark.parametrize("config", ["[" * 100_000, "a: 2001-99-99", "DETECTION: 3", "a: &x [*x]"])
def test_a_configuration_that_nobody_can_read_tells_nothing(tmp_path: Path, config: str) -> None:
    state = pyslowfast_state(small_detector("pyslowfast_slow_r50", "linear"))
    foreign = recognise_checkpoint(save(tmp_path, {"model_state": state, "cfg": config}))
    assert foreign.notes == ("its head has 4 rows, so it is taken as a classifier's; --as says otherwise",)


def test_keys_that_are_no_names_or_the_same_name_are_refused(tmp_path: Path) -> None:
    state = upstream(small_detector("slowonly_r50", "linear"), "slowonly_r50")["state_dict"]
    key, value = next(iter(state.items()))
    for changes, message in (
        ({f"module.{key}": value}, f"{key} and module.{key} both stand for {key}"),
        ({(1, (2, 3)): value}, "a key of its weights is of type tuple, expected a name"),
        ({"backbone.a\nb\x1b[2J": value}, r"a key of its weights is 'backbone.a\nb\x1b[2J', expected a name"),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(f'{tmp_path}/x.pth: {message}')}$"):
            recognise_checkpoint(save(tmp_path, {"state_dict": {**state, **changes}}))


def test_files_that_nobody_knows_are_refused(tmp_path: Path) -> None:
    def refusal(value: Any) -> str:
        with pytest.raises(InputError) as error:
            recognise_checkpoint(save(tmp_path, value))
        return str(error.value)

    path = tmp_path / "x.pth"
    assert refusal([1]) == f"{path}: holds a list, expected a checkpoint's dictionary"
    assert refusal({"a": 1}) == (
        f"{path}: no checkpoint that is known: its keys are a, expected those of MMAction2 (backbone.*), PySlowFast "
        "(s1.pathway0_*), Caffe2 (conv1_w), AlphAction (roi_heads.*), torchvision (conv1.weight), TRN-pytorch "
        "(base_model.*), VideoMAE (patch_embed.proj.weight, or transformers' names) or of this project (safetensors)"
    )
    with pytest.raises(InputError, match=r"^nowhere\.pth: cannot be read: No such file or directory$"):
        recognise_checkpoint(Path("nowhere.pth"))
    blobs = caffe2_blobs(pyslowfast_state(small_detector("pyslowfast_slow_r50", "linear")))
    blobs["lfb_1x1_w"] = blobs["pred_w"]
    message = f"{tmp_path}/y.pkl: 1 blobs of an I3D network with non-local blocks or of a head on it (lfb_1x1_w), which"
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        recognise_checkpoint(write_pickle(tmp_path / "y.pkl", blobs))


class Calls:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def test_nothing_but_tensors_is_taken_from_a_state_dict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = upstream(small_detector("slowonly_r50", "linear"), "slowonly_r50")["state_dict"]
    with pytest.raises(InputError, match=f"refused: the pickle names {os.system.__module__}.system; only tensors"):
        recognise_checkpoint(save(tmp_path, {"state_dict": {**state, "x": Calls()}}))
    value = {"state_dict": {**state, "backbone.x": Inert()}}
    monkeypatch.setattr("pipeline.interop.frameworks.load_foreign", lambda path: value)
    with pytest.raises(InputError, match=r"refused: backbone\.x is an object of a training framework, expected"):
        recognise_checkpoint(tmp_path / "x.pth")


def test_what_alphactions_training_keeps_beside_its_weights_is_named_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class MemoryPool:
        """As upstream pickles it: a class of its own around dictionaries by film and second."""

        def __init__(self) -> None:
            self.cache: Any = defaultdict(dict)
            self.cache["film"][902] = {"pooled": torch.zeros(2, 3), "loss_tag": 3.0}

        def __setstate__(self, state: Any) -> None:
            raise AssertionError("it was run")

    place = types.ModuleType("alphaction.structures.memory_pool")
    MemoryPool.__module__, MemoryPool.__qualname__ = place.__name__, "MemoryPool"
    place.MemoryPool = MemoryPool  # type: ignore[attr-defined]
    for name in ("alphaction", "alphaction.structures", place.__name__):
        monkeypatch.setitem(sys.modules, name, place)
    weights = {
        "module.backbone.slow.conv1.weight": torch.ones(2),
        "module.roi_heads.action.predictor.other": torch.zeros(1),
    }
    path = save(tmp_path, {"model": weights, "person_pool": MemoryPool(), "iteration": 4})
    monkeypatch.undo()
    foreign = recognise_checkpoint(path)
    assert (foreign.framework, foreign.kind, foreign.described) == ("alphaction", "detector", "AlphAction detector")
    assert foreign.no_weights == ("person_pool", "iteration")
    assert foreign.notes == ("person_pool, iteration are left out: they belong to a training",)
    assert foreign.rename("backbone.slow.conv1.weight") == "backbone.slow_path.conv1.conv.weight"
    assert foreign.rename("roi_heads.action.predictor.other") is None
