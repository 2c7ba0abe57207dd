"""One sum of everything that the ranks of a step tell each other; other ranks' messages are made here."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from pipeline.training import gradients
from pipeline.training.gradients import divide_gradients, sum_step

CPU = torch.device("cpu")
After = tuple[list[nn.Parameter], list[Tensor], float]  # gradients, others, loss
SHAPES = [(2, 3), (4,), (1,)]


def parameters_with(grads: Sequence[float | None]) -> list[nn.Parameter]:
    """Parameters of `SHAPES`, whose gradients hold these numbers."""
    made = [nn.Parameter(torch.zeros(shape)) for shape in SHAPES]
    for parameter, value in zip(made, grads, strict=True):
        parameter.grad = None if value is None else torch.full_like(parameter, value)
    return made


def together(
    monkeypatch: pytest.MonkeyPatch, *ranks: Sequence[float | None]
) -> list[tuple[list[nn.Parameter], list[Tensor], float]]:
    """What each rank has after the step; rank n brings the number n + 1 beside its gradients, and the loss 10 n."""
    sent: list[Tensor] = []

    def step(number: int) -> After:
        mine = parameters_with(ranks[number])
        others, loss = sum_step(mine, [torch.full((2, 2), number + 1.0)], 10.0 * number, CPU)
        return mine, others, loss

    def note(message: Tensor) -> Tensor:
        sent.append(message.clone())
        return message

    monkeypatch.setattr(gradients, "world_size", lambda: len(ranks))
    monkeypatch.setattr(gradients, "sum_over_ranks", note)
    for number in range(len(ranks)):
        step(number)
    total = torch.stack(sent).sum(dim=0)
    monkeypatch.setattr(gradients, "sum_over_ranks", lambda message: total.clone())
    return [step(number) for number in range(len(ranks))]


def test_gradients_and_the_rest_are_sums_on_every_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    for mine, others, loss in together(monkeypatch, (1.0, 2.0, None), (0.5, None, None), (0.25, 4.0, None)):
        assert torch.equal(mine[0].grad, torch.full((2, 3), 1.75))  # type: ignore[arg-type]
        assert torch.equal(mine[1].grad, torch.full((4,), 6.0)), "a rank without a gradient takes the others'"  # type: ignore[arg-type]
        assert mine[2].grad is None, "no rank has one: weight decay must not move it"
        assert [each.tolist() for each in others] == [[[6.0, 6.0], [6.0, 6.0]]]
        assert loss == 30.0


def test_alone_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradients, "sum_over_ranks", lambda _: pytest.fail("sent"))
    mine, other = parameters_with((1.0, None, None)), torch.ones(2)
    (same,), loss = sum_step(mine, [other], 0.5, CPU)
    assert same is other
    assert loss == 0.5
    assert mine[1].grad is None


def test_sums_over_parts_become_means() -> None:
    mine = parameters_with((6.0, None, 3.0))
    divide_gradients(mine, 3)
    assert [None if each.grad is None else each.grad.unique().tolist() for each in mine] == [[2.0], None, [1.0]]
    divide_gradients(mine, 1)
    assert mine[0].grad is not None
    assert mine[0].grad.unique().tolist() == [2.0]
