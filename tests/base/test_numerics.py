import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.base.numerics import compute_precision, pick_device, set_numerics


def test_unknown_devices_are_refused() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda")
    with pytest.raises(InputError, match="device 'gpu': expected cpu, cuda, cuda:N or auto"):
        pick_device("gpu")
    with pytest.raises(InputError, match="device 'cuda:99': this machine has"):
        pick_device("cuda:99")


def test_each_process_of_a_stage_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"TORCHELASTIC_RUN_ID": "x", "LOCAL_RANK": "2", "LOCAL_WORLD_SIZE": "3"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert pick_device("cuda") == torch.device("cuda:2") == chosen[0]
    assert pick_device("cpu") == torch.device("cpu")
    with pytest.raises(
        InputError, match=r"^device 'cuda:1': several processes take a GPU each; expected cuda, cpu or auto$"
    ):
        pick_device("cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match=r"^device 'cuda': 3 processes on a machine with 2 CUDA devices$"):
        pick_device("cuda")


def test_the_switches_follow_the_parameters() -> None:
    threads = torch.get_num_threads()
    try:
        set_numerics(compute_dtype="tf32", deterministic=True, threads=1)
        assert torch.backends.cudnn.allow_tf32 is True
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.get_num_threads() == 1
    finally:
        set_numerics(compute_dtype="fp32", deterministic=False, threads=threads)
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == (False, False)


@pytest.mark.parametrize(
    ("name", "dtype"), [("fp32", torch.float32), ("tf32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_the_forward_pass_runs_in_the_asked_type(name: str, dtype: torch.dtype) -> None:
    with compute_precision(torch.device("cpu"), name):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
