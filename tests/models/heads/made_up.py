"""A made-up task for heads: one slot of each person's window holds one of three patterns, which is the label."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.models.context import BankWindow, Context
from pipeline.models.heads.head import Head
from pipeline.training.losses import multilabel_loss

CHANNELS, SECONDS, PER_SECOND = 16, 12, 4


@dataclass(frozen=True)
class Task:
    roi: Tensor
    context: Context
    labels: Tensor


def windowed(clip_index: Tensor, rows: Tensor, mask: Tensor | None = None) -> Context:
    """A context in which the persons of a clip share its window; without a mask every slot holds a row."""
    mask = torch.ones(rows.shape[:2], dtype=torch.bool) if mask is None else mask
    return Context(clip_index, BankWindow(rows, mask, clip_index))


def make_task(clips: int, *, seed: int, half: str = "any") -> Task:
    """Two persons per clip, standardised rows, a third of the slots empty; the pattern lies in `half`.

    Where `half` is past, the later half holds one of the three patterns too, which says nothing.
    """
    draw = torch.Generator().manual_seed(seed)
    patterns = torch.randn(10, CHANNELS, generator=torch.Generator().manual_seed(0))
    slots = SECONDS * PER_SECOND
    first, last = {"any": (0, slots), "past": (0, slots // 2)}[half]
    label = torch.randint(0, 3, (clips,), generator=draw)
    place = torch.randint(first, last, (clips,), generator=draw)
    pattern = torch.randint(3, 10, (clips, slots), generator=draw)
    pattern[torch.arange(clips), place] = label
    if half == "past":
        pattern[:, slots // 2] = torch.randint(0, 3, (clips,), generator=draw)
    mask = torch.rand(clips, slots, generator=draw) < 0.67
    mask[torch.arange(clips), place] = True
    mask[:, slots // 2] = True
    window = patterns[pattern] + 0.3 * torch.randn(clips, slots, CHANNELS, generator=draw)
    clip_index = torch.arange(clips).repeat(2)
    roi = patterns[9] + 0.3 * torch.randn(len(clip_index), CHANNELS, generator=draw)
    context = windowed(clip_index, window * mask[:, :, None], mask)
    return Task(roi, context, torch.eye(3)[label[clip_index]])


def trained_accuracy(build: Callable[[], Head], *, half: str = "any", steps: int = 150) -> float:
    """Share of unseen persons whose largest logit is right, after training on 256 clips; chance is 1/3."""
    torch.manual_seed(0)
    train, test = make_task(256, seed=1, half=half), make_task(200, seed=2, half=half)
    head = build()
    optimiser = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    for _ in range(steps):
        optimiser.zero_grad()
        multilabel_loss(head(train.roi, train.context), train.labels).backward()
        nn.utils.clip_grad_norm_(head.parameters(), 5)
        optimiser.step()
    head.eval()
    with torch.no_grad():
        right = head(test.roi, test.context).argmax(1) == test.labels.argmax(1)
    return float(right.float().mean())
