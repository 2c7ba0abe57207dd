"""The pools of a person's cells, beside PyTorch's own attention and by their values."""

import torch
from torch.nn import functional

from pipeline.models.cell_pool import AttendCells, MeanCells, cell_pool

ROI = torch.randn(3, 12, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def test_the_maximum_is_left_to_the_heads() -> None:
    assert cell_pool("max", 12) is None
    assert isinstance(cell_pool("mean", 12), MeanCells)


def test_the_mean_counts_every_cell_alike() -> None:
    assert torch.allclose(MeanCells()(ROI), ROI.mean(dim=(2, 3, 4)))
    assert MeanCells()(ROI[:0]).shape == (0, 12)


def test_attention_starts_as_the_mean_and_draws_the_same_for_every_kind_of_seed() -> None:
    torch.manual_seed(0)
    pool = AttendCells(12)
    assert pool.heads == 4  # 8 do not divide 12
    assert torch.allclose(pool(ROI), ROI.mean(dim=(2, 3, 4)), atol=1e-6)
    assert pool(ROI[:0]).shape == (0, 12)
    pool(ROI).square().sum().backward()
    assert pool.query.grad is not None
    assert pool.query.grad.abs().max() > 0


def test_attention_is_that_of_pytorch_with_the_query_for_every_person() -> None:
    torch.manual_seed(0)
    pool = AttendCells(16)
    torch.nn.init.normal_(pool.query)
    roi = torch.randn(5, 16, 1, 3, 3)
    cells = roi.flatten(2).transpose(1, 2)
    keys = pool.key(functional.layer_norm(cells, (16,)))
    by_head = [each.unflatten(2, (8, 2)).transpose(1, 2) for each in (keys, cells)]
    query = pool.query.view(1, 8, 1, 2).expand(5, -1, -1, -1)
    expected = functional.scaled_dot_product_attention(query, *by_head).flatten(1)
    torch.testing.assert_close(pool(roi), expected)


def test_half_precision_does_not_reach_the_weights() -> None:
    torch.manual_seed(0)
    pool = AttendCells(16)
    torch.nn.init.normal_(pool.query)
    roi = torch.randn(2, 16, 1, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(pool(roi), pool(roi).float())
        found = pool(roi)
    assert torch.equal(found, pool(roi))
