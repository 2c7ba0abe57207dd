"""Layer decay and its rates: upstream's numbers, and others that are computed here by the rule."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import InputError
from pipeline.interop.check_fixture import check_fixture

FOLDER = Path(__file__).parents[1] / "fixtures" / "parity" / "vit"


def groups(depth: int, decay: float, lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """The groups of a transformer and a linear classifier, in the order of their first parameters."""
    found = []
    for layer in range(depth + 2):
        scale = decay ** (depth + 1 - layer)
        counts = {"decay": 4, "no_decay": 9} if 0 < layer <= depth else {"decay": 1, "no_decay": 1 if not layer else 3}
        for kind in ("no_decay", "decay") if layer else ("decay", "no_decay"):
            decays = {"weight_decay": weight_decay if kind == "decay" else 0.0, "count": counts[kind]}
            found.append({"name": f"layer_{layer}_{kind}", "lr": lr * scale, "lr_scale": scale, **decays})
    return found


def rate(iteration: int, per_epoch: int, lr: float, epochs: int = 20, warm: int = 5) -> float:
    """Linear from a tenth to the whole over the warm-up, whose last iteration has the whole; then a cosine to 0."""
    start, end = warm * per_epoch, epochs * per_epoch
    if iteration < start:
        return lr * (0.1 + 0.9 * iteration / (start - 1))
    return lr / 2 * (1 + math.cos(math.pi * (iteration - start) / (end - start)))


def write(folder: Path, facts: Any) -> Path:
    path = folder / "made.json"
    path.write_text(json.dumps(facts))
    return path


@pytest.mark.parametrize("name", ["vit_param_groups", "vit_lr"])
def test_upstreams_own_numbers(name: str) -> None:
    report = check_fixture(FOLDER / f"{name}.json")
    assert report.passed
    assert report.largest < 1e-15


def test_other_depths_decays_and_rates_pass_and_a_wrong_one_fails(tmp_path: Path) -> None:
    facts: dict[str, Any] = {
        "small": groups(7, 0.6, 3e-4, 0.1),
        "small_betas": [0.9, 0.999],
        "huge": groups(32, 0.9, 5e-5, 0.01),
    }
    report = check_fixture(write(tmp_path, facts))
    assert report.passed
    assert len(report.differences) == 9
    for key, value in (("count", 8), ("lr", 1e-5), ("weight_decay", 0.05)):
        wrong = [dict(each) for each in facts["small"]]
        wrong[5][key] = value
        failed = [
            each.tensor for each in check_fixture(write(tmp_path, {"small": wrong})).differences if not each.within
        ]
        assert failed == [f"small/{key}"]
    short = facts["small"][:-1]
    (only,) = check_fixture(write(tmp_path, {"small": short})).differences
    assert (only.within, only.note.startswith("groups layer_0_decay, layer_0_no_decay")) == (False, True)


@pytest.mark.parametrize(("model", "lr", "scale"), [("ViT-B", 1.25e-4, 0.75**13), ("ViT-L", 2.5e-4, 0.8**25)])
def test_other_iteration_counts_pass(tmp_path: Path, model: str, lr: float, scale: float) -> None:
    asked = (0, 1, 36, 37, 184, 185, 186, 400, 738, 739)
    rates = {str(each): [rate(each, 37, lr), rate(each, 37, lr) * scale] for each in asked}
    facts: dict[str, Any] = {"note": f"{model} recipe, 37 iterations an epoch; head and patches", "lr": rates}
    assert check_fixture(write(tmp_path, facts)).passed
    facts["lr"]["186"][1] *= 1.001
    assert not check_fixture(write(tmp_path, facts)).passed


def test_what_the_file_says_goes_before_the_recipe(tmp_path: Path) -> None:
    values = [rate(200, 30, 4e-4, epochs=12, warm=2), rate(200, 30, 4e-4, epochs=12, warm=2) * 0.5**7]
    told = {"base_lr": 4e-4, "layer_decay": 0.5, "layers": 6, "epochs": 12, "warmup_epochs": 2}
    facts = {"note": "ViT-B recipe", "iterations_per_epoch": 30, **told, "lr": {"200": values}}
    assert check_fixture(write(tmp_path, facts)).passed


def test_what_is_not_told_is_refused(tmp_path: Path) -> None:
    expected = r"made\.json: the note is 'rates', expected ViT-B or ViT-L and 'N iterations an epoch'"
    with pytest.raises(InputError, match=expected):
        check_fixture(write(tmp_path, {"note": "rates", "lr": {"0": [1.0, 1.0]}}))
    with pytest.raises(InputError, match=r"made\.json: an iteration is 'last', expected a number"):
        check_fixture(write(tmp_path, {"note": "ViT-B recipe, 9 iterations an epoch", "lr": {"last": [1.0, 1.0]}}))
    odd = [{**each, "name": "head"} for each in groups(1, 0.5, 1.0, 0.1)]
    with pytest.raises(InputError, match=r"a group's name is 'head', expected layer_N_decay or layer_N_no_decay"):
        check_fixture(write(tmp_path, {"small": odd}))
