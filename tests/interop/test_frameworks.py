import sys
import types
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.interop.frameworks import recognise_checkpoint
from tests.interop.test_convert_checkpoint import save


def test_files_that_nobody_knows_are_refused(tmp_path: Path) -> None:
    def refusal(value: Any) -> str:
        with pytest.raises(InputError) as error:
            recognise_checkpoint(save(tmp_path, value))
        return str(error.value)

    path = tmp_path / "x.pth"
    assert refusal([1]) == f"{path}: holds a list, expected a checkpoint's dictionary"
    assert refusal({"a": 1}) == (
        f"{path}: no checkpoint that is known: its keys are a, expected those of MMAction2 (backbone.*), PySlowFast "
        "(s1.pathway0_*), Caffe2 (conv1_w), AlphAction (roi_heads.*), ACAR-Net (slow_conv1.weight), torchvision "
        "(conv1.weight), TRN-pytorch (base_model.*), VideoMAE (patch_embed.proj.weight, or transformers' names), Hiera "
        "for clips (pos_embed_spatial) or of this project (safetensors)"
    )
    annotations = [{"video": "a", "time": "0902", "labels": []}], {0: {"id": 1, "name": "sit"}}
    assert refusal(annotations) == (
        f"{path}: holds annotations of ACAR-Net (1 keyframes, 1 classes), which are made of AVA's own files, as "
        "conf/dataset/ava22.yaml names them, expected a checkpoint's dictionary"
    )
    with pytest.raises(InputError, match=r"^nowhere\.pth: cannot be read: No such file or directory$"):
        recognise_checkpoint(Path("nowhere.pth"))


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
