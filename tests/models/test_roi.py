import pytest
import torch

from pipeline.models.roi import extend_boxes, fit_boxes, pool_roi, pool_time, roi_channels, roi_features
from pipeline.models.settings import RoiSettings

CLIP_0 = torch.tensor([0])


def test_a_box_reads_its_own_clip() -> None:
    pooled = torch.stack([torch.full((1, 4, 4), value) for value in (1.0, 5.0)])
    boxes = torch.tensor([[0.0, 0, 32, 32], [0, 0, 32, 32], [8, 8, 24, 24]])
    roi = roi_features(pooled, boxes, torch.tensor([1, 0, 1]), stride=8, settings=RoiSettings())
    assert roi.shape == (3, 1, 1, 8, 8)
    assert pool_roi(roi)[:, 0].tolist() == [5, 1, 5]


@pytest.mark.parametrize("context", ["none", "global"])
def test_no_box_at_all(context) -> None:
    settings = RoiSettings(context=context)
    nothing = torch.zeros(0, dtype=torch.long)
    roi = roi_features(torch.rand(2, 3, 6, 6), torch.zeros(0, 4), nothing, stride=16, settings=settings)
    assert roi.shape == (0, roi_channels(3, settings), 1, 8, 8)
    assert pool_roi(roi).shape == (0, roi_channels(3, settings))


def test_a_box_without_area_is_finite() -> None:
    boxes = torch.tensor([[16.0, 16, 16, 16], [0, 5, 40, 5]])
    for aligned in (True, False):
        settings = RoiSettings(aligned=aligned)
        roi = roi_features(torch.rand(1, 3, 6, 6), boxes, torch.tensor([0, 0]), stride=16, settings=settings)
        assert roi.isfinite().all()


def test_time_is_pooled_by_mean_or_max() -> None:
    maps = torch.tensor([1.0, 2, 6])[None, None, :, None, None].expand(1, 1, 3, 4, 4)
    assert (pool_time((maps,), "mean") == 3).all()
    assert (pool_time((maps,), "max") == 6).all()
    assert pool_time((maps,), "max").shape == (1, 1, 4, 4)


def test_pathways_are_pooled_by_themselves_and_concatenated() -> None:
    maps = (torch.full((1, 2, 4, 3, 3), 1.0), torch.full((1, 3, 8, 3, 3), 2.0))
    pooled = pool_time(maps, "mean")
    assert pooled.shape == (1, 5, 3, 3)
    assert pooled[0, :, 0, 0].tolist() == [1, 1, 2, 2, 2]


def test_a_pathway_whose_frames_do_not_divide_the_longest_is_repeated_to_the_nearest() -> None:
    short = torch.tensor([1.0, 2, 6])[None, None, :, None, None].expand(1, 1, 3, 2, 2)
    long = torch.rand(1, 1, 4, 2, 2)
    pooled = pool_time((short, long), "mean")
    assert pooled[0, 0, 0, 0] == (1 + 1 + 2 + 6) / 4  # frames 0, 0, 1, 2
    assert torch.equal(pooled[:, 1], long.mean(dim=2)[:, 0])
    assert (pool_time((short, long), "max")[0, 0] == 6).all()
    twice = torch.rand(1, 1, 6, 2, 2)
    assert torch.equal(pool_time((short, twice), "mean")[0, 0], short.mean(dim=2)[0, 0])


def test_half_precision_around_it_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a GPU where deterministic kernels are asked for: matrix products, which autocast would round.
    monkeypatch.setattr("pipeline.models.pool._must_be_deterministic", lambda x: True)
    torch.manual_seed(0)
    pooled, boxes, index = (
        torch.rand(2, 3, 6, 10),
        torch.tensor([[3.0, 4, 70, 80], [10, 0, 150, 90]]),
        torch.tensor([0, 1]),
    )
    settings = RoiSettings(context="global")
    plain = roi_features(pooled, boxes, index, stride=16, settings=settings)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(roi_features(pooled, boxes, index, stride=16, settings=settings), plain)


def test_context_is_the_whole_map_of_the_boxes_own_clip_beside_each_box() -> None:
    pooled = torch.rand(2, 3, 6, 10)
    boxes = torch.tensor([[0.0, 0, 40, 40], [20, 10, 90, 80], [5, 5, 30, 60]])
    clip = torch.tensor([1, 0, 1])
    settings = RoiSettings(output_size=2, context="global")
    assert roi_channels(3, settings) == 6
    roi = roi_features(pooled, boxes, clip, stride=16, settings=settings)
    assert roi.shape == (3, 6, 1, 2, 2)
    assert torch.equal(roi[:, :3], roi_features(pooled, boxes, clip, stride=16, settings=RoiSettings(output_size=2)))
    quarters = pooled.unflatten(3, (2, 5)).unflatten(2, (2, 3)).mean(dim=(3, 5))
    assert torch.allclose(roi[:, 3:, 0], quarters[clip])


def test_without_alignment_boxes_lie_half_a_cell_further() -> None:
    """A ramp along x reads, at the middle of a box, its own position in cells: minus a half where aligned."""
    ramp = torch.arange(10.0).expand(1, 1, 10, 10)
    box = torch.tensor([[32.0, 32, 96, 96]])  # cells 2 to 6
    middle = {}
    for aligned in (True, False):
        settings = RoiSettings(output_size=1, aligned=aligned)
        middle[aligned] = roi_features(ramp, box, CLIP_0, stride=16, settings=settings).item()
    assert middle == {True: pytest.approx(3.5), False: pytest.approx(4.0)}


def test_half_precision_maps_are_read_in_float32() -> None:
    maps = torch.rand(1, 3, 2, 6, 6).bfloat16()
    boxes, settings = torch.tensor([[10.3, 5.2, 40.7, 60.1]]), RoiSettings(context="global")
    pooled = pool_time((maps,), "mean")
    assert torch.equal(pooled, pool_time((maps.float(),), "mean"))
    roi = roi_features(pooled, boxes, CLIP_0, stride=16, settings=settings)
    assert roi.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(roi, roi_features(pool_time((maps,), "mean"), boxes, CLIP_0, stride=16, settings=settings))


@pytest.mark.parametrize("temporal", ["mean", "max"])
def test_gradients(temporal) -> None:
    maps = torch.rand(1, 2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[3.0, 2, 29, 30], [10, 11, 12, 13]])
    settings = RoiSettings(output_size=2, temporal=temporal, context="global")

    def vectors(maps: torch.Tensor) -> torch.Tensor:
        pooled = pool_time((maps,), temporal)
        return pool_roi(roi_features(pooled, boxes, torch.tensor([0, 0]), stride=8, settings=settings))

    assert torch.autograd.gradcheck(vectors, (maps,))


def test_boxes_without_their_clips_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^boxes_xyxy is \(2, 4\), expected \(1, 4\) as clip_index has$"):
        roi_features(torch.rand(1, 3, 6, 6), torch.zeros(2, 4), CLIP_0, stride=16, settings=RoiSettings())


def test_boxes_grow_by_shares_of_their_inclusive_size_and_are_cut_at_the_clip() -> None:
    """The numbers are AlphAction's (fixture ops.json)."""
    boxes = torch.tensor([[4.0, 3.5, 40.25, 60], [-5, 10, 99, 80], [50, 50, 50, 60]])
    found = extend_boxes(boxes, RoiSettings(extend_x=0.1, extend_y=0.05), width=96, height=64)
    expected = [[2.1375, 2.0625, 42.1125, 61.4375], [0, 8.225, 95, 63], [49.95, 49.725, 50.05, 60.275]]
    torch.testing.assert_close(found, torch.tensor(expected))
    wider = extend_boxes(boxes, RoiSettings(extend_x=0.1), width=96, height=64)
    assert torch.equal(wider[:, [0, 2]], found[:, [0, 2]])
    assert torch.equal(wider[0, [1, 3]], boxes[0, [1, 3]])
    assert extend_boxes(boxes, RoiSettings(), width=96, height=64) is boxes
    assert extend_boxes(boxes[:0], RoiSettings(extend_x=0.1), width=96, height=64).shape == (0, 4)


def test_boxes_in_shares_of_the_map_meet_its_end_where_the_stride_does_not_divide_the_clip() -> None:
    boxes = torch.tensor([[0.0, 0, 100, 72], [50, 18, 75, 36]])
    given = boxes.clone()
    found = fit_boxes(boxes, RoiSettings(scale="map"), sides=(72, 100), cells=(5, 7), stride=16)
    torch.testing.assert_close(found, torch.tensor([[0.0, 0, 112, 80], [56, 20, 84, 40]]))
    assert torch.equal(boxes, given)
    assert fit_boxes(boxes, RoiSettings(), sides=(72, 100), cells=(5, 7), stride=16) is boxes
    exact = fit_boxes(boxes, RoiSettings(scale="map"), sides=(80, 112), cells=(5, 7), stride=16)
    assert torch.equal(exact, boxes)
