import re

import pytest
import torch
import typer

from benchmarks import models
from benchmarks.measuring import apart
from benchmarks.networks import CASES, HEADS, VARIANTS, Settings, sides_of
from pipeline.models.build import BACKBONES

SMALL = Settings(size=32, persons=2, repeats=1, width=8)
NUMBER = r"[\d.e+-]+"
RATIO = rf"{NUMBER} \({NUMBER}-{NUMBER}\)"


def test_every_backbone_is_measured() -> None:
    elsewhere = ("acar_", "videomae_", "hiera_")  # benchmarks of their own
    assert {case.backbone for case in CASES.values()} == {name for name in BACKBONES if not name.startswith(elsewhere)}


@pytest.mark.parametrize(
    ("kind", "name"), [*(("network", name) for name in CASES), *(("head", name) for name in HEADS)]
)
def test_both_sides_are_one_network_with_equal_gradients_and_statistics(kind: str, name: str) -> None:
    settings = Settings(size=32, persons=2, width=8, dtype=torch.float64)
    found = []
    for number in range(2):
        side = list(sides_of(kind, name, settings).values())[number]
        logits = side.infer()
        loss = side.step()
        # Logits once more: after the step they depend on what the batch norms took from it.
        found.append([logits, loss, *(each.grad for each in side.parameters), side.infer()])
    assert logits.std() > 0
    assert all(each is not None and each.any() for each in found[1][:2])
    for plain, ours in zip(*found, strict=True):
        assert plain is not None
        assert ours is not None
        assert torch.allclose(ours, plain, rtol=1e-7, atol=1e-9 * plain.abs().max().item() + 1e-14)


@pytest.mark.parametrize("variant", ["bf16", "channels_last_3d"])
def test_a_variant_changes_one_side_alone(variant: str) -> None:
    default, changed = sides_of(variant, "slowonly_tiny", SMALL).values()
    difference = ((default.infer() - changed.infer()).abs().max() / default.infer().abs().max()).item()
    assert (1e-4 < difference < 0.1) if variant == "bf16" else difference < 1e-4
    kernels = [
        next(each for each in side.parameters if each.dim() == 5 and each.shape[1] > 1) for side in (default, changed)
    ]
    last = [kernel.is_contiguous(memory_format=torch.channels_last_3d) for kernel in kernels]
    assert last == [False, variant == "channels_last_3d"]


def test_the_tables(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(models, "apart", lambda function, *arguments: function(*arguments))
    models.measure(
        only="slowonly_tiny", heads="lfb_nl", variants="bf16", variants_of="slowonly_tiny", device="cpu", size=32,
        repeats=1, width=8,
    )  # fmt: skip
    said = capsys.readouterr().out
    assert said.startswith("1 CPU thread(s), PyTorch ")
    for title in ("slowonly_tiny", "slowonly_tiny, bf16", HEADS["lfb_nl"]):
        line = rf"\| {title} \| {NUMBER} M \| {NUMBER} s \| {RATIO} \| {NUMBER} s \| {RATIO} \| \d+ MiB \| {NUMBER} \|"
        assert re.search(line, said), said


def test_memory_is_that_of_a_process_of_its_own() -> None:
    ballast = torch.ones(64 * 2**20)
    assert 50 < apart(models.step_peak_mib, "network", "slowonly_tiny", 1, SMALL) < 2**14
    assert ballast.all()


def test_sides_that_do_not_agree_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def unlike(*_: object) -> object:
        sides = sides_of("network", "slowonly_tiny", SMALL)
        sides["ours"].forward = lambda training: sides["plain"].forward(training) * 1.01
        return sides

    monkeypatch.setattr(models, "sides_of", unlike)
    with pytest.raises(AssertionError, match=r"^slowonly_tiny: logits differ by 0\.01 of the largest one$"):
        models.compare("network", "slowonly_tiny", SMALL)


def test_an_unknown_name_is_refused() -> None:
    assert models.chosen("", VARIANTS, "--variants") == []
    with pytest.raises(typer.BadParameter, match=r"^--variants: found fast, expected some of bf16, channels_last_3d"):
        models.chosen("bf16,fast", VARIANTS, "--variants")
