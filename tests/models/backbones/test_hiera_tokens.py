import pytest
import torch
import torch.nn.functional as F

from benchmarks import plain_hiera
from pipeline.base.errors import InputError
from pipeline.models.backbones.hiera_tokens import (
    from_units,
    join_maps,
    pad_clip,
    pool_units,
    resize_positions,
    to_units,
)


def test_tokens_of_a_unit_stand_together() -> None:
    x = torch.arange(2 * 3 * 16 * 24).reshape(2, 3, 16, 24, 1)
    units = to_units(x)
    assert units[1, 64 * 7 : 64 * 8, 0].tolist() == x[1, 1, :8, 8:16, 0].flatten().tolist()  # 6 units a slice
    assert torch.equal(from_units(units, (3, 2, 3), 8), x)


def test_pooling_is_that_of_the_map_and_sends_the_gradient_to_one_token() -> None:
    x = torch.randint(0, 3, (1, 2, 16, 8, 2)).float().requires_grad_()
    pooled = pool_units(to_units(x), 8)
    expected = F.max_pool2d(x[0].permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
    assert torch.equal(from_units(pooled, (2, 2, 1), 4)[0], expected)
    pooled.sum().backward()
    assert x.grad is not None
    assert sorted(x.grad.unique().tolist()) == [0, 1]
    assert int(x.grad.sum()) == pooled.numel()
    # Upstream's order gives the same maxima.
    unrolled = plain_hiera.unroll(x.detach()).reshape(1, 4, -1, 2).max(1).values
    sizes = plain_hiera.Sizes((1, 1, 1, 1), 2, 1, 2, 16, 8)
    assert torch.equal(plain_hiera.reroll(unrolled, 1, sizes), expected[None])


def test_tables_that_fit_stay_as_they_are() -> None:
    spatial, temporal = torch.randn(1, 6, 4), torch.randn(1, 3, 4)
    assert resize_positions(spatial, temporal, (2, 3), (3, 2, 3)) == (spatial, temporal)


def test_rows_and_columns_are_resized_bicubically_and_times_linearly() -> None:
    rows, columns = torch.arange(16.0), torch.zeros(8)
    spatial = (rows[:, None] + columns).reshape(1, -1, 1)
    temporal = torch.tensor([1.0, 3.0]).reshape(1, 2, 1)
    resized, times = resize_positions(spatial, temporal, (16, 8), (4, 32, 8))
    by_row = resized.reshape(32, 8)
    assert (by_row == by_row[:, :1]).all()
    # Rows 8 and 9 of 32 lie at 3.75 and 4.25 of the table's; PyTorch's cubic weights miss a straight line by 3/64.
    torch.testing.assert_close(by_row[8:10, 0], torch.tensor([3.75 - 3 / 64, 4.25 + 3 / 64]))
    torch.testing.assert_close(times[0, :, 0], torch.tensor([1, 1.5, 2.5, 3]))


def test_clips_are_padded_to_whole_units() -> None:
    clip = torch.ones(1, 3, 2, 33, 60)
    padded = pad_clip(clip)
    assert padded.shape == (1, 3, 2, 64, 64)
    assert float(padded.sum()) == float(clip.sum()) == float(padded[..., :33, :60].sum())
    whole = torch.ones(1, 3, 2, 32, 64)
    assert pad_clip(whole) is whole


@pytest.mark.parametrize("frames", [3, 0])
def test_frames_come_in_pairs(frames: int) -> None:
    message = rf"^a clip has {frames} frames, Hiera needs an even number: a token covers two$"
    with pytest.raises(InputError, match=message):
        pad_clip(torch.zeros(1, 3, frames, 32, 32))


def test_maps_of_later_stages_are_enlarged_slice_by_slice() -> None:
    fine, coarse = torch.randn(1, 2, 3, 8, 4), torch.randn(1, 5, 3, 4, 2)
    first, second = join_maps([fine, coarse], (7, 3))
    assert torch.equal(first, fine[:, :, :, :7, :3])
    for number in range(3):
        enlarged = F.interpolate(coarse[:, :, number], (8, 4), mode="bilinear", align_corners=False)
        torch.testing.assert_close(second[:, :, number], enlarged[..., :7, :3])
