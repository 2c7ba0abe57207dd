"""Cost of a training step of Hiera-B: ours, with blocks computed again, and a plain one in upstream's order of tokens.

    python -m benchmarks.hiera [--size 16 128 160] [--repeats 3]

Each side runs on one thread in a process of its own, on equal weights and clips; the maps of stages 3 and 4 are
summed, and the gradients of all weights are computed. CPU seconds are the median over the repeats, after a first step
that does not count; memory is the peak beyond what the process held before the first step.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from benchmarks import plain_hiera
from benchmarks.measuring import apart, peak_mib
from pipeline.interop.fixtures import rule_weight
from pipeline.models.backbones.hiera import BASE, Hiera, HieraShape

SIDES = ("ours", "ours, recomputed", "plain")
WIDTH, HEADS = 96, 1


def our_step(size: Sequence[int], *, recompute: bool) -> tuple[Callable[[Tensor], Tensor], list[Tensor]]:
    """The maps of our network, and its weights."""
    shape = HieraShape(BASE, WIDTH, HEADS, grid=(size[1] // 4, size[2] // 4), slices=size[0] // 2)
    network = Hiera(shape, maps=(4,)).train()
    network.load_state_dict({key: rule_weight(key, value.shape) for key, value in network.state_dict().items()})
    network.recompute = recompute
    return lambda clip: summed(network.stages(clip, (3, 4)).values()), list(network.parameters())


def plain_step(size: Sequence[int]) -> tuple[Callable[[Tensor], Tensor], list[Tensor]]:
    """The maps of the plain network, and its weights."""
    sizes = plain_hiera.Sizes(BASE, WIDTH, HEADS, size[0] // 2, size[1] // 4, size[2] // 4)
    state = {key: rule_weight(key, each).requires_grad_() for key, each in plain_hiera.shapes(sizes, 1).items()}
    return lambda clip: summed(plain_hiera.stages(state, sizes, clip)[2:]), list(state.values())


def summed(maps: Iterable[Tensor]) -> Tensor:
    return torch.stack([each.square().mean() for each in maps]).sum()


def measure(side: str, size: Sequence[int], repeats: int) -> tuple[float, float, float]:
    """CPU seconds, MiB, and the loss of a step."""
    torch.set_num_threads(1)
    maps, weights = plain_step(size) if side == "plain" else our_step(size, recompute=side != "ours")
    clip = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    before, seconds, loss = peak_mib(), [], 0.0
    for _ in range(repeats + 1):
        start = time.process_time()
        result = maps(clip)
        result.backward()
        seconds.append(time.process_time() - start)
        loss = float(result.detach())
        for each in weights:
            each.grad = None
    return statistics.median(seconds[1:]), peak_mib() - before, loss


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", nargs=3, type=int, default=[16, 128, 160], help="frames, height and width")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print("| side | CPU seconds | MiB |\n|---|---|---|")
    losses = []
    for side in SIDES:
        seconds, memory, loss = apart(measure, side, arguments.size, arguments.repeats)
        losses.append(loss)
        print(f"| {side} | {seconds:.2f} | {memory:.0f} |", flush=True)
    assert max(losses) - min(losses) < 1e-4 * max(losses), "the sides are not one network"


if __name__ == "__main__":
    main()
