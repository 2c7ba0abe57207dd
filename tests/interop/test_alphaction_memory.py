"""Fixtures of AlphAction's memory: the shipped one, and others of its kind that are made here by a plain pool."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from pipeline.base.code_version import REPOSITORY
from pipeline.base.errors import InputError
from pipeline.cli import build_app
from pipeline.interop.alphaction_memory import (
    check_memory_dynamics,
    compare_memory_read,
    exact,
    is_memory_dynamics,
    near,
)
from pipeline.interop.check_fixture import check_fixture

SHIPPED = REPOSITORY / "tests/fixtures/parity/aia_training/memory_dynamics.json"
Facts = dict[str, Any]


def facts_of(path: Path = SHIPPED) -> Facts:
    read: Facts = json.loads(path.read_text())
    return read


def test_the_shipped_fixture_passes_to_the_bit() -> None:
    report = check_fixture(SHIPPED)
    assert report.passed
    assert (report.name, report.upstream) == ("memory_dynamics", "AlphAction 4ea202d7491e")
    gaps = {each.tensor: each.largest for each in report.differences}
    assert len(gaps) == 40
    assert {name for name, gap in gaps.items() if gap} == {"reads/factors"}
    # The quotient of two float32 numbers, against the factor itself.
    assert gaps["reads/factors"] < 1e-7


def test_the_command_prints_it() -> None:
    result = CliRunner().invoke(build_app("parity"), ["parity", str(SHIPPED)])
    assert result.exit_code == 0
    assert "it3/permutations" in result.output
    assert "40 of 40 tensors within 1e-06 |x|, largest difference 5.73e-08: passed" in result.output


def made(folder: Path, *, before: int = 2, after: int = 3, channels: int = 4, per_second: int = 2) -> Path:
    """A fixture of another plan and other sizes, computed as the facts say and without our memory."""
    plan = [
        [("x", 7, 3, 4.0), ("y", 7, 1, 4.0)],
        [("x", 8, 0, 2.0), ("x", 9, 4, 2.0)],
        [("x", 7, 2, 5.0), ("y", 9, 3, 5.0)],
        [("x", 6, 1, 0.5), ("y", 8, 2, 0.5)],
    ]  # fmt: skip
    pool: dict[str, dict[int, tuple[np.ndarray, float]]] = {"x": {}, "y": {}}
    arrays, iterations, reads, now = {}, [], [], 0.0

    def look(movie: str, second: int, own: np.ndarray, *, iteration: int, weigh: bool, rate: int) -> Any:
        out = np.zeros((before + 1 + after, per_second, channels), np.float32)
        drawn: list[list[int]] = []
        for offset in (*range(-before, 0), *range(1, after + 1), 0):
            at = second + rate * offset
            rows, tag = (own, now) if offset == 0 else pool[movie].get(at, (None, 0.0))
            if rows is None:
                continue
            order = torch.randperm(len(rows)).tolist() if len(rows) > per_second else None
            drawn += [order] if order else []
            chosen = rows if order is None else rows[order[:per_second]]
            factor = np.float32(min(tag, now) / max(tag, now)) if weigh and offset else np.float32(1)
            out[before + offset, : len(chosen)] = chosen * factor
            if offset:
                seen: Facts = {"movie": movie, "clip_second": second, "second": at, "stored_rows": len(rows)}
                seen |= {"iteration": iteration, "rows": len(chosen), "loss_tag": tag, "permutation": order}
                seen |= {"current_loss": now if weigh else 0.0, "tag_still_in_pool": True}
                reads.append({**seen, "observed_factor": float(factor) if len(chosen) else None})
        return out.reshape(-1, channels), drawn

    def listed() -> Facts:
        return {
            movie: {str(at): {"rows": len(rows), "loss_tag": tag} for at, (rows, tag) in held.items()}
            for movie, held in pool.items()
        }

    for number, clips in enumerate(plan, 1):
        features = [
            np.random.RandomState(100 * number + 7 * place).standard_normal((persons, channels)).astype(np.float32)
            for place, (_, _, persons, _) in enumerate(clips)
        ]
        entry: Facts = {
            "iteration": number,
            "current_loss_used": now,
            "total_loss": clips[0][3],
            "pool_before": listed(),
        }
        torch.manual_seed(number + 10)
        found = [
            look(movie, second, own, iteration=number, weigh=True, rate=1)
            for (movie, second, _, _), own in zip(clips, features, strict=True)
        ]
        entry["torch_manual_seed"] = number + 10
        entry["permutations_in_order"] = [order for _, drawn in found for order in drawn]
        entry["clips"] = [{"movie": movie, "second": second, "persons": persons} for movie, second, persons, _ in clips]
        arrays[f"it{number}/memory"] = np.stack([window for window, _ in found])
        iterations.append(entry)
        now = clips[0][3]
        for (movie, second, _, tag), own in zip(clips, features, strict=True):
            pool[movie][second] = (own, tag)
    trained, now = list(reads), 0.0
    reads.clear()
    torch.manual_seed(3)
    own = np.random.RandomState(5).standard_normal((3, channels)).astype(np.float32)
    window, drawn = look("x", 11, own, iteration=100, weigh=False, rate=2)
    arrays["eval0/memory"] = window[None]
    last = listed()
    for movie, held in pool.items():
        for at, (rows, _) in held.items():
            last[movie][str(at)]["first_value"] = float(rows[0, 0]) if len(rows) else None
    read: Facts = {"movie": "x", "second": 11, "memory_rate": 2, "torch_manual_seed": 3, "permutations_in_order": drawn}
    facts = {
        "upstream": "made here", "channels": channels, "window": {"before": before, "after": after},
        "max_per_second": per_second, "iterations": iterations, "reads": trained, "pool_after_last": last,
        "feature_rule": "a rule: RandomState(100*i+7*j).standard_normal((persons,channels)) float32",
        "eval_reads": [{**read, "current_features": f"RandomState(5).standard_normal((3,{channels}))"}],
        "eval_read_log": list(reads),
    }  # fmt: skip
    np.savez(folder / "other.npz", **arrays)  # type: ignore[arg-type]
    path = folder / "other.json"
    path.write_text(json.dumps(facts))
    return path


@pytest.mark.parametrize("sizes", [{}, {"before": 0, "after": 1}, {"per_second": 1, "channels": 9}])
def test_a_fixture_with_another_plan_and_other_sizes_passes(tmp_path: Path, sizes: dict[str, int]) -> None:
    report = check_fixture(made(tmp_path, **sizes))
    assert [each for each in report.differences if not each.within] == []
    assert report.upstream == "made here"


def longer(facts: Facts) -> None:
    facts["iterations"][2]["clips"][0]["persons"] += 1


def another_tag(facts: Facts) -> None:
    facts["iterations"][1]["total_loss"] += 1e-4


def another_seed(facts: Facts) -> None:
    facts["iterations"][4]["torch_manual_seed"] += 1


def another_factor(facts: Facts) -> None:
    facts["reads"][4]["observed_factor"] *= 1 + 3e-6


def another_rate(facts: Facts) -> None:
    facts["eval_reads"][3]["memory_rate"] = 1


def kept(facts: Facts) -> None:
    facts["pool_after_last"]["B"]["960"]["rows"] = 6


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        (longer, "it3/memory"), (another_tag, "it3/current_loss"), (another_seed, "it5/permutations"),
        (another_factor, "reads/factors"), (another_rate, "eval3/memory"), (kept, "pool_after_last"),
    ],
)  # fmt: skip
def test_a_changed_number_is_found(tmp_path: Path, change: Callable[[Facts], None], fails: str) -> None:
    facts = facts_of()
    change(facts)
    shutil.copy(SHIPPED.with_suffix(".npz"), tmp_path / "x.npz")
    (tmp_path / "x.json").write_text(json.dumps(facts))
    report = check_fixture(tmp_path / "x.json")
    assert not report.passed
    assert fails in {each.tensor for each in report.differences if not each.within}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"feature_rule": "i: ones"}, "feature_rule 'i: ones' is not known here"),
        ({"max_per_second": "x"}, "not a whole fixture: TypeError "),
        ({"window": {"before": 30}}, "not a whole fixture: KeyError 'after'"),
        ({"eval_reads": [{**facts_of()["eval_reads"][0], "current_features": "ones"}]},
         "current_features 'ones' is not known here"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused(tmp_path: Path, changes: Facts, message: str) -> None:
    path = tmp_path / "x.json"
    shutil.copy(SHIPPED.with_suffix(".npz"), path.with_suffix(".npz"))
    with pytest.raises(InputError, match=f"^{re.escape(f'{path}: {message}')}"):
        check_memory_dynamics(path, {**facts_of(), **changes})


def test_which_fixtures_are_of_this_kind() -> None:
    assert is_memory_dynamics(facts_of())
    assert not is_memory_dynamics({"iterations": [], "hyper": {}})


# As the fixture of operations has it.
READ: Facts = {
    "source": "R=RandomState(9); R.standard_normal((2,3)) for second 18, (3,3) for 19, (1,3) for 22, then (2,3) for "
    "the current clip at second 20 (in that order), float32",
    "length": [2, 3], "max_per_sec": 3, "dim": 3, "loss_tags": {"18": 2.0, "19": 8.0, "22": 4.0}, "cur_loss": 4.0,
}  # fmt: skip


def window_of_read(factors: dict[int, float]) -> np.ndarray:
    random, out = np.random.RandomState(9), np.zeros((6, 3, 3), np.float32)
    for second, count in ((18, 2), (19, 3), (22, 1), (20, 2)):
        rows = random.standard_normal((count, 3)).astype(np.float32)
        out[second - 18, :count] = rows * np.float32(factors.get(second, 1.0))
    return out.reshape(-1, 3)


def test_one_window_with_and_without_the_penalty() -> None:
    arrays = {"memory_penalty_read": window_of_read({18: 0.5, 19: 0.5}), "memory_eval_read": window_of_read({})}
    found = compare_memory_read(READ, arrays)
    assert [(each.tensor, each.values, each.largest) for each in found] == [
        ("memory_penalty_read", 54, 0.0), ("memory_eval_read", 54, 0.0),
    ]  # fmt: skip
    found = compare_memory_read({**READ, "cur_loss": 5.0}, arrays)
    assert [each.within for each in found] == [False, True]
    with pytest.raises(InputError, match=r"^memory_read\.source 'ones' is not known here$"):
        compare_memory_read({**READ, "source": "ones"}, arrays)


def test_how_values_are_compared() -> None:
    assert exact("x", [1, 2], [1, 2]).within
    assert (exact("x", [1], [2]).within, exact("x", [1], [2]).note) == (False, "[1], expected [2]")
    pool = {"a": {"3": {"rows": 2, "loss_tag": 7.3}}}
    assert exact("x", pool, {"a": {"3": {"rows": 2, "loss_tag": float(np.float32(7.3))}}}).within
    for other in ({"rows": 2, "loss_tag": 7.30001}, {"rows": 3, "loss_tag": 7.3}, {"rows": 2}):
        assert not exact("x", pool, {"a": {"3": other}}).within
    one = np.array([1.0, 0.0], np.float32)
    assert near("x", torch.tensor([1.0 + 5e-7, 0.0]), one).within
    assert not near("x", torch.tensor([1.0 + 3e-6, 0.0]), one).within
    assert not near("x", torch.tensor([1.0, 1e-30]), one).within
    assert not near("x", torch.tensor([float("nan"), 0.0]), one).within
    assert near("x", torch.zeros(3), one).note == "shape (3,), expected (2,)"
    assert near("x", torch.zeros(0), one[:0]).within
