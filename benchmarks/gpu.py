"""Measure on one GPU what a machine without one cannot show, within eight minutes, and print Markdown tables.

    python -m benchmarks.gpu --out gpu.md              # all sections; where there is no CUDA device it says so and ends
    python -m benchmarks.gpu --only networks,bank      # these alone, with all the time
    python -m benchmarks.gpu --device cpu --tiny       # that nothing is broken: every section, at small sizes

On a machine with Python 3.12, PyTorch for its GPU and no network, the other packages come along as wheels. Where there
is a network, on the same kind of processor, beside the repository:

    pip wheel --no-deps --wheel-dir wheels antlr4-python3-runtime==4.9.3    # has no wheel of its own
    pip download --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \\
        --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \\
        --find-links wheels --dest wheels --constraint requirements.lock --requirement benchmarks/gpu-wheels.txt

On the machine with the GPU, in the repository, with the folder `wheels` in it:

    python -m pip install --no-index --no-deps --find-links wheels --target site --requirement benchmarks/gpu-wheels.txt
    PYTHONPATH="$PWD/site" python -m benchmarks.gpu --out gpu.md

`benchmarks/gpu-wheels.txt` names what PyTorch, torchvision, PyArrow, Typer and pytest do not bring: 50 MB, of which 35
are PyAV, which only the section `tests` needs. What the machine has already may be left out.

`benchmarks/gpu_networks.py`, `gpu_bank.py`, `gpu_heads.py` and `gpu_agreement.py` say what each section measures. A
section has a process and a share of the time of its own (`benchmarks/sections.py`). Sides that are compared take turns,
the GPU is waited for before and after each, and a ratio is the median of the turns' ratios.
"""

import os
import re
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks import gpu_agreement, gpu_bank, gpu_heads, gpu_networks
from benchmarks.models import chosen
from benchmarks.sections import Row, Section, Setup, last_line, measure_rows, run_sections

REPOSITORY = Path(__file__).resolve().parent.parent
NOTHING = "gpu: no CUDA device here, nothing was measured; --device cpu --tiny tries every section on the CPU"


def measure_tests(setup: Setup) -> list[str]:
    """The tests that need a GPU, from the files that have one, so that no other file's imports are asked for."""
    mark = "@pytest.mark.gpu\n"
    files = [str(path) for path in sorted((REPOSITORY / "tests").rglob("test_*.py")) if mark in path.read_text()]
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-n", "0", "--tb=line", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, *files], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    failed = re.findall(r"^(?:FAILED|ERROR) \S*?(\w+\.py\S*)", done.stdout, re.MULTILINE)
    return [last_line(done.stdout or done.stderr), ", ".join(failed) or "none"]


def test_rows(setup: Setup) -> dict[str, Row]:
    return {"pytest -m gpu": lambda: measure_tests(setup)}


SECTIONS = {
    "networks": Section(
        "Networks: ours against plain PyTorch in the same precision (at most 1.0)",
        gpu_networks.NETWORK_COLUMNS, 140, gpu_networks.network_rows,
        "8 clips of 256 x 256 with 2 persons each. Columns of ours are ratios to the plain side.",
    ),
    "bank": Section(
        "Bank inference, from stored frames to the rows of a part", gpu_bank.COLUMNS, 75, gpu_bank.bank_rows,
        "2 films of 60 s, 340 x 256, a clip a second with 2 persons; 8 clips a forward pass, reading in 2 threads.",
    ),
    "training": Section(
        "Head training at AVA's size, from a bank in the GPU's memory",
        gpu_heads.TRAINING_COLUMNS, 80, gpu_heads.training_rows,
        "One epoch is measured; 20 are computed as all else and 20 times that epoch. The clocks wait for the GPU.",
    ),
    "scoring": Section(
        "Scoring AVA's val split with the head just trained", gpu_heads.SCORING_COLUMNS, 20, gpu_heads.scoring_rows_of
    ),
    "agreement": Section(
        "CUDA against CPU, fp32, the same weights", gpu_agreement.AGREEMENT_COLUMNS, 40, gpu_agreement.agreement_rows,
        "Largest differences, as shares of the largest value.",
    ),
    "repeats": Section(
        "Deterministic training, twice", gpu_agreement.REPEAT_COLUMNS, 25, gpu_agreement.repeat_rows
    ),
    "compiled": Section(
        "Networks: ours compiled, channels last, against plain PyTorch",
        gpu_networks.COMPILED_COLUMNS, 50, gpu_networks.compiled_rows,
    ),
    "tests": Section("The tests that need a GPU", ("summary", "failed"), 35, test_rows),
}  # fmt: skip


def place_of(device: str) -> str:
    """The card or the processor, and the versions that timings depend on."""
    if device == "cpu":
        return f"CPU, {os.cpu_count()} cores, PyTorch {torch.__version__}"
    versions = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    return f"{torch.cuda.get_device_name(device)}, PyTorch {torch.__version__}, {versions}"


def main(
    out: Annotated[Path | None, typer.Option(help="Also write the tables into this file.")] = None,
    only: Annotated[str, typer.Option(help="Sections, separated by commas.")] = ",".join(SECTIONS),
    minutes: Annotated[float, typer.Option(min=0, help="For all sections together, besides the start.")] = 7.7,
    device: Annotated[str, typer.Option(help="cuda, cuda:N or cpu.")] = "cuda",
    tiny: Annotated[bool, typer.Option("--tiny", help="Small sizes, whose timings mean nothing.")] = False,
    folder: Annotated[Path | None, typer.Option(help="For films and banks (4 GB); a temporary one otherwise.")] = None,
    rows_into: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Measure all sections and print their tables."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        print(NOTHING)
        return
    sections = {name: SECTIONS[name] for name in chosen(only, SECTIONS, "--only")}
    with nullcontext(str(folder)) if folder else tempfile.TemporaryDirectory() as place:
        setup = Setup(device, tiny, Path(place).resolve())
        setup.folder.mkdir(parents=True, exist_ok=True)
        if rows_into:
            (section,) = sections.values()
            measure_rows(section.rows(setup), rows_into)
            return
        title = f"# {place_of(device)}{', tiny sizes' if tiny else ''}"
        print(title, flush=True)

        def command(name: str, results: Path) -> list[str]:
            words = [sys.executable, "-m", "benchmarks.gpu", "--only", name, "--device", device]
            return [*words, *["--tiny"] * tiny, "--folder", str(setup.folder), "--rows-into", str(results)]

        def keep(texts: list[str]) -> None:
            if out:
                out.write_text("\n\n".join([title, *texts]) + "\n")

        run_sections(sections, command, setup, seconds=60 * minutes, keep=keep)


if __name__ == "__main__":
    typer.run(main)
