import re
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.bank.reader import open_bank
from pipeline.bank.windows.resident import ResidentWindows, resident_file
from pipeline.base.errors import InputError
from tests.bank.banks import make_rows, write_small_bank


@pytest.fixture
def path(tmp_path: Path) -> Path:
    parts = {name: make_rows({900.0: 5, 901.0: 3}, channels=8, seed=seed) for seed, name in enumerate("ab")}
    return write_small_bank(tmp_path / "train.zarr", {**parts, "empty": make_rows({}, channels=8)})


@pytest.fixture(autouse=True)
def _in_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def test_a_mapped_file_gives_the_same_bytes(path: Path) -> None:
    bank = open_bank(path)
    file = resident_file([bank], min_score=0.6)
    written = file.stat().st_mtime_ns
    assert resident_file([bank], min_score=0.6) == file
    assert file.stat().st_mtime_ns == written
    assert resident_file([bank], min_score=0.7) != file
    mapped, resident = (ResidentWindows([bank], min_score=0.6, file=each) for each in (file, None))
    assert torch.equal(mapped.features, resident.features)
    mapped.features[0] = 1  # a private mapping
    assert not any(file.read_bytes()[:16])
    message = f"{file}: has {file.stat().st_size} bytes, these banks need "
    with pytest.raises(InputError, match="^" + re.escape(message)):
        ResidentWindows([bank], min_score=0.8, file=file)


def test_the_rows_of_a_file_are_mapped_and_not_read_into_memory(tmp_path: Path) -> None:
    rows = make_rows({float(second): 2 for second in range(2000)}, channels=256)
    bank = open_bank(write_small_bank(tmp_path / "train.zarr", {"a": rows}))
    file = resident_file([bank], min_score=0.5)
    windows = ResidentWindows([bank], min_score=0.5, file=file)
    assert file.stat().st_size == 4001 * 512
    (mapping,) = (line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(str(file)))
    first, last = (int(address, 16) for address in mapping.split()[0].split("-"))
    assert first <= windows.features.data_ptr() < last


@pytest.mark.gpu
def test_a_gpu_gives_the_same_windows(path: Path) -> None:
    bank = open_bank(path)
    cpu = ResidentWindows([bank], min_score=0.5)
    slots = cpu.slots(["a", "absent"], [900.0, 905.0], seconds=6, per_second=3)
    for file in (None, resident_file([bank], min_score=0.5)):
        gpu = ResidentWindows([bank], min_score=0.5, device="cuda", file=file)
        window, mask = gpu.gather(slots)
        buffer = torch.empty_like(window)
        for ours, theirs in zip(cpu.gather(slots), gpu.gather(slots, buffer), strict=True):
            assert torch.equal(ours, theirs.cpu())
        assert mask.is_cuda
    assert np.isfinite(window.cpu().numpy()).all()
