from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline.training.optimiser import SGD, parameter_groups
from pipeline.training.state import State, load_state, save_state


def _trained(seed: int) -> tuple[nn.Linear, SGD]:
    torch.manual_seed(seed)
    model = nn.Linear(3, 2)
    groups = parameter_groups(model, weight_decay=0.0, decayed="all")
    optimiser = SGD(groups, lr=0.1, momentum=0.9, nesterov=False)
    model(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    return model, optimiser


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for epoch in (1, 2):
        history = [{"epoch": each} for each in range(1, epoch + 1)]
        save_state(*_trained(epoch), State(history, best_epoch=1, best_score=0.5), tmp_path / "state")
    return tmp_path / "state"


def test_the_newest_state_is_restored(folder: Path) -> None:
    model, optimiser = _trained(0)
    state = load_state(model, optimiser, folder)
    assert (len(state.history), state.best_epoch, state.best_score) == (2, 1, 0.5)
    expected, momentum = _trained(2)
    assert torch.equal(model.weight, expected.weight)
    buffers = [each.state[each.param_groups[0]["params"][0]]["momentum_buffer"] for each in (optimiser, momentum)]
    assert torch.equal(*buffers)


@pytest.mark.parametrize("name", ["state.safetensors", "state.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
def test_a_damaged_state_is_said_and_the_one_before_is_taken(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, harm: str
) -> None:
    path = folder / "epoch_0002" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    if harm != "gone":
        path.write_bytes(data if harm == "flip" else data[:-5])
    model, optimiser = _trained(0)
    assert len(load_state(model, optimiser, folder).history) == 1
    assert torch.equal(model.weight, _trained(1)[0].weight)
    said = capsys.readouterr().err
    assert said.startswith(f"the training goes on from the epoch before: {path}: ")
    assert said.count("\n") == 1


def test_without_a_whole_state_it_begins_anew(folder: Path) -> None:
    for path in folder.glob("*/state.json"):
        path.chmod(0o644)
        path.write_text("{}")
    model, optimiser = _trained(0)
    assert load_state(model, optimiser, folder).history == []
    assert torch.equal(model.weight, _trained(0)[0].weight)
