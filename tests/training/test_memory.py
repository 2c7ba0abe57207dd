"""The asynchronous memory: what it holds after steps, and what a window of it is."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.features.windows import WindowSource
from pipeline.training.memory import Held, Memory
from pipeline.training.settings import MemoryWeight
from tests.windows import window_of

# Film, timestamp and boxes of the keyframes; the last two are of one second.
KEYFRAMES = [("a", 3.0, 2), ("a", 4.0, 4), ("a", 9.0, 1), ("b", 4.0, 2), ("b", 7.0, 1), ("b", 7.5, 3)]


def memory_of(by: str = "loss", *, half_life: float = 1.0, steps_per_pass: int = 4, channels: int = 3) -> Memory:
    films, times, boxes = zip(*KEYFRAMES, strict=True)
    weight = MemoryWeight.model_validate({"by": by, "half_life": half_life})
    return Memory(films, times, np.array(boxes), channels=channels, weight=weight, steps_per_pass=steps_per_pass)


def rows_of(count: int, value: float, channels: int = 3) -> Tensor:
    """Rows with different numbers, so that their order shows: value, value + 0.125, ..."""
    return (value + torch.arange(count)[:, None] / 8).expand(count, channels).clone()


def step(memory: Memory, loss: float, *parts: dict[int, Tensor]) -> None:
    """One optimiser step: each part has rows for some keyframes."""
    for part in parts:
        counts = torch.tensor([len(rows) for rows in part.values()])
        memory.keep(torch.tensor([*part]), torch.repeat_interleave(counts), torch.cat([*part.values()]))
    memory.after_step(loss)


def read(memory: Memory, film: str, at: float, *, epoch: int | None = None, seconds: int = 5, k: int = 2) -> Tensor:
    """The first channel of a window, [seconds, k]."""
    source = WindowSource(memory, window_of(seconds, k))
    make = source.for_evaluation() if epoch is None else source.for_training(7)(epoch)
    window = make([film], np.array([at]), torch.zeros(1, dtype=torch.int64))
    assert torch.equal(window.mask[0], window.rows[0].abs().sum(dim=1) > 0)
    return window.rows[0, :, 0].reshape(seconds, k)


def test_before_the_first_step_every_window_is_empty() -> None:
    memory = memory_of()
    assert read(memory, "a", 4.0).abs().sum() == 0
    assert read(memory, "unknown", 4.0).abs().sum() == 0
    assert memory.held("a", 4) is None


def test_a_step_replaces_what_its_seconds_held_and_tags_it() -> None:
    memory = memory_of("none")
    step(memory, 8.0, {1: rows_of(3, 1.0), 0: rows_of(2, 2.0)})
    assert read(memory, "a", 4.0).tolist() == [[0, 0], [2, 2.125], [1, 1.125], [0, 0], [0, 0]]
    step(memory, 6.0, {1: rows_of(1, 5.0), 3: rows_of(2, 9.0)})
    assert read(memory, "a", 4.0).tolist() == [[0, 0], [2, 2.125], [5, 0], [0, 0], [0, 0]]
    assert read(memory, "b", 4.0)[2].tolist() == [9, 9.125]
    assert [memory.held("a", second) for second in (3, 4, 9)] == [Held(1, 2, 8.0), Held(3, 1, 6.0), None]


def test_a_clip_without_persons_empties_its_second() -> None:
    memory = memory_of("none")
    step(memory, 8.0, {1: rows_of(3, 1.0)})
    step(memory, 5.0, {1: rows_of(0, 0.0)})
    assert read(memory, "a", 4.0).abs().sum() == 0
    assert memory.held("a", 4) == Held(3, 0, 5.0)


def test_parts_of_a_step_read_what_the_steps_before_have_left() -> None:
    memory = memory_of("none")
    step(memory, 1.0, {1: rows_of(1, 1.0)})
    memory.keep(torch.tensor([1]), torch.zeros(1, dtype=torch.int64), rows_of(1, 2.0))
    assert read(memory, "a", 3.0)[3].tolist() == [1, 0], "the second part"
    memory.after_step(1.0)
    assert read(memory, "a", 3.0)[3].tolist() == [2, 0]


def test_of_keyframes_in_one_second_the_last_part_stays() -> None:
    memory = memory_of("none")
    step(memory, 1.0, {5: rows_of(3, 1.0)}, {4: rows_of(1, 2.0)})
    assert read(memory, "b", 7.0)[2].tolist() == [2, 0]
    step(memory, 1.0, {4: rows_of(1, 3.0), 5: rows_of(2, 4.0)})
    assert read(memory, "b", 7.5)[2].tolist() == [4, 4.125]


def test_rows_count_by_the_losses_as_published() -> None:
    memory = memory_of("loss")
    step(memory, 8.0, {0: rows_of(1, 1.0)})
    assert read(memory, "a", 4.0)[1, 0] == 1.0, "what the last step wrote counts whole"
    step(memory, 6.0, {2: rows_of(1, 1.0)})
    assert read(memory, "a", 4.0)[1, 0] == 0.75
    step(memory, 10.0, {2: rows_of(1, 1.0)})
    assert read(memory, "a", 4.0)[1, 0] == pytest.approx(0.8), "a loss that was lower counts as little"


@pytest.mark.parametrize(("tag", "now", "factor"), [(0, 0, 1), (0, 2, 0), (2, 0, 0), (2, 2, 1)])
def test_a_loss_of_0_divides_nothing(tag: float, now: float, factor: float) -> None:
    memory = memory_of("loss")
    step(memory, tag, {0: rows_of(1, 3.0)})
    step(memory, now, {2: rows_of(1, 1.0)})
    assert memory.factors(torch.tensor([1])).tolist() == [factor]
    assert memory.gather(torch.tensor([[1, 0]]))[0][0, :, 0].tolist() == [3.0 * factor, 0.0]


def test_rows_count_by_their_age_in_passes() -> None:
    memory = memory_of("age", half_life=0.5, steps_per_pass=4)  # half as much every two steps
    step(memory, 1.0, {0: rows_of(1, 1.0)})
    found = []
    for _ in range(5):
        found.append(read(memory, "a", 4.0)[1, 0].item())
        step(memory, 1.0, {2: rows_of(1, 1.0)})
    assert found == pytest.approx([1, 0.5**0.5, 0.5, 0.5**1.5, 0.25])
    step(memory, 1.0, {0: rows_of(1, 1.0)})
    assert read(memory, "a", 4.0)[1, 0] == 1.0


def test_ages_of_shuffled_keyframes_are_those_of_the_page() -> None:
    random = np.random.default_rng(0)
    now, before = (np.argsort(random.random((400, 200)), axis=1) / 200 for _ in range(2))  # places in two epochs
    reader = now[:, :1]
    ages = np.where(now < reader, reader - now, reader + 1 - before)[:, 1:]
    assert ages.mean() == pytest.approx(0.58, abs=0.02)
    assert ages.max() < 2
    assert (0.5**ages).mean() == pytest.approx(0.69, abs=0.02)


def test_crowded_seconds_are_drawn_by_seed_epoch_film_and_time() -> None:
    memory = memory_of("none")
    step(memory, 1.0, {1: rows_of(4, 1.0), 5: rows_of(3, 1.0)})
    drawn = [read(memory, "a", 4.0, epoch=epoch)[2].tolist() for epoch in range(40)]
    assert drawn[0] == read(memory, "a", 4.0, epoch=0)[2].tolist()
    assert {tuple(each) for each in drawn} == {(1 + i / 8, 1 + j / 8) for i in range(4) for j in range(i + 1, 4)}, (
        "every pair comes up"
    )
    assert drawn != [read(memory, "a", 5.0, epoch=epoch)[1].tolist() for epoch in range(40)]


def test_more_rows_than_a_keyframe_has_boxes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^a keyframe has 3 rows, and room for 2$"):
        step(memory_of(), 1.0, {0: rows_of(3, 1.0)})


def test_what_is_saved_restores_everything() -> None:
    memory, other = memory_of("loss"), memory_of("loss")
    step(memory, 8.0, {1: rows_of(3, 1.0), 0: rows_of(2, 2.0)})
    step(memory, 6.0, {3: rows_of(1, 5.0)})
    other.load_state_dict({name: value.clone() for name, value in memory.state_dict().items()})
    for each in (memory, other):
        step(each, 7.0, {4: rows_of(1, 2.0)})
    for name, value in memory.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    assert torch.equal(read(memory, "a", 4.0, epoch=1), read(other, "a", 4.0, epoch=1))


@dataclass
class Pool:
    """The same by dictionaries, one second at a time."""

    now: float = 0.0
    seconds: dict[tuple[str, int], tuple[list[list[float]], float]] = field(default_factory=dict)

    def read(self, film: str, at: float, before: int, after: int, k: int) -> list[list[float]]:
        rows: list[list[float]] = []
        for second in range(int(at) - before, int(at) + after + 1):
            stored, tag = self.seconds.get((film, second), ([], 1.0))
            factor = min(tag, self.now) / max(tag, self.now)
            found = [[factor * value for value in row] for row in stored[:k]]
            rows += [*found, *[[0.0, 0.0]] * (k - len(found))]
        return rows


def test_any_history_gives_what_dictionaries_would() -> None:
    random = np.random.RandomState(0)
    keyframes: list[Any] = [(film, float(at), int(random.randint(0, 4))) for film in "abc" for at in range(0, 20, 2)]
    films, times, boxes = zip(*keyframes, strict=True)
    weight = MemoryWeight(by="loss", half_life=1.0)
    memory, pool = Memory(films, times, np.array(boxes), channels=2, weight=weight), Pool()
    source = WindowSource(memory, window_of(7, 4))
    for number in range(25):
        chosen = random.permutation(len(keyframes))[:5]
        if number:
            window = source.for_training(0)(0)(
                [films[each] for each in chosen], np.array([times[each] for each in chosen]), torch.arange(5)
            )
            expected = [pool.read(films[each], times[each], 3, 3, 4) for each in chosen]
            torch.testing.assert_close(window.rows, torch.tensor(np.array(expected, np.float32)), rtol=1e-6, atol=0)
        loss = float(random.randint(1, 9))
        rows = {
            int(each): torch.from_numpy(random.standard_normal((random.randint(0, boxes[each] + 1), 2))).float()
            for each in chosen
        }
        step(memory, loss, dict(list(rows.items())[:2]), dict(list(rows.items())[2:]))
        pool.now = loss
        for each, found in rows.items():
            pool.seconds[films[each], int(times[each])] = (found.tolist(), loss)
