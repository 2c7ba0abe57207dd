from pathlib import Path

import pytest
import torch

from pipeline.bank.feature_rows import FeatureRows
from pipeline.bank.reader import open_bank
from pipeline.bank.windows.resident import ResidentWindows
from pipeline.bank.windows.streamed import StreamedWindows
from tests.bank.banks import make_rows, write_small_bank

KEYFRAMES = (["a", "empty", "c", "absent", "b", "a"], [905.0, 0.0, 910.0, 1.0, 929.0, 902.0])


@pytest.fixture(scope="module")
def rows() -> dict[str, FeatureRows]:
    seconds = range(900, 930)
    parts = {
        name: make_rows({float(second): (second * seed) % 7 for second in seconds}, channels=8, seed=seed)
        for seed, name in enumerate("abc", 2)
    }
    return {**parts, "empty": make_rows({}, channels=8)}


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_a_small_cache_gives_the_same_bytes(tmp_path: Path, rows: dict[str, FeatureRows], codec: str) -> None:
    bank = open_bank(write_small_bank(tmp_path / "train.zarr", rows, codec=codec))
    whole = ResidentWindows([bank], min_score=0.6)
    film = bank.rows("a", "detections").features.nbytes
    tiny = StreamedWindows([bank], min_score=0.6, cache_bytes=film + 1)
    buffer = torch.full((6, 21, 8), 7.0, dtype=torch.float16)
    for draw in (None, (0, 0), (0, 1)):
        a = whole.gather(whole.slots(*KEYFRAMES, seconds=7, per_second=3, draw=draw))
        b = tiny.gather(tiny.slots(*KEYFRAMES, seconds=7, per_second=3, draw=draw), buffer)
        assert torch.equal(a[0].view(torch.int16), b[0].view(torch.int16))
        assert torch.equal(a[1], b[1])
        assert len(tiny._features.held) <= 2
        assert tiny._features.held_bytes == sum(each.nbytes for each in tiny._features.held.values())


def test_a_film_is_read_once_for_a_batch_and_not_again_while_it_is_kept(
    tmp_path: Path, rows: dict[str, FeatureRows], monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = open_bank(write_small_bank(tmp_path / "train.zarr", rows))
    read: list[str] = []
    column = type(bank).column

    def noted(self, video: str, row_set: str, name: str):
        read.extend([video] if name == "features" else [])
        return column(self, video, row_set, name)

    monkeypatch.setattr(type(bank), "column", noted)
    videos, times = ["a", "b", "a", "b"], [905.0, 905.0, 906.0, 906.0]
    kept = StreamedWindows([bank], min_score=0.5)
    assert read == [], "opening reads no rows"
    for _ in range(2):
        kept.gather(kept.slots(videos, times, seconds=4, per_second=2))
    assert read == ["a", "b"]
    one = StreamedWindows([bank], min_score=0.5, cache_bytes=1)
    slots = one.slots(videos, times, seconds=4, per_second=2)
    read.clear()
    one.gather(slots)
    assert read == ["a", "b"], "films take turns, not windows"


def test_no_more_videos_are_open_than_a_process_may_have_files(
    tmp_path: Path, rows: dict[str, FeatureRows], monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = open_bank(write_small_bank(tmp_path / "train.zarr", rows))
    monkeypatch.setattr("pipeline.bank.held_features.MOST_MAPPED", 2)
    windows = StreamedWindows([bank], min_score=0.5)
    windows.gather(windows.slots(["a", "b", "c"], [905.0, 905.0, 905.0], seconds=4, per_second=2))
    assert list(windows._features.held) == [1, 2]


@pytest.mark.gpu
def test_windows_go_to_a_gpu_through_one_stage(tmp_path: Path, rows: dict[str, FeatureRows]) -> None:
    bank = open_bank(write_small_bank(tmp_path / "train.zarr", rows))
    cpu, gpu = (StreamedWindows([bank], min_score=0.5, device=device) for device in ("cpu", "cuda"))
    slots = cpu.slots(*KEYFRAMES, seconds=6, per_second=3)
    for batch in (slots[:2], slots, slots[:3]):
        for ours, theirs in zip(cpu.gather(batch), gpu.gather(batch), strict=True):
            assert theirs.is_cuda
            assert torch.equal(ours, theirs.cpu())
    assert gpu._stage.is_pinned()
    assert len(gpu._stage) == 6
