import inspect
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.bank.reader import Bank, open_bank
from pipeline.bank.windows import resident
from pipeline.bank.windows.resident import ResidentWindows
from pipeline.bank.windows.seconds import index_rows
from pipeline.bank.windows.streamed import StreamedWindows
from pipeline.base.work import list_items, remove_item
from pipeline.features.windows import WindowOptions, WindowSource, open_windows
from tests.bank.banks import make_rows, write_small_bank
from tests.windows import window_of

CPU = torch.device("cpu")
VIDEOS, TIMES = ["a", "absent", "b"], np.array([905.0, 905.0, 903.0])
CLIPS = torch.tensor([0, 0, 2, 2, 2])
"Nobody is in the second of the three keyframes."


@pytest.fixture
def bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bank:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    seconds = range(900, 910)
    parts = {name: make_rows({float(second): 5 for second in seconds}, seed=seed) for seed, name in enumerate("ab")}
    return open_bank(write_small_bank(tmp_path / "train.zarr", parts))


def test_a_draw_is_shared_by_a_keyframe_or_is_each_persons_own(bank: Bank) -> None:
    windows = ResidentWindows([bank], min_score=0.5)
    shared = WindowSource(windows, window_of(4, 2)).for_training(seed=7)(3)(VIDEOS, TIMES, CLIPS)
    slots = windows.slots(VIDEOS, TIMES, seconds=4, per_second=2, draw=(7, 3))
    assert torch.equal(shared.rows, windows.gather(slots)[0])
    assert torch.equal(shared.mask, slots != 0)
    assert shared.owner is CLIPS
    own = WindowSource(windows, window_of(4, 2, draw="roi")).for_training(seed=7)(3)(VIDEOS, TIMES, CLIPS)
    slots = windows.slots(VIDEOS, TIMES, seconds=4, per_second=2, draw=(7, 3), persons=np.array([2, 0, 3]))
    assert torch.equal(own.rows, windows.gather(slots)[0])
    assert torch.equal(own.mask, slots != 0)
    assert own.owner.tolist() == [0, 1, 2, 3, 4]
    assert len({each.numpy().tobytes() for each in own.rows}) == 5
    nobody = WindowSource(windows, window_of(4, 2, draw="roi")).for_training(seed=7)(3)(VIDEOS, TIMES, CLIPS[:0])
    assert [tuple(each.shape) for each in (nobody.rows, nobody.mask, nobody.owner)] == [
        (0, 8, 4),
        (0, 8),
        (0,),
    ]


@pytest.mark.parametrize("draw", ["keyframe", "roi"])
def test_evaluation_takes_one_window_for_a_keyframe_by_score(bank: Bank, draw) -> None:
    windows = ResidentWindows([bank], min_score=0.5)
    source = WindowSource(windows, window_of(3, 2, span="past", exclude_keyframe=True, draw=draw))
    window = source.for_evaluation()(VIDEOS, TIMES, CLIPS)
    slots = windows.slots(VIDEOS, TIMES, seconds=3, per_second=2, span="past", exclude_keyframe=True)
    assert torch.equal(window.rows, windows.gather(slots)[0])
    assert window.owner is CLIPS
    assert window.mask.tolist() == [[True] * 4 + [False] * 2, [False] * 6, [True] * 4 + [False] * 2]


def test_windows_of_one_tensor_are_not_copied(bank: Bank) -> None:
    windows = ResidentWindows([bank], min_score=0.5)
    made = WindowSource(windows, window_of(4, 2)).for_evaluation()(VIDEOS, TIMES, CLIPS)
    streamed = WindowSource(StreamedWindows([bank], min_score=0.5), window_of(4, 2)).for_evaluation()
    assert made.stored is windows.features
    copied = streamed(VIDEOS, TIMES, CLIPS)
    assert copied.slots is None
    assert torch.equal(made.whole(torch.float32), copied.whole(torch.float32))


def test_streamed_windows_are_made_in_one_buffer_that_grows(bank: Bank) -> None:
    made = WindowSource(StreamedWindows([bank], min_score=0.5), window_of(4, 2)).for_evaluation()
    first = made(VIDEOS[:2], TIMES[:2], CLIPS[:2]).stored
    smaller = made(VIDEOS[2:], TIMES[2:], CLIPS[:2]).stored
    assert smaller.data_ptr() == first.data_ptr()
    assert torch.equal(first[0], smaller[0]), "overwritten"
    larger = made(VIDEOS, TIMES, CLIPS).stored
    assert larger.data_ptr() != first.data_ptr()
    again = made(VIDEOS[:2], TIMES[:2], CLIPS[:2]).stored
    assert again.data_ptr() == larger.data_ptr()


def test_rows_of_a_machine_lie_in_one_item_of_the_work_directory(bank: Bank) -> None:
    made = [
        open_windows([bank], min_score=score, device=CPU, options=WindowOptions("resident", 1))
        for score in (0.6, 0.6, 0.7)
    ]
    items = list_items()
    assert [stage for stage, *_ in items] == ["windows"] * 2
    sizes = {int(each.features.numel()) * 2 for each in made if isinstance(each, ResidentWindows)}
    assert {size // 100 for _, _, size, _ in items} == {(size + 126) // 100 for size in sizes}
    for stage, key, *_ in items:
        remove_item(stage, key)
    assert list_items() == []
    slots = made[0].slots(["a"], [905.0], seconds=2, per_second=2)
    assert made[0].gather(slots)[1].any(), "who has mapped it keeps it"


def test_two_at_once_make_it_once(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    make: Callable[..., Any] = index_rows
    writes: list[str] = []

    def noted(bank: Bank, video: str, min_score: float) -> Any:
        writes.extend([video] if inspect.stack()[1].function == "make" else [])
        return make(bank, video, min_score)

    monkeypatch.setattr(resident, "index_rows", noted)
    made: list[torch.Tensor] = []
    start = threading.Barrier(3)

    def work() -> None:
        start.wait()
        windows = open_windows([bank], min_score=0.5, device=CPU, options=WindowOptions("resident", 1))
        assert isinstance(windows, ResidentWindows)
        made.append(windows.features)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(writes) == ["a", "b"]
    assert len(made) == 3
    assert all(torch.equal(each, made[0]) for each in made)


def test_streamed_windows_keep_so_many_mebibytes_and_leave_no_file(bank: Bank) -> None:
    windows = open_windows([bank], min_score=0.5, device=CPU, options=WindowOptions("streamed", 3))
    assert isinstance(windows, StreamedWindows)
    assert windows._features.most_bytes == 3 * 2**20
    assert list_items() == []


@pytest.mark.gpu
@pytest.mark.parametrize("mode", ["resident", "streamed"])
def test_a_gpu_has_its_own_copy_and_no_file(bank: Bank, mode: str) -> None:
    cuda = torch.device("cuda")
    ours, theirs = (
        WindowSource(
            open_windows([bank], min_score=0.5, device=device, options=WindowOptions(mode, 1)),
            window_of(4, 2, draw="roi"),
        )
        for device in (CPU, cuda)
    )
    for item in list_items():
        remove_item(*item[:2])
    for epoch in (0, 1):
        one, other = (source.for_training(1)(epoch)(VIDEOS, TIMES, CLIPS) for source in (ours, theirs))
        assert other.rows.is_cuda
        assert all(torch.equal(getattr(one, each), getattr(other, each).cpu()) for each in ("rows", "mask", "owner"))
    assert list_items() == []
