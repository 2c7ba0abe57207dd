import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.checkpoint.sidecars import REMEDY, plain_values
from pipeline.checkpoint.weights import read_sidecar, save_checkpoint

INPUT = {"frames": 4, "interval": 2, "short_side": 64, "mean": [1, 2, 3], "std": [1, 1, 1]}
SIDECAR: dict[str, Any] = {
    "kind": "head",
    "head": {"name": "lfb_nl", "mlp": False, "options": {}, "window": None},
    "input": INPUT,
    "roi": {"output_size": 8},
    "classes": 3,
    "own": {"anything": 1},
}


def changed(tmp_path: Path, **values: Any) -> Path:
    path = tmp_path / "head.safetensors"
    save_checkpoint(path, {"a": torch.zeros(1)}, {**SIDECAR, **values})
    return path


def test_a_whole_sidecar_reads_as_it_was_written(tmp_path: Path) -> None:
    found = read_sidecar(changed(tmp_path))
    assert {**found, "sha256": 0} == {**SIDECAR, "sha256": 0}
    assert json.loads(json.dumps(found)) == found
    assert type(plain_values(found)["head"]) is type(plain_values(found)) is dict


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"classes": "many"}, "classes: Input should be a valid integer.* (found 'many')"),
        ({"head": 5}, "head: Input should be a valid dictionary.* (found '5')"),
        ({"head": {"mlp": False}}, "head.name: Field required"),
        ({"kind": "tail"}, "kind: Input should be 'backbone', 'detector' or 'head' (found 'tail')"),
        ({"input": {**INPUT, "frames": None}}, "input.frames: Input should be a valid integer (found 'None')"),
        ({"input": {**INPUT, "frame": 4}}, "input.frame: Extra inputs are not permitted (found '4')"),
        ({"roi": {"size": 8}}, "roi.size: Extra inputs are not permitted (found '8')"),
        ({"history": {}}, "history: Input should be a valid list (found '{}')"),
    ],
)
def test_a_key_of_another_kind_names_file_and_key(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    path = changed(tmp_path, **values)
    with pytest.raises(InputError) as error:
        read_sidecar(path)
    begins, _, ends = message.partition(".*")
    assert str(error.value).startswith(f"{path.with_suffix('.json')}: {begins}")
    assert str(error.value).endswith(f"{ends}; {REMEDY}")


def test_a_missing_key_names_file_and_key_where_it_is_asked_for(tmp_path: Path) -> None:
    found = read_sidecar(changed(tmp_path))
    name = tmp_path / "head.json"
    with pytest.raises(InputError, match=f"^{name}: has no 'scope'; it was changed"):
        found["scope"]
    with pytest.raises(InputError, match=f"^{name}: head: has no 'standardise'; it was changed"):
        found["head"]["standardise"]
    assert found.get("scope") is None
    assert "scope" not in found


@pytest.mark.parametrize("text", ["[]", "{}", '"a"', "3"])
def test_what_is_no_sidecar_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "head.json").write_text(text)
    with pytest.raises(InputError, match=r"head\.json: no sidecar of a checkpoint: it has no sha256"):
        read_sidecar(tmp_path / "head.safetensors")
