"""Compare every network of the zoo with the same network in the plainest PyTorch: ratios of time and memory.

    python -m benchmarks.models                       # all networks, 2 clips of 128 x 128; on a GPU where there is one
    python -m benchmarks.models --only slowonly_r50_4x16,acrn --size 256 --clips 8 --repeats 5
    python -m benchmarks.models --only "" --variants "" --device cpu    # only the heads

The plain side is `benchmarks/plain.py`: functions of the same weights, torchvision's RoIAlign, and, as upstream, a copy
of the frame's map for every person of ACRN and of the window for every person of LFB-NL. A training step is forward,
loss, backward and SGD. The sides alternate, so that other load on the machine affects both. A ratio is the median of
the turns' ratios, followed by the smallest and the largest. One CPU thread is measured in CPU time, on which other
programs have little effect; several threads and GPUs are measured in wall time. Each comparison has its own process,
and so has each side whose peak memory is measured. Both sides must give the same logits before they are timed.

It prints three tables: the networks; ours in bf16, channels last and compiled, against our default; and the heads whose
arithmetic is reordered here.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from benchmarks.measuring import apart, peak_mib
from benchmarks.networks import CASES, HEADS, VARIANTS, Settings, Side, sides_of
from pipeline.base.numerics import pick_device, set_numerics


def wait(settings: Settings) -> None:
    if settings.device.startswith("cuda"):
        torch.cuda.synchronize(settings.device)


def timed(run: Callable[[], Tensor], settings: Settings) -> float:
    """Seconds of one call: of the CPU where it works in one thread, else of the clock."""
    alone = settings.device == "cpu" and settings.threads == 1
    clock = time.process_time if alone else time.perf_counter
    wait(settings)
    start = clock()
    run()
    wait(settings)
    return clock() - start


def difference_of(base: Side, other: Side) -> float:
    """The largest difference of their logits as a share of the largest logit."""
    one, two = base.infer(), other.infer()
    return ((one - two).abs().max() / one.abs().max()).item()


def take_turns(sides: Mapping[str, Side], settings: Settings) -> dict[str, dict[str, list[float]]]:
    """Seconds of the forward pass and the training step of each side, turn by turn, after a step that does not count.

    Returns:
        For `forward` and `step` the seconds of each side.
    """
    for side in sides.values():
        side.step()
    seconds: dict[str, dict[str, list[float]]] = {part: {name: [] for name in sides} for part in ("forward", "step")}
    for turn in range(settings.repeats):
        order = list(sides)[:: 1 if turn % 2 else -1]
        for name in order:
            seconds["forward"][name].append(timed(sides[name].infer, settings))
        for name in order:
            seconds["step"][name].append(timed(sides[name].step, settings))
    return seconds


def compare(kind: str, name: str, settings: Settings) -> dict[str, Any]:
    """Seconds of both sides, turn by turn, and the largest difference of their logits as a share of the largest."""
    set_numerics(compute_dtype="fp32", deterministic=False, threads=settings.threads)
    sides = sides_of(kind, name, settings)
    base, other = sides
    difference = difference_of(*sides.values())
    if kind not in VARIANTS and not difference < 1e-4:
        raise AssertionError(f"{name}: logits differ by {difference:.2g} of the largest one")
    seconds = take_turns(sides, settings)
    return {
        "parameters": sum(each.numel() for each in sides[base].parameters),
        "difference": difference,
        "seconds": {part: statistics.median(each[base]) for part, each in seconds.items()},
        "ratios": {
            part: [one / two for one, two in zip(each[other], each[base], strict=True)]
            for part, each in seconds.items()
        },
    }


def step_peak_mib(kind: str, name: str, number: int, settings: Settings) -> float:
    """Peak memory over two training steps of one side: of the GPU's tensors, or of this process."""
    set_numerics(compute_dtype="fp32", deterministic=False, threads=settings.threads)
    side = list(sides_of(kind, name, settings).values())[number]
    on_gpu = settings.device.startswith("cuda")
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(settings.device)
    for _ in range(2):
        side.step()
    wait(settings)
    if on_gpu:
        return torch.cuda.max_memory_allocated(settings.device) / 2**20
    return peak_mib()


def row(kind: str, name: str, title: str, settings: Settings, *, memory: bool) -> str:
    """A line of a table."""
    found = apart(compare, kind, name, settings)
    cells = [title, f"{found['parameters'] / 1e6:.1f} M"]
    for part in ("forward", "step"):
        ratios = found["ratios"][part]
        cells += [
            f"{found['seconds'][part]:.3g} s",
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})",
        ]
    if memory:
        base, other = (apart(step_peak_mib, kind, name, number, settings) for number in range(2))
        cells += [f"{base:.0f} MiB", f"{other / base:.2f}"]
    return "| " + " | ".join([*cells, f"{found['difference']:.1g}"]) + " |"


def table(title: str, base: str, rows: list[tuple[str, str, str]], settings: Settings, *, memory: bool) -> None:
    """Print a table, each line as soon as it is measured."""
    if not rows:
        return
    columns = [title, "parameters", f"forward, {base}", "ratio", f"training step, {base}", "ratio"]
    columns += ["peak, " + base, "ratio"] if memory else []
    columns += ["logits differ by"]
    print(f"\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)
    for kind, name, shown in rows:
        print(row(kind, name, shown, settings, memory=memory), flush=True)


def chosen(words: str, known: Any, option: str) -> list[str]:
    """The names in a comma-separated list.

    Raises:
        BadParameter: one of them is not known.
    """
    names = [word for word in words.split(",") if word]
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"{option}: found {name}, expected some of {', '.join(known)}")
    return names


def measure(
    only: Annotated[str, typer.Option(help="Networks, separated by commas.")] = ",".join(CASES),
    heads: Annotated[str, typer.Option(help="Heads alone.")] = ",".join(HEADS),
    variants: Annotated[str, typer.Option(help="Settings of ours to compare with the default.")] = ",".join(VARIANTS),
    variants_of: Annotated[str, typer.Option(help="Networks to try them on.")] = "slowonly_r50_4x16,slowfast_r50_8x8",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    clips: Annotated[int, typer.Option(min=1, help="Clips of a batch.")] = 2,
    persons: Annotated[int, typer.Option(min=1, help="Boxes of a clip.")] = 4,
    size: Annotated[int, typer.Option(min=32, help="Side of a clip in pixels.")] = 128,
    repeats: Annotated[int, typer.Option(min=1, help="Turns of each side.")] = 3,
    width: Annotated[int | None, typer.Option(min=8, help="Channels of the stem; otherwise as published.")] = None,
    memory: Annotated[bool, typer.Option(help="Measure peak memory, in a process for each side.")] = True,
) -> None:
    """Compare the networks of the zoo with plain PyTorch, and print Markdown tables."""
    settings = Settings(
        device=str(pick_device(device)),
        threads=threads,
        clips=clips,
        persons=persons,
        size=size,
        repeats=repeats,
        width=width,
    )
    place = torch.cuda.get_device_name(settings.device) if settings.device != "cpu" else f"{threads} CPU thread(s)"
    batch = f"{clips} clips of {size} x {size} with {persons} persons"
    print(f"{place}, PyTorch {torch.__version__}; {batch}; {repeats} turns")
    networks = [("network", name, name) for name in chosen(only, CASES, "--only")]
    table("network", "plain", networks, settings, memory=memory)
    tried = [
        (variant, name, f"{name}, {variant}")
        for name in chosen(variants_of, CASES, "--variants-of")
        for variant in chosen(variants, VARIANTS, "--variants")
    ]
    table("ours", "default", tried, settings, memory=memory)
    alone = [("head", name, HEADS[name]) for name in chosen(heads, HEADS, "--heads")]
    table("head", "plain", alone, settings, memory=memory)


if __name__ == "__main__":
    typer.run(measure)
