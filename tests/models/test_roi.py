import pytest
import torch

from pipeline.models.roi import pool_roi, roi_features
from tests import parity


@pytest.mark.parametrize(("name", "variant"), [(parity.R50, ""), (parity.R50, "odd/"), (parity.R101, "")])
def test_rois_and_their_vectors_are_upstreams(name: str, variant: str) -> None:
    (feature_map,) = parity.feature_maps(name, variant)
    parity.assert_tensor(name, f"{variant}global_feat", feature_map.mean(dim=2, keepdim=True))
    roi = parity.rois(name, variant)
    parity.assert_tensor(name, f"{variant}roi_feats", roi)
    parity.assert_tensor(name, f"{variant}fc_in", pool_roi(roi))


def test_a_box_reads_its_own_clip() -> None:
    maps = torch.stack([torch.full((1, 2, 4, 4), value) for value in (1.0, 5.0)])
    boxes = torch.tensor([[0.0, 0, 32, 32], [0, 0, 32, 32], [8, 8, 24, 24]])
    roi = roi_features((maps,), boxes, torch.tensor([1, 0, 1]), stride=8)
    assert roi.shape == (3, 1, 1, 8, 8)
    assert pool_roi(roi)[:, 0].tolist() == [5, 1, 5]


def test_no_box_at_all() -> None:
    roi = roi_features((torch.rand(2, 3, 4, 6, 6),), torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), stride=16)
    assert roi.shape == (0, 3, 1, 8, 8)
    assert pool_roi(roi).shape == (0, 3)


def test_a_box_without_area_is_finite() -> None:
    boxes = torch.tensor([[16.0, 16, 16, 16], [0, 5, 40, 5]])
    roi = roi_features((torch.rand(1, 3, 4, 6, 6),), boxes, torch.tensor([0, 0]), stride=16)
    assert roi.isfinite().all()


def test_time_is_pooled_by_mean_or_max_before_the_boxes_are_read() -> None:
    maps = torch.tensor([1.0, 2, 6])[None, None, :, None, None].expand(1, 1, 3, 4, 4)
    box, clip = torch.tensor([[0.0, 0, 32, 32]]), torch.tensor([0])
    assert pool_roi(roi_features((maps,), box, clip, stride=8)).item() == pytest.approx(3)
    assert pool_roi(roi_features((maps,), box, clip, stride=8, temporal="max")).item() == pytest.approx(6)


def test_pathways_are_concatenated() -> None:
    maps = (torch.full((1, 2, 4, 3, 3), 1.0), torch.full((1, 3, 8, 3, 3), 2.0))
    roi = roi_features(maps, torch.tensor([[0.0, 0, 24, 24]]), torch.tensor([0]), stride=8, output_size=2)
    assert roi.shape == (1, 5, 1, 2, 2)
    assert pool_roi(roi).tolist() == [[1, 1, 2, 2, 2]]


def test_half_precision_maps_are_read_in_float32() -> None:
    maps = torch.rand(1, 3, 2, 6, 6).bfloat16()
    boxes, clip = torch.tensor([[10.3, 5.2, 40.7, 60.1]]), torch.tensor([0])
    roi = roi_features((maps,), boxes, clip, stride=16)
    assert roi.dtype == torch.float32
    assert torch.equal(roi, roi_features((maps.float(),), boxes, clip, stride=16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(roi, roi_features((maps,), boxes, clip, stride=16))


def test_gradients() -> None:
    maps = torch.rand(1, 2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[3.0, 2, 29, 30], [10, 11, 12, 13]])

    def vectors(maps: torch.Tensor) -> torch.Tensor:
        return pool_roi(roi_features((maps,), boxes, torch.tensor([0, 0]), stride=8, output_size=2))

    assert torch.autograd.gradcheck(vectors, (maps,))


def test_boxes_without_their_clips_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^boxes_xyxy is \(2, 4\), expected \(1, 4\) as clip_index has$"):
        roi_features((torch.rand(1, 3, 4, 6, 6),), torch.zeros(2, 4), torch.tensor([0]), stride=16)
