import pytest
import torch
from torch import nn

from pipeline.models.build import build_backbone, build_detector
from pipeline.models.detector import Detector
from pipeline.models.heads.head import Head, HeadContext, HeadSettings
from pipeline.models.heads.lfb_nl import lfb_nl
from pipeline.models.roi import pool_roi, roi_features

CLIPS = torch.randn(2, 3, 4, 48, 64, generator=torch.Generator().manual_seed(0))
BOXES = torch.tensor([[4.0, 4, 30, 44], [20, 10, 60, 40], [0, 0, 64, 48]])
CLIP_INDEX = torch.tensor([0, 1, 1])


def test_features_are_what_the_linear_head_classifies() -> None:
    detector = build_detector("slowonly_tiny", classes=5).eval()
    with torch.no_grad():
        features = detector.features(CLIPS, BOXES, CLIP_INDEX)
        logits = detector(CLIPS, BOXES, CLIP_INDEX)
        assert features.shape == (3, 128)
        assert torch.allclose(logits, detector.head.classifier(features), atol=1e-6)  # type: ignore[operator]
        roi = roi_features(detector.backbone(CLIPS), BOXES, CLIP_INDEX, stride=8)
        assert torch.equal(features, pool_roi(roi))


def test_roi_settings_are_used() -> None:
    head = build_detector("slowonly_tiny", classes=5).head
    backbone = build_backbone("slowonly_tiny").eval()
    with torch.no_grad():
        plain = Detector(backbone, head).features(CLIPS, BOXES, CLIP_INDEX)
        assert not torch.allclose(plain, Detector(backbone, head, output_size=2).features(CLIPS, BOXES, CLIP_INDEX))
        assert not torch.allclose(plain, Detector(backbone, head, temporal="max").features(CLIPS, BOXES, CLIP_INDEX))


def test_a_window_reaches_the_head_and_gradients_reach_the_backbone() -> None:
    torch.manual_seed(0)
    settings = HeadSettings(roi_channels=128, bank_channels=32, classes=5)
    detector = Detector(build_backbone("slowonly_tiny"), lfb_nl(settings, latent=16, init="published"))
    window, mask = torch.randn(2, 9, 32), torch.ones(2, 9, dtype=torch.bool)
    logits = detector(CLIPS, BOXES, CLIP_INDEX, window, mask)
    assert logits.shape == (3, 5)
    logits.sum().backward()
    stem = detector.backbone.conv1.conv.weight.grad
    assert stem is not None
    assert stem.abs().sum() > 0
    detector.eval()
    with torch.no_grad():
        assert not torch.allclose(
            detector(CLIPS, BOXES, CLIP_INDEX, window, mask), detector(CLIPS, BOXES, CLIP_INDEX, -window, mask)
        )
    with pytest.raises(ValueError, match=r"^this head needs window, the context has none$"):
        detector(CLIPS, BOXES, CLIP_INDEX)


def test_feature_maps_are_in_the_context() -> None:
    class Maps(nn.Module):
        def forward(self, roi: torch.Tensor, context: HeadContext) -> torch.Tensor:
            assert context.feature_maps is not None
            return context.feature_maps[0][context.clip_index]

    settings = HeadSettings(roi_channels=128, bank_channels=0, classes=5)
    head = Head(Maps(), settings, channels=128, needs=frozenset({"feature_maps"}), scopes=frozenset({"all"}))
    assert Detector(build_backbone("slowonly_tiny"), head)(CLIPS, BOXES, CLIP_INDEX).shape == (3, 5)


def test_clips_without_boxes() -> None:
    detector = build_detector("slowonly_tiny", classes=5)
    nothing = torch.zeros(0, dtype=torch.long)
    assert detector(CLIPS, torch.zeros(0, 4), nothing).shape == (0, 5)
    assert detector.features(CLIPS, torch.zeros(0, 4), nothing).shape == (0, 128)


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_cpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    settings = HeadSettings(roi_channels=128, bank_channels=32, classes=5)
    detector = Detector(build_backbone("slowonly_tiny"), lfb_nl(settings, latent=16, init="published")).eval()
    mask = torch.tensor([[True] * 9, [False] * 9])
    window = torch.randn(2, 9, 32) * mask[:, :, None]
    inputs = (CLIPS, BOXES, CLIP_INDEX, window, mask)
    with torch.no_grad():
        expected = detector(*inputs)
        found = detector.cuda()(*[each.cuda() for each in inputs]).cpu()
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4)
