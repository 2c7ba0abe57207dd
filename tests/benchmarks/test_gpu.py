"""The benchmark for a GPU says where there is none, and each of its sections runs on the CPU at small sizes."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import gpu, gpu_agreement, gpu_heads, gpu_networks, head_training
from benchmarks.gpu import NOTHING, REPOSITORY, SECTIONS, main
from benchmarks.gpu_networks import NETWORK_COLUMNS, compiled_rows, network_rows
from benchmarks.networks import CASES
from benchmarks.sections import Setup
from pipeline.base.numerics import set_numerics
from pipeline.models.build import BACKBONES
from pipeline.models.detector import Detector
from pipeline.models.heads.table import HEADS
from pipeline.training.batch import Batch


@pytest.fixture(autouse=True)
def _numerics_are_put_back() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    set_numerics(compute_dtype="fp32", deterministic=False, threads=threads)


@pytest.fixture
def tiny(tmp_path: Path) -> Setup:
    return Setup("cpu", True, tmp_path)


def test_without_a_gpu_it_says_so_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    main(out=tmp_path / "gpu.md")
    assert capsys.readouterr().out == f"{NOTHING}\n"
    assert not (tmp_path / "gpu.md").exists()


def test_every_row_of_every_section_is_listed_where_no_time_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gpu.md"
    main(out=out, device="cpu", tiny=True, minutes=0)
    said = capsys.readouterr().out
    assert said.startswith("# CPU, ")
    assert ", tiny sizes\n" in said
    rows = [name for section in SECTIONS.values() for name in section.rows(Setup("cpu", True, tmp_path))]
    assert said.count("| not measured: no time was left |") == len(rows)
    assert all(f"\n## {section.title}\n" in said for section in SECTIONS.values())
    assert out.read_text().split() == said.split()


def test_what_is_measured_on_a_gpu(tmp_path: Path) -> None:
    setup = Setup("cuda", False, tmp_path)
    networks = [name.split(", ") for name in network_rows(setup)]
    measured = {CASES[name].backbone for name, _ in networks}
    elsewhere = ("acar_", "videomae_", "hiera_")  # benchmarks of their own
    assert measured == {name for name in BACKBONES if not name.endswith("_tiny") and not name.startswith(elsewhere)}
    assert [precision for _, precision in networks[:3]] == ["bf16", "tf32", "fp32"]
    assert len(compiled_rows(setup)) == len(networks) / 3
    assert list(SECTIONS["bank"].rows(setup)) == [
        "slowonly_r50_4x16, bf16", "slowfast_r50_8x8, bf16", "slowonly_r50_4x16, fp32", "slowfast_r50_8x8, fp32"
    ]  # fmt: skip
    assert list(SECTIONS["training"].rows(setup)) == ["lfb_nl, 299 films"]
    assert list(SECTIONS["agreement"].rows(setup)) == list(HEADS)
    assert sum(section.seconds for section in SECTIONS.values()) < 8 * 60


def test_a_bank_is_inferred_from_stored_frames(tiny: Setup) -> None:
    first, *_ = SECTIONS["bank"].rows(tiny).values()
    cells = first()
    assert len(cells) == len(SECTIONS["bank"].columns)
    assert cells[0] == "2"
    assert all(re.fullmatch(r"[\d.]+( ms|%)?", cell) for cell in cells)
    parts = [path.name for path in (tiny.folder / "parts").glob("*/*/*")]
    assert set(parts) == {"film_0"}


def test_every_precision_takes_turns_on_the_same_weights(tiny: Setup) -> None:
    found = {name.split(", ")[1]: row() for name, row in network_rows(tiny).items()}
    assert {name: len(cells) for name, cells in found.items()} == dict.fromkeys(
        ("bf16", "tf32", "fp32"), len(NETWORK_COLUMNS)
    )
    assert gpu_networks.network_sides.cache_info().currsize == 1
    assert float(found["fp32"][-1]) < 1e-5 < float(found["bf16"][-1]) < 0.1


def test_the_compiled_side_is_compiled(tiny: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[torch.nn.Module] = []
    monkeypatch.setattr("pipeline.training.speed._check_compiler", lambda device: None)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled.append(self))
    (row,) = compiled_rows(tiny).values()
    assert len(row()) == len(gpu_networks.COMPILED_COLUMNS)
    assert len(compiled) == 1


def test_a_head_is_trained_and_then_scores(tiny: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_training, "apart", lambda function, *arguments: function(*arguments))
    monkeypatch.setenv("DVC_ROOT", str(tiny.folder))
    monkeypatch.chdir(tiny.folder)
    (train,) = SECTIONS["training"].rows(tiny).values()
    cells = train()
    assert len(cells) == len(gpu_heads.TRAINING_COLUMNS)
    assert cells[-1] == "no GPU"
    for row in SECTIONS["scoring"].rows(tiny).values():
        scored = row()
        assert len(scored) == len(gpu_heads.SCORING_COLUMNS)
        assert int(scored[0]) > 50


def test_twenty_epochs_are_computed_from_one() -> None:
    found = {"keyframes": 960, "epochs": [{"all": 20.0, "steps": 10}], "seconds": 50.0, "peak_gpu_mib": 2048.4}
    assert gpu_heads.training_cells(found) == ["960", "20.0 s", "2000.0 ms", "30.0 s", "7.2 min", "2048 MiB"]


def test_a_device_agrees_with_itself_and_not_with_other_weights(tiny: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    for head in ("lfb_nl", "aia_split"):
        assert gpu_agreement.measure_agreement(head, tiny) == ["0.0e+00"] * 3
    true = gpu_agreement.results
    seen: list[Detector] = []

    def moved(model: Detector, batch: Batch) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            for each in model.head.parameters() if seen else ():
                each.mul_(1.001)
        seen.append(model)
        return true(model, batch)

    monkeypatch.setattr(gpu_agreement, "results", moved)
    assert all(1e-5 < float(cell) < 0.1 for cell in gpu_agreement.measure_agreement("linear", tiny))


def test_two_trainings_are_compared_bit_by_bit(tiny: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu_agreement.measure_repeat("lfb_nl", "slowonly_tiny", "bf16", tiny) == ["the same bits"]
    weights = iter([{"a": torch.zeros(2), "b": torch.zeros(1)}, {"a": torch.zeros(2), "b": torch.ones(1)}])
    monkeypatch.setattr(gpu_agreement, "trained", lambda *_: next(weights))
    assert gpu_agreement.measure_repeat("lfb_nl", "slowonly_tiny", "fp32", tiny) == ["1 of 2 tensors differ, first b"]


def test_an_operator_without_a_deterministic_kernel_is_named(tiny: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpool(*_: object) -> None:
        torch.nn.MaxUnpool2d(2)(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2, dtype=torch.int64))

    monkeypatch.setattr(gpu_agreement, "trained", unpool)
    path = tiny.folder / "rows.jsonl"
    monkeypatch.setattr(gpu, "SECTIONS", {"repeats": SECTIONS["repeats"]})
    main(device="cpu", tiny=True, only="repeats", folder=tiny.folder, rows_into=path)
    found = [json.loads(line) for line in path.read_text().splitlines()]
    said = "InputError: deterministic: max_unpooling2d_forward_out has no deterministic kernel on cpu"
    assert {each["failed"] for each in found} == {said}
    assert [each["row"] for each in found] == list(SECTIONS["repeats"].rows(tiny))


def test_the_tests_of_a_gpu_are_those_of_the_files_that_have_one(tiny: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    out = "FAILED tests/models/test_pool.py::test_x - RuntimeError\n1 failed, 8 passed in 3.21s\n"

    def run(command: list[str], **_: object) -> SimpleNamespace:
        asked.extend(command)
        return SimpleNamespace(stdout=out, stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    (row,) = SECTIONS["tests"].rows(tiny).values()
    assert row() == ["1 failed, 8 passed in 3.21s", "test_pool.py::test_x"]
    files = {Path(word).relative_to(REPOSITORY).as_posix() for word in asked if word.endswith(".py")}
    assert "tests/models/test_pool.py" in files
    assert 4 < len(files) < 20


def test_wheels_to_carry_are_packages_of_the_project() -> None:
    locked = {line.split("==")[0] for line in (REPOSITORY / "requirements.lock").read_text().splitlines()}
    names = (REPOSITORY / "benchmarks/gpu-wheels.txt").read_text().split()
    assert len(names) > 10
    assert set(names) <= locked
