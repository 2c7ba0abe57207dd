import os
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import InputError
from pipeline.interop.frameworks import recognise_checkpoint
from pipeline.interop.pickles import Inert
from tests.interop.small_models import small_detector
from tests.interop.test_convert_checkpoint import save, upstream


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
