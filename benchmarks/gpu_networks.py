"""The rows of `benchmarks.gpu` on networks: ours against plain PyTorch in the same precision, also with `speed_up`."""

import statistics
import time
from collections.abc import Mapping
from functools import lru_cache, partial

from benchmarks.measuring import median_ratio
from benchmarks.models import difference_of, take_turns
from benchmarks.networks import CASES, Settings, Side, detector_sides, our_side
from benchmarks.sections import Row, Setup
from pipeline.base.numerics import set_numerics

PRECISIONS = ("bf16", "tf32", "fp32")
NETWORK_COLUMNS = (
    "plain forward", "ours", "ours, channels last", "plain step", "ours", "ours, channels last", "logits differ by"
)  # fmt: skip
COMPILED_COLUMNS = ("plain forward", "ours, compiled", "plain step", "ours, compiled", "first forward and step")


def settings_of(setup: Setup) -> Settings:
    """Sizes of the batch."""
    if setup.tiny:
        return Settings(setup.device, clips=1, persons=1, size=32, repeats=1, width=8)
    return Settings(setup.device, clips=8, persons=2, size=256, repeats=5)


def names_of(setup: Setup) -> list[str]:
    """The networks: all of published size, or one of the tiny ones."""
    return ["slowonly_tiny"] if setup.tiny else [name for name in CASES if not name.endswith("_tiny")]


@lru_cache(maxsize=1)  # the precisions of a network follow each other
def network_sides(name: str, setup: Setup) -> dict[str, Side]:
    """Plain, ours, and ours with channels last."""
    case, settings = CASES[name], settings_of(setup)
    sides = detector_sides(case, settings)
    return {**sides, "channels last": our_side(case, settings, memory_format="channels_last_3d")}


def part_cells(seconds: Mapping[str, list[float]]) -> list[str]:
    """Milliseconds of the first side, and the ratios of the others to it."""
    base, *others = seconds.values()
    return [f"{1000 * statistics.median(base):.2f} ms", *(f"{median_ratio(each, base):.2f}" for each in others)]


def measure_network(name: str, precision: str, setup: Setup) -> list[str]:
    set_numerics(compute_dtype=precision, deterministic=False, threads=None)
    sides = network_sides(name, setup)
    for side in sides.values():
        side.precision = precision
    difference = difference_of(sides["plain"], sides["ours"])
    seconds = take_turns(sides, settings_of(setup))
    return [*part_cells(seconds["forward"]), *part_cells(seconds["step"]), f"{difference:.1g}"]


def measure_compiled(name: str, setup: Setup) -> list[str]:
    set_numerics(compute_dtype="bf16", deterministic=False, threads=None)
    case, settings = CASES[name], settings_of(setup)
    sides = {
        "plain": detector_sides(case, settings)["plain"],
        "compiled": our_side(case, settings, memory_format="channels_last_3d", compile_backbone=True),
    }
    for side in sides.values():
        side.precision = "bf16"
    start = time.perf_counter()
    sides["compiled"].infer()
    sides["compiled"].step().item()
    first = time.perf_counter() - start
    seconds = take_turns(sides, settings)
    return [*part_cells(seconds["forward"]), *part_cells(seconds["step"]), f"{first:.0f} s"]


def network_rows(setup: Setup) -> dict[str, Row]:
    return {
        f"{name}, {precision}": partial(measure_network, name, precision, setup)
        for name in names_of(setup)
        for precision in PRECISIONS
    }


def compiled_rows(setup: Setup) -> dict[str, Row]:
    """First the networks of the recipes that most start from; to compile takes up to a minute for each."""
    first = [name for name in ("slowonly_r50_4x16", "slowfast_r50_8x8") if name in names_of(setup)]
    names = [*first, *(name for name in names_of(setup) if name not in first)]
    return {f"{name}, bf16": partial(measure_compiled, name, setup) for name in names}
