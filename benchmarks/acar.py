"""Measure what ACAR's relations cost beside the published arithmetic, and a window of rows beside one of maps.

    python -m benchmarks.acar [--persons 1,5,15] [--repeats 5] [--hidden 512]

The published first-order relation tiles the map and the persons; both sides are its 1x1 convolution with gradients, at
the size of AVA's clips (a map of 16 x 22 cells), on one CPU thread, in CPU time and by the peak memory of a process of
its own. A window has 300 slots: rows of 2304 channels that the attention of `acar_lfb` reads, or maps of 512 channels
on 8 x 11 cells, of which each person reads at each cell; of the maps only the products are measured, no convolution.
"""

import statistics
import time
from collections.abc import Callable
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from benchmarks.measuring import apart, median_ratio, peak_mib
from pipeline.models.context import BankWindow
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.lfb_nl import NonLocalOptions, non_local_bank

MAP, RELATION, SLOTS, ROW, FP16 = (16, 22), (8, 11), 300, 2304, 2


def relation_step(kind: str, persons: int, hidden: int) -> Callable[[], Tensor]:
    """The first convolution of the relations with its gradients; `kind` is split or tiled."""
    torch.manual_seed(0)
    reduced = 2 * hidden
    feature = torch.randn(1, reduced, *MAP, requires_grad=True)
    person = torch.randn(persons, reduced, requires_grad=True)
    weight = (torch.randn(hidden, 2 * reduced) / (2 * reduced) ** 0.5).requires_grad_()
    index = torch.zeros(persons, dtype=torch.int64)

    def step() -> Tensor:
        if kind == "tiled":
            both = torch.cat([feature[index], person[:, :, None, None].expand(-1, -1, *MAP)], dim=1)
            found = F.relu(F.conv2d(both, weight[:, :, None, None]))
        else:
            of_map = F.conv2d(feature, weight[:, :reduced, None, None])
            found = F.relu(of_map[index] + F.linear(person, weight[:, reduced:])[:, :, None, None])
        found.sum().backward()
        return found.detach()

    return step


def window_read(kind: str, persons: int, hidden: int) -> Callable[[], Tensor]:
    """What the persons of a clip read from its window; `kind` is rows or maps."""
    torch.manual_seed(0)
    if kind == "maps":
        query, maps = torch.randn(persons, hidden, *RELATION), torch.randn(SLOTS, hidden, *RELATION)

        def read_maps() -> Tensor:
            shares = (torch.einsum("rdyx,ldyx->rlyx", query, maps) / hidden**0.5).softmax(dim=1)
            return torch.einsum("rlyx,ldyx->rdyx", shares, maps)

        return read_maps
    sizes = HeadSettings(roi_channels=ROW, bank_channels=ROW, classes=1)
    options = NonLocalOptions(layers=2, latent=hidden, dropout=0.0, init="published", window_dropout="rows")
    bank = non_local_bank(sizes, options, head="acar_lfb", asks=2 * hidden).eval()
    mask, owner = torch.ones(1, SLOTS, dtype=torch.bool), torch.zeros(persons, dtype=torch.int64)
    window, asks = BankWindow(torch.randn(1, SLOTS, ROW), mask, owner), torch.randn(persons, 2 * hidden)
    return lambda: bank.look_at(bank.project_roi(asks), window)


def grown_mib(make: Callable[[str, int, int], Callable[[], Tensor]], kind: str, persons: int, hidden: int) -> float:
    """MiB by which a step raises the peak of its process."""
    torch.set_num_threads(1)
    step = make(kind, persons, hidden)
    before = peak_mib()
    step()
    return peak_mib() - before


def seconds(steps: dict[str, Callable[[], Tensor]], repeats: int) -> dict[str, list[float]]:
    """CPU seconds of each side, turn by turn, after a call that does not count."""
    found: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(repeats + 1):
        for name in list(steps)[:: 1 if turn % 2 else -1]:
            start = time.process_time()
            steps[name]()
            if turn:
                found[name].append(time.process_time() - start)
    return found


def main(
    persons: Annotated[str, typer.Option(help="Numbers of persons of a clip.")] = "1,5,15",
    repeats: int = 5,
    hidden: Annotated[int, typer.Option(help="Channels of relations; published 512.")] = 512,
) -> None:
    """Print both tables as Markdown, and what a row of each kind of bank weighs."""
    torch.set_num_threads(1)
    print("| what | persons | CPU s | peak MiB | ratio |\n|---|---|---|---|---|")
    for make, kinds in ((relation_step, ("tiled", "split")), (window_read, ("maps", "rows"))):
        for number in map(int, persons.split(",")):
            steps = {kind: make(kind, number, hidden) for kind in kinds}
            if make is relation_step:
                torch.testing.assert_close(*(step() for step in steps.values()), rtol=1e-3, atol=1e-3)
            with torch.set_grad_enabled(make is relation_step):
                found = seconds(steps, repeats)
            for kind in kinds:
                peak = apart(grown_mib, make, kind, number, hidden)
                ratio = median_ratio(found[kind], found[kinds[0]])
                print(f"| {kind} | {number} | {statistics.median(found[kind]):.4f} | {peak:.0f} | {ratio:.2f} |")
    numbers = hidden * RELATION[0] * RELATION[1]
    print(f"\nA row of the bank: {ROW * FP16} bytes; a map {numbers * FP16} bytes, {numbers / ROW:.1f} times")


if __name__ == "__main__":
    typer.run(main)
