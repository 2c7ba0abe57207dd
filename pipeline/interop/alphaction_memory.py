"""Check our asynchronous memory against what AlphAction's training loop, memory pool and reader did with a plan.

A fixture of this kind says which clips each iteration trains on, how many persons they have and what the loss is. Our
`Memory` is written by that plan. What differs from training here is the choice of rows where a second has too many: the
draws of upstream's generator, in upstream's order (seconds before the clip, after it, the clip itself). Which of
upstream's own checkpoints hold the pool is stated by the fixture too; nothing here computes it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.interop.compare_fixture import Difference, ParityReport
from pipeline.interop.fixtures import Array, read_arrays
from pipeline.interop.reading import reading
from pipeline.training.memory import Memory
from pipeline.training.settings import MemoryWeight

RELATIVE = 1e-6
BY_LOSS, ALIKE = (MemoryWeight(by=by, half_life=1.0) for by in ("loss", "none"))
RULE = re.compile(r"RandomState\((\d+)\*i\+(\d+)\*j\)\.standard_normal\(\(persons,channels\)\)")
DRAWN = re.compile(r"RandomState\((\d+)\)\.standard_normal\(\((\d+), ?(\d+)\)\)")
SEED = re.compile(r"RandomState\((\d+)\)")
SIZES = re.compile(r"\((\d+), ?\d+\)+ for (?:second )?(\d+)")
OWN = re.compile(r"\((\d+), ?\d+\)+ for the current clip at second (\d+)")


@dataclass(frozen=True)
class Window:
    """The seconds that upstream reads around a clip."""

    before: int
    after: int
    per_second: int


@dataclass
class WindowRead:
    """What one read of a window returned and drew."""

    rows: Tensor  # [(before + 1 + after) * per_second, channels]
    permutations: list[list[int]] = field(default_factory=list)
    "In the order of the draws."
    hits: list[dict[str, Any]] = field(default_factory=list)
    "Every second of the window, but the clip's own, that a step has written."


def is_memory_dynamics(facts: Mapping[str, Any]) -> bool:
    """Return whether a fixture's JSON is of this kind."""
    return {"feature_rule", "iterations", "reads"} <= facts.keys()


def check_memory_dynamics(path: Path, facts: Mapping[str, Any]) -> ParityReport:
    """Run the plan of a fixture and compare pools, reads, draws, factors and windows.

    Args:
        path: the fixture's JSON; the npz lies beside it.
        facts: what the JSON holds.

    Raises:
        InputError: the fixture is not whole, or has a rule for features that is not known here.
    """
    arrays = read_arrays(path.with_suffix(".npz"))
    with reading(path):
        differences = _run_plan(facts, arrays)
    words = str(facts.get("upstream", "AlphAction"))
    return ParityReport(path.stem, words.partition(":")[0], None, None, differences, f"{RELATIVE:g} |x|")


def _run_plan(facts: Mapping[str, Any], arrays: Mapping[str, Array]) -> list[Difference]:
    """Train by the plan, read as upstream, and compare."""
    shape = facts["window"]
    window = Window(shape["before"], shape["after"], facts["max_per_second"])
    memory, numbers = _planned_memory(facts)
    found: list[Difference] = []
    hits: list[dict[str, Any]] = []
    for plan in facts["iterations"]:
        name, clips = f"it{plan['iteration']}", plan["clips"]
        features = [_planned_rows(facts, plan["iteration"], number, clip) for number, clip in enumerate(clips)]
        found.append(exact(f"{name}/current_loss", memory.now, plan["current_loss_used"]))
        found.append(exact(f"{name}/pool", _pool(memory, numbers), _filled(plan["pool_before"])))
        generator = torch.Generator().manual_seed(plan["torch_manual_seed"])
        reads = [
            read_as_upstream(memory, clip["movie"], clip["second"], own, window, generator)
            for clip, own in zip(clips, features, strict=True)
        ]
        drawn = [each for read in reads for each in read.permutations]
        found.append(exact(f"{name}/permutations", drawn, plan["permutations_in_order"]))
        found.append(near(f"{name}/memory", torch.stack([read.rows for read in reads]), arrays[f"{name}/memory"]))
        hits += [{"iteration": plan["iteration"], **hit} for read in reads for hit in read.hits]
        keyframes = torch.tensor([numbers[clip["movie"], clip["second"]] for clip in clips])
        clip_index = torch.repeat_interleave(torch.tensor([len(each) for each in features]))
        memory.keep(keyframes, clip_index, torch.cat(features))
        memory.after_step(plan["total_loss"])
    found += _compare_hits("reads", hits, facts["reads"])
    found += _last_pool(memory, numbers, facts["pool_after_last"])
    return found + _compare_evaluation(memory, facts, arrays, window)


def _compare_evaluation(
    memory: Memory, facts: Mapping[str, Any], arrays: Mapping[str, Array], window: Window
) -> list[Difference]:
    """Compare the reads of upstream's evaluation, which weigh every row alike and may skip seconds."""
    found: list[Difference] = []
    hits: list[dict[str, Any]] = []
    memory.weight, memory.now = ALIKE, 0.0
    for number, plan in enumerate(facts["eval_reads"]):
        generator = torch.Generator().manual_seed(plan["torch_manual_seed"])
        rate, own = plan["memory_rate"], _drawn_rows(plan["current_features"])
        read = read_as_upstream(memory, plan["movie"], plan["second"], own, window, generator, rate=rate)
        found.append(exact(f"eval{number}/permutations", read.permutations, plan["permutations_in_order"]))
        found.append(near(f"eval{number}/memory", read.rows[None], arrays[f"eval{number}/memory"]))
        hits += [{"iteration": 100 + number, **hit} for hit in read.hits]
    return found + _compare_hits("eval_reads", hits, facts["eval_read_log"])


def read_as_upstream(
    memory: Memory, movie: str, second: int, own: Tensor, window: Window, generator: torch.Generator, *, rate: int = 1
) -> WindowRead:
    """Read the window of a clip as upstream reads it.

    Args:
        memory: see `Memory`.
        movie: the clip's film.
        second: the clip's own.
        own: its rows, [n, channels], which fill its own second and weigh 1.
        window: the seconds to read.
        generator: gives the draws where a second has more rows than slots.
        rate: seconds between two that are read.
    """
    length, per_second = window.before + 1 + window.after, window.per_second
    slots = torch.zeros(length, per_second, dtype=torch.int64)
    read = WindowRead(torch.zeros(0))

    def draw(count: int) -> list[int] | None:
        if count <= per_second:
            return None
        read.permutations.append(torch.randperm(count, generator=generator).tolist())
        return read.permutations[-1]

    for place in (*range(window.before), *range(window.before + 1, length)):
        at = second + rate * (place - window.before)
        held = memory.held(movie, at)
        if held is None:
            continue
        order = draw(held.rows)
        chosen = torch.tensor((order or list(range(held.rows)))[:per_second], dtype=torch.int64)
        slots[place, : len(chosen)] = held.start + chosen
        hit = {"movie": movie, "clip_second": second, "second": at, "stored_rows": held.rows, "rows": len(chosen)}
        seen = {"loss_tag": held.tag, "current_loss": memory.now, "permutation": order}
        read.hits.append({**hit, **seen, "tag_still_in_pool": memory.held(movie, at) == held})
    rows = memory.gather(slots.view(1, -1))[0].view(length, per_second, -1)
    for hit in read.hits:
        place = (hit["second"] - second) // rate + window.before
        stored = memory.rows[slots[place, 0]]
        hit["observed_factor"] = _ratio(rows[place, 0], stored) if hit["rows"] else None
    order = draw(len(own))
    mine = own if order is None else own[order[:per_second]]
    rows[window.before, : len(mine)] = mine
    read.rows = rows.view(length * per_second, -1)
    return read


def _ratio(row: Tensor, stored: Tensor) -> float:
    """How many times `stored` is `row`, by their largest number."""
    at = int(stored.abs().argmax())
    return float(row[at]) / float(stored[at])


def _planned_memory(facts: Mapping[str, Any]) -> tuple[Memory, dict[tuple[str, int], int]]:
    """Make an empty memory of all seconds of the plan; also return the number of each (movie, second)."""
    persons: dict[tuple[str, int], int] = {}
    for plan in facts["iterations"]:
        for clip in plan["clips"]:
            key = (clip["movie"], clip["second"])
            persons[key] = max(clip["persons"], persons.get(key, 0))
    memory = _memory_of(list(persons), list(persons.values()), facts["channels"])
    return memory, {key: number for number, key in enumerate(persons)}


def _memory_of(seconds: Sequence[tuple[str, int]], persons: Sequence[int], channels: int) -> Memory:
    movies, times = [movie for movie, _ in seconds], [float(second) for _, second in seconds]
    return Memory(movies, times, np.array(persons, np.int64), channels=channels, weight=BY_LOSS)


def _planned_rows(facts: Mapping[str, Any], iteration: int, number: int, clip: Mapping[str, Any]) -> Tensor:
    rule = RULE.match(facts["feature_rule"].partition(": ")[2])
    if rule is None:
        raise InputError(f"feature_rule {facts['feature_rule']!r} is not known here")
    random = np.random.RandomState(int(rule[1]) * iteration + int(rule[2]) * number)
    return _normal(random, clip["persons"], facts["channels"])


def _drawn_rows(text: str) -> Tensor:
    rule = DRAWN.match(text)
    if rule is None:
        raise InputError(f"current_features {text!r} is not known here")
    return _normal(np.random.RandomState(int(rule[1])), int(rule[2]), int(rule[3]))


def _normal(random: np.random.RandomState, rows: int, channels: int) -> Tensor:
    return torch.from_numpy(random.standard_normal((rows, channels)).astype(np.float32))


def _pool(memory: Memory, numbers: Mapping[tuple[str, int], int]) -> dict[str, Any]:
    """The seconds that a step has written, as a fixture lists them."""
    pool: dict[str, Any] = {}
    for movie, second in sorted(numbers):
        if (held := memory.held(movie, second)) is not None:
            pool.setdefault(movie, {})[str(second)] = {"rows": held.rows, "loss_tag": held.tag}
    return pool


def _filled(pool: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out movies without a second: upstream's reader makes an empty entry of each movie that it asks for."""
    return {movie: seconds for movie, seconds in pool.items() if seconds}


def _last_pool(memory: Memory, numbers: Mapping[tuple[str, int], int], expected: Mapping[str, Any]) -> list[Difference]:
    tags = {
        movie: {second: {key: each[key] for key in ("rows", "loss_tag")} for second, each in seconds.items()}
        for movie, seconds in expected.items()
    }
    firsts = {(movie, int(at)): each["first_value"] for movie, held in expected.items() for at, each in held.items()}
    mine = []
    for movie, second in firsts:
        held = memory.held(movie, second)
        mine.append(float(memory.rows[held.start, 0]) if held and held.rows else None)
    return [
        exact("pool_after_last", _pool(memory, numbers), _filled(tags)),
        exact("pool_after_last/first_value", mine, list(firsts.values())),
    ]


def _compare_hits(name: str, found: Sequence[dict[str, Any]], expected: Sequence[dict[str, Any]]) -> list[Difference]:
    """Compare the log of reads: everything exactly, but the factors, which are near."""
    factors = [[each["observed_factor"] for each in log] for log in (found, expected)]
    rest = [[{**each, "observed_factor": None} for each in log] for log in (found, expected)]
    both = [exact(name, *rest), exact(f"{name}/factor_of_rows", *([one is None for one in log] for log in factors))]
    numbers = [np.array([one for one in log if one is not None], np.float64) for log in factors]
    return [*both, near(f"{name}/factors", torch.from_numpy(numbers[0]), numbers[1])]


def compare_memory_read(facts: Mapping[str, Any], arrays: Mapping[str, Array]) -> list[Difference]:
    """Compare one window, read with and without the penalty: the block `memory_read` of the fixture of operations.

    Args:
        facts: the block.
        arrays: `memory_penalty_read` and `memory_eval_read` of the fixture's npz.

    Raises:
        InputError: it says in words that are not known here what is stored.
    """
    seed, own = SEED.search(facts["source"]), OWN.search(facts["source"])
    stored = [(int(rows), int(second)) for rows, second in SIZES.findall(facts["source"])]
    if seed is None or own is None or not stored:
        raise InputError(f"memory_read.source {facts['source']!r} is not known here")
    random, channels = np.random.RandomState(int(seed[1])), facts["dim"]
    memory = _memory_of([("film", second) for _, second in stored], [rows for rows, _ in stored], channels)
    for number, (rows, second) in enumerate(stored):
        values = _normal(random, rows, channels)
        memory.keep(torch.tensor([number]), torch.zeros(rows, dtype=torch.int64), values)
        memory.after_step(facts["loss_tags"][str(second)])
    mine = _normal(random, int(own[1]), channels)
    before, after = facts["length"]
    window = Window(before, after, facts["max_per_sec"])
    memory.now = facts["cur_loss"]
    found = []
    for name, weight in (("memory_penalty_read", BY_LOSS), ("memory_eval_read", ALIKE)):
        memory.weight = weight
        read = read_as_upstream(memory, "film", int(own[2]), mine, window, torch.Generator())
        found.append(near(name, read.rows, arrays[name]))
    return found


def exact(name: str, found: Any, expected: Any) -> Difference:
    """Compare two values of any kind, in which only losses are floats: the difference is 0 or infinite."""
    count = len(found) if isinstance(found, list | dict) else 1
    if _is_same(found, expected):
        return Difference(name, count, 0.0, 0.0)
    return Difference(name, count, float("inf"), float("inf"), f"{str(found)[:80]}, expected {str(expected)[:80]}")


def _is_same(found: Any, expected: Any) -> bool:
    """Compare everything exactly but floats: upstream's losses are float32, and the plan's may have more digits."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(_is_same(found[key], expected[key]) for key in found)
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(_is_same, found, expected))
    if isinstance(found, float) and isinstance(expected, float):
        return abs(found - expected) <= RELATIVE * abs(expected)
    return bool(found == expected)


def near(name: str, found: Tensor, expected: Array) -> Difference:
    """Compare numbers, each of which may differ by 1e-6 of itself; zeros are equal to the bit."""
    if tuple(found.shape) != expected.shape:
        note = f"shape {tuple(found.shape)}, expected {expected.shape}"
        return Difference(name, 0, float("inf"), float("inf"), note)
    if not found.numel():
        return Difference(name, 0, 0.0, 0.0)
    wanted = expected.astype(np.float64)
    gaps = np.abs(found.double().numpy() - wanted)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(gaps == 0, 0.0, gaps / (RELATIVE * np.abs(wanted)))
    if not np.isfinite(gaps).all():
        return Difference(name, gaps.size, float("nan"), float("nan"), "not a number")
    return Difference(name, gaps.size, float(gaps.max()), float(shares.max()))
