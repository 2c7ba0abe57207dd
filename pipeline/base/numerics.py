"""Numerics of a run: precision, determinism, threads and the device."""

import contextlib
import os
from collections.abc import Iterator

import torch

from pipeline.base.errors import InputError
from pipeline.base.ranks import is_rank, local_rank, local_world_size


def pick_device(name: str) -> torch.device:
    """Return the device called `name`; `auto` takes a GPU if there is one.

    Several processes of a stage (`pipeline.base.ranks`) take one GPU each, by their local rank.

    Raises:
        InputError: no such device here, or not one for each process.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"device {name!r}: expected cpu, cuda, cuda:N or auto") from None
    if device.type != "cuda":
        return device
    count = torch.cuda.device_count()
    if not is_rank():
        if (device.index or 0) >= count:
            raise InputError(f"device {name!r}: this machine has {count} CUDA devices")
        return device
    if ":" in name:
        raise InputError(f"device {name!r}: several processes take a GPU each; expected cuda, cpu or auto")
    if local_world_size() > count:
        raise InputError(f"device {name!r}: {local_world_size()} processes on a machine with {count} CUDA devices")
    device = torch.device("cuda", local_rank())
    torch.cuda.set_device(device)
    return device


def set_numerics(*, compute_dtype: str, deterministic: bool, threads: int | None) -> None:
    """Set the process-wide switches of PyTorch.

    Args:
        compute_dtype: fp32 (TF32 off), tf32 or bf16.
        deterministic: use deterministic kernels only; PyTorch raises an error for an operator that has none.
        threads: CPU threads for arithmetic; None leaves the number unchanged.
    """
    tf32 = compute_dtype == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = False
    if deterministic:
        # cuBLAS reads this when its first handle is made.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # This call imports PyTorch's compiler, which takes a second.
    if deterministic != torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(deterministic)
    if threads is not None:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def compute_precision(device: torch.device, compute_dtype: str) -> Iterator[None]:
    """Run the forward pass in bf16 if `compute_dtype` is bf16; fp32 and tf32 need no context."""
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=compute_dtype == "bf16"):
        yield


@contextlib.contextmanager
def named_nondeterminism(device: torch.device) -> Iterator[None]:
    """Turn PyTorch's error for an operator without a deterministic kernel into a one-line message.

    Raises:
        InputError: an operator has no deterministic kernel.
    """
    try:
        yield
    except RuntimeError as error:
        operator, found, _ = str(error).partition(" does not have a deterministic implementation")
        if not found:
            raise
        raise InputError(f"deterministic: {operator} has no deterministic kernel on {device.type}") from None
