from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.models.backbones.non_local import NonLocal
from pipeline.models.build import BACKBONES, build_backbone, build_detector
from pipeline.models.context import BankWindow, Context, ObjectBoxes
from pipeline.models.detector import Detector
from pipeline.models.heads.acrn import acrn
from pipeline.models.heads.aia import aia_serial
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.heads.lfb_nl import lfb_nl
from pipeline.models.roi import extend_boxes, pool_roi, pool_time, roi_features
from pipeline.models.settings import RoiSettings

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
        pooled = pool_time(detector.backbone(CLIPS), "mean")
        roi = roi_features(pooled, BOXES, CLIP_INDEX, stride=8, settings=RoiSettings())
        assert torch.equal(features, pool_roi(roi))


def test_roi_settings_are_used() -> None:
    plain = build_detector("slowonly_tiny", classes=5).eval()
    with torch.no_grad():
        expected = plain.features(CLIPS, BOXES, CLIP_INDEX)
        for settings in (RoiSettings(output_size=2), RoiSettings(temporal="max"), RoiSettings(aligned=False)):
            other = Detector(plain.backbone, plain.head, roi=settings).features(CLIPS, BOXES, CLIP_INDEX)
            assert other.shape == expected.shape
            assert not torch.allclose(other, expected)


def test_context_doubles_the_features_that_head_and_bank_get() -> None:
    detector = build_detector("slowonly_tiny", classes=5, roi=RoiSettings(context="global")).eval()
    assert detector.roi_channels == 256
    with torch.no_grad():
        features = detector.features(CLIPS, BOXES, CLIP_INDEX)
        assert features.shape == (3, 256)
        assert detector(CLIPS, BOXES, CLIP_INDEX).shape == (3, 5)
        assert torch.equal(features[1, 128:], features[2, 128:])  # of one clip
        assert not torch.equal(features[0, 128:], features[1, 128:])


def test_a_window_reaches_the_head_and_gradients_reach_the_backbone() -> None:
    torch.manual_seed(0)
    settings = HeadSettings(roi_channels=128, bank_channels=32, classes=5)
    detector = Detector(build_backbone("slowonly_tiny"), lfb_nl(settings, latent=16, init="published"))
    window = BankWindow(torch.randn(2, 9, 32), torch.ones(2, 9, dtype=torch.bool), CLIP_INDEX)
    logits = detector(CLIPS, BOXES, CLIP_INDEX, window)
    assert logits.shape == (3, 5)
    logits.sum().backward()
    stem = detector.backbone.get_parameter("conv1.conv.weight").grad
    assert stem is not None
    assert stem.abs().sum() > 0
    detector.eval()
    with torch.no_grad():
        other = replace(window, stored=-window.rows)
        assert not torch.allclose(detector(CLIPS, BOXES, CLIP_INDEX, window), detector(CLIPS, BOXES, CLIP_INDEX, other))
    with pytest.raises(ValueError, match=r"^this head needs window, the context has none$"):
        detector(CLIPS, BOXES, CLIP_INDEX)


@pytest.mark.parametrize("temporal", ["mean", "max"])
def test_the_feature_map_in_the_context_is_pooled_as_the_boxes_are(temporal) -> None:
    seen = []

    class Maps(nn.Module):
        def forward(self, roi: torch.Tensor, context: Context) -> torch.Tensor:
            assert context.feature_map is not None
            seen.append(context.feature_map)
            return context.feature_map[context.clip_index].unsqueeze(2)

    settings = HeadSettings(roi_channels=160, bank_channels=0, classes=5)
    head = Head(Maps(), settings, channels=160, needs=frozenset({"feature_map"}), scopes=frozenset({"all"}))
    detector = Detector(build_backbone("slowfast_tiny").eval(), head, roi=RoiSettings(temporal=temporal))
    with torch.no_grad():
        assert detector(CLIPS, BOXES, CLIP_INDEX).shape == (3, 5)
        assert torch.equal(seen[0], pool_time(detector.backbone(CLIPS), temporal))


def slow_if_deep(name: str) -> Any:
    """As Hiera-B, in more blocks or with more heads."""
    deep = name in ("hiera_bplus", "hiera_l", "hiera_h")
    return pytest.param(name, marks=pytest.mark.slow) if deep else name


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("name", [*map(slow_if_deep, BACKBONES), "acrn", "context_max_mlp"])
def test_every_architecture_takes_a_training_step_with_finite_gradients(name: str) -> None:
    options: dict[str, Any] = {"width": 8, "classes": 5}
    if name == "acrn":
        detector = build_detector("slowfast_r50_8x8", head="acrn", **options)
    elif name == "context_max_mlp":
        roi = RoiSettings(temporal="max", context="global")
        detector = build_detector("slowonly_r50", roi=roi, mlp=True, **options)
    else:
        detector = build_detector(name, **options)
    clips = torch.randn(2, 3, 4 if name == "videomae_tiny" else 16, 48, 64)
    before = detector.backbone(clips)[0].detach()
    optimiser = torch.optim.SGD(detector.parameters(), lr=0.01)
    for _ in range(2):
        optimiser.zero_grad()
        with torch.autograd.detect_anomaly(check_nan=True):
            logits = detector(clips, BOXES, CLIP_INDEX)
            nn.functional.binary_cross_entropy_with_logits(logits, torch.ones_like(logits)).backward()
        optimiser.step()
    assert logits.shape == (3, 5)
    assert all(each.grad is not None and each.grad.isfinite().all() for each in detector.parameters())
    assert not torch.equal(before, detector.backbone(clips)[0])


def test_a_backbone_of_two_pathways_reads_a_bank() -> None:
    settings = HeadSettings(roi_channels=160, bank_channels=32, classes=5)
    detector = Detector(build_backbone("slowfast_tiny"), lfb_nl(settings, latent=16))
    window = BankWindow(torch.randn(2, 9, 32), torch.ones(2, 9, dtype=torch.bool), CLIP_INDEX)
    assert detector(CLIPS, BOXES, CLIP_INDEX, window).shape == (3, 5)
    assert detector.features(CLIPS, BOXES, CLIP_INDEX).shape == (3, 160)


@pytest.mark.parametrize("head", ["linear", "acrn"])
def test_clips_without_boxes(head: str) -> None:
    detector = build_detector("slowonly_tiny", classes=5, head=head)
    nothing = torch.zeros(0, dtype=torch.long)
    assert detector(CLIPS, torch.zeros(0, 4), nothing).shape == (0, 5)
    assert detector.features(CLIPS, torch.zeros(0, 4), nothing).shape == (0, 128)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["slowonly_tiny", "slowfast_tiny", "slowonly_r50_nl", "pyslowfast_slowfast_r50_8x8"])
@pytest.mark.parametrize("head", ["lfb_nl", "acrn"])
def test_a_gpu_agrees_with_the_cpu(name: str, head: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    backbone = build_backbone(name, width=8)
    for block in backbone.modules():
        if isinstance(block, NonLocal):
            nn.init.ones_(block.conv_out.bn.weight)
    channels = backbone.out_channels
    settings = HeadSettings(roi_channels=channels, bank_channels=32, classes=5, map_channels=channels)
    built = lfb_nl(settings, latent=16, init="published") if head == "lfb_nl" else acrn(settings)
    detector = Detector(backbone, built).eval()
    mask = torch.tensor([[True] * 9, [False] * 9])
    window = torch.randn(2, 9, 32) * mask[:, :, None]
    inputs = (CLIPS, BOXES, CLIP_INDEX, window, mask)
    with torch.no_grad():
        expected = detector(*inputs)
        found = detector.cuda()(*[each.cuda() for each in inputs]).cpu()
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4)


OBJECTS = ObjectBoxes(
    torch.tensor([[[0.0, 0, 20, 20], [10, 10, 60, 40]], [[5.0, 5, 30, 30], [0, 0, 0, 0]]]),
    torch.tensor([[True, True], [True, False]]),
)


def _sees_objects(roi: RoiSettings | None = None) -> Detector:
    settings = HeadSettings(roi_channels=128, bank_channels=0, classes=5, objects=2)
    detector = Detector(build_backbone("slowonly_tiny"), aia_serial(settings, order="O", latent=8, hidden=8), roi=roi)
    for each in detector.head.parameters():
        torch.nn.init.normal_(each, std=0.3)
    return detector.eval()


def test_objects_are_cut_out_of_the_map_of_their_clip_and_pooled_like_persons() -> None:
    detector = _sees_objects(RoiSettings(extend_x=0.2, extend_y=0.2))
    kept: list[Context] = []
    detector.head.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[1]))
    with torch.no_grad():
        seen = detector(CLIPS, BOXES, CLIP_INDEX, objects=OBJECTS)
        rows = kept[0].objects
        assert rows is not None
        boxes = OBJECTS.boxes_xyxy[OBJECTS.mask]
        nobody = torch.zeros(3, dtype=torch.bool)
        expected = detector.features(CLIPS, boxes, torch.tensor([0, 0, 1]), persons=nobody)
        assert torch.allclose(rows.rows[OBJECTS.mask], expected, atol=1e-6)
        assert not rows.rows[~OBJECTS.mask].any()
        assert torch.equal(rows.mask, OBJECTS.mask)
        none = ObjectBoxes(OBJECTS.boxes_xyxy, torch.zeros_like(OBJECTS.mask))
        assert not torch.allclose(detector(CLIPS, BOXES, CLIP_INDEX, objects=none), seen, atol=1e-4)
        assert kept[1].objects is not None
        assert not kept[1].objects.rows.any()
    with pytest.raises(ValueError, match=r"^this head needs objects, the context has none$"):
        detector(CLIPS, BOXES, CLIP_INDEX)


def test_a_head_that_reads_no_objects_costs_nothing_for_them() -> None:
    detector = build_detector("slowonly_tiny", classes=5).eval()
    kept: list[Context] = []
    detector.head.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[1]))
    with torch.no_grad():
        assert torch.equal(detector(CLIPS, BOXES, CLIP_INDEX, objects=OBJECTS), detector(CLIPS, BOXES, CLIP_INDEX))
    assert kept[0].objects is None


def test_gradients_of_objects_reach_the_backbone() -> None:
    detector = _sees_objects()
    alone = {}
    for name, objects in (("some", OBJECTS), ("none", ObjectBoxes(OBJECTS.boxes_xyxy, OBJECTS.mask & False))):
        detector.zero_grad()
        detector(CLIPS, BOXES[:1], CLIP_INDEX[:1], objects=objects).sum().backward()
        first: Any = next(detector.backbone.parameters()).grad
        assert first.isfinite().all()
        alone[name] = first.clone()
    assert not torch.allclose(alone["some"], alone["none"])


def test_boxes_of_persons_are_extended_in_evaluation_alone_and_those_of_objects_never() -> None:
    plain = build_detector("slowonly_tiny", classes=5).eval()
    roi = RoiSettings(extend_x=0.3, extend_y=0.2)
    larger = Detector(plain.backbone, plain.head, roi=roi).eval()
    extended = extend_boxes(BOXES, roi, width=64, height=48)
    with torch.no_grad():
        expected = plain.features(CLIPS, extended, CLIP_INDEX)
        as_given = plain.features(CLIPS, BOXES, CLIP_INDEX)
        assert torch.equal(larger.features(CLIPS, BOXES, CLIP_INDEX), expected)
        assert torch.equal(larger(CLIPS, BOXES, CLIP_INDEX), plain(CLIPS, extended, CLIP_INDEX))
        mixed = larger.features(CLIPS, BOXES, CLIP_INDEX, persons=torch.tensor([True, False, True]))
        assert torch.equal(mixed[[0, 2]], expected[[0, 2]])
        assert torch.equal(mixed[1], as_given[1])
        assert not torch.allclose(expected[:2], as_given[:2])
        larger.train()
        larger.backbone.eval()
        assert torch.equal(larger.features(CLIPS, BOXES, CLIP_INDEX), as_given)


@pytest.mark.parametrize("head", ["linear", "acrn"])
@pytest.mark.parametrize("pool", ["mean", "attentive"])
def test_another_pool_gives_head_bank_objects_and_memory_the_same_rows(pool: Any, head: str) -> None:
    torch.manual_seed(0)
    roi = RoiSettings(pool=pool)
    detector = build_detector("slowonly_tiny", classes=5, dropout=0.0, roi=roi, head=head)
    if pool == "attentive":
        torch.nn.init.normal_(detector.pool.query)  # type: ignore[union-attr,arg-type]
    kept: list[torch.Tensor] = []
    logits = detector(CLIPS, BOXES, CLIP_INDEX, keep=kept.append)
    logits.sum().backward()
    detector.eval()
    with torch.no_grad():
        cut = roi_features(detector.maps(CLIPS), BOXES, CLIP_INDEX, stride=8, settings=roi)
        assert torch.equal(detector.features(CLIPS, BOXES, CLIP_INDEX), detector.pool(cut))  # type: ignore[misc]
        assert not torch.allclose(detector.pool(cut), pool_roi(cut))  # type: ignore[misc]
        objects = ObjectBoxes(BOXES[None, [0, 2]], torch.tensor([[True, False]]))
        found = detector._object_rows(CLIPS[:1], detector.maps(CLIPS[:1]), objects).rows
        assert torch.equal(found[0, 0], detector.features(CLIPS[:1], BOXES[:1], torch.tensor([0]))[0])
        assert not found[0, 1].any()
    assert kept[0].shape == (3, 128)
    assert not kept[0].requires_grad
    if head == "linear":
        torch.testing.assert_close(logits, detector.head.classifier(kept[0]))  # type: ignore[operator]
    assert all(each.grad is not None and each.grad.isfinite().all() for each in detector.parameters())
    assert [name for name in detector.state_dict() if name.startswith("pool.")] == (
        [f"pool.{name}" for name in ("query", "norm.weight", "norm.bias", "key.weight", "key.bias")]
        if pool == "attentive"
        else []
    )


def test_what_a_training_keeps_is_what_the_bank_would_hold() -> None:
    """The pooled features before the head, without a gradient; logits and gradients stay as they are."""
    torch.manual_seed(0)
    detector = build_detector("slowonly_tiny", classes=5, dropout=0.0).train()
    kept: list[torch.Tensor] = []
    logits = detector(CLIPS, BOXES, CLIP_INDEX, keep=kept.append)
    (rows,) = kept
    assert rows.shape == (3, detector.roi_channels)
    assert not rows.requires_grad
    torch.testing.assert_close(logits, detector.head.classifier(rows))  # type: ignore[operator]
    logits.sum().backward()
    assert all(each.grad is not None for each in detector.parameters())
