import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipeline.models.backbones.transformer import (
    Layered,
    Mlp,
    attend,
    drop_path,
    even_rates,
    init_linear,
    run_block,
)
from pipeline.models.backbones.videomae import videomae_tiny


def test_a_dropped_branch_is_dropped_for_whole_clips_and_keeps_its_mean() -> None:
    torch.manual_seed(0)
    dropped = drop_path(torch.ones(4000, 3, 2), 0.25, training=True)
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(dropped, dropped[:, :1, :1].expand_as(dropped))
    assert dropped.mean() == pytest.approx(1, abs=0.03)
    branch = torch.ones(4, 3)
    assert drop_path(branch, 0.25, training=False) is branch
    assert drop_path(branch, 0.0, training=True) is branch


def test_the_first_block_is_never_dropped_and_the_last_one_most() -> None:
    assert even_rates(0.2, 12)[:2] == [0.0, pytest.approx(0.2 / 11)]
    assert even_rates(0.2, 12)[-1] == 0.2
    assert even_rates(0.2, 1) == [0.0]


def test_attention_is_that_of_each_head_by_itself() -> None:
    qkv = torch.randn(2, 5, 3 * 6, generator=torch.Generator().manual_seed(0))
    found = attend(qkv, heads=2)
    for head in range(2):
        query, key, value = (qkv[..., part * 6 + head * 3 : part * 6 + head * 3 + 3] for part in range(3))
        weights = (query @ key.transpose(1, 2) / 3**0.5).softmax(dim=2)
        torch.testing.assert_close(found[..., head * 3 : head * 3 + 3], weights @ value)


def test_an_mlp_has_a_gelu_and_linear_layers_begin_small() -> None:
    torch.manual_seed(0)
    mlp = Mlp(64, 256)
    init_linear(mlp)
    x = torch.randn(3, 64)
    torch.testing.assert_close(mlp(x), F.gelu(x @ mlp.fc1.weight.T) @ mlp.fc2.weight.T)
    assert mlp.fc1.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not mlp.fc2.bias.any()
    with torch.device("meta"):
        init_linear(nn.Linear(2, 2))


class Counted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.calls = nn.Linear(3, 3), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return F.dropout(self.linear(x), 0.5)


def test_a_recomputed_block_draws_again_what_it_drew() -> None:
    found = []
    for recompute in (False, True):
        torch.manual_seed(0)
        block, x = Counted(), torch.randn(4, 3, requires_grad=True)
        run_block(block, x, recompute=recompute).square().sum().backward()
        assert block.calls == 1 + recompute
        assert x.grad is not None
        assert block.linear.weight.grad is not None
        found.append((x.grad, block.linear.weight.grad))
    assert all(torch.equal(kept, again) for kept, again in zip(*found, strict=True))
    with torch.no_grad():
        run_block(block, torch.randn(4, 3), recompute=True)
    assert block.calls == 3


def test_a_transformer_has_layers_and_other_modules_have_none() -> None:
    assert isinstance(videomae_tiny(8), Layered)
    assert not isinstance(nn.Linear(1, 1), Layered)
