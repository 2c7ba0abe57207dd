import os

import pytest
import torch

from pipeline.base import hardware
from pipeline.base.errors import InputError
from pipeline.base.hardware import Hardware, hardware_of


def test_the_options_become_a_device_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    assert hardware_of("cpu", 0, 8) == Hardware(torch.device("cpu"), 3, 8)
    assert hardware_of("cpu", 5, 1) == Hardware(torch.device("cpu"), 5, 1)
    assert hardware_of("cpu", 5, 1, recompute=True).recompute


def test_only_a_network_on_a_cpu_lets_its_process_keep_freed_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[None] = []
    monkeypatch.setattr(hardware, "keep_freed_blocks", lambda: calls.append(None))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    hardware_of("cuda", 1, 1)
    assert not calls
    hardware_of("cpu", 1, 1)
    assert calls


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="cuda"):
        hardware_of("cuda", 1, 1)
