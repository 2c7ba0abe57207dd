import pytest
import torch

from pipeline.base import ray_device
from pipeline.base.ray_device import device_here


def test_a_worker_takes_the_device_that_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_here(torch.device("cuda", 3)) == torch.device("cuda", 3)
    monkeypatch.setattr(ray_device, "ray_device", lambda: "cpu")
    assert device_here(torch.device("cuda", 3)) == torch.device("cpu")
