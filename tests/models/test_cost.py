"""Counted operations are those of the shapes that really flow."""

from typing import Any

import pytest
import torch
from torch import nn

from pipeline.models.build import build_backbone, build_detector
from pipeline.models.context import BankWindow
from pipeline.models.cost import count_gflops, count_recognizer_gflops
from pipeline.models.detector import Detector
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.table import build_head
from pipeline.models.heads.trn import RelationHead
from pipeline.models.recognition_settings import RecognitionHead
from pipeline.models.recognizer import Recognizer, build_recognition_head, build_recognizer_backbone
from pipeline.models.settings import RoiSettings

SIDE, SLOTS = 64, 12
# Of ResNet-50, of its convolutions one by one; torchvision documents 4.09 multiply-adds, with its classifier.
FRAME_GFLOPS = {224: 8.174272512, 256: 10.676600832}


def run_counted(detector: Detector, frames: int, slots: int = 0) -> float:
    """Operations of convolutions and linear layers, by the shapes that a forward pass on the CPU shows."""
    total = 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Linear):
            total += 2 * output.numel() * module.in_features
        elif isinstance(module, nn.Conv3d):
            total += 2 * output.numel() * module.weight[0].numel()

    hooks = [module.register_forward_hook(count) for module in detector.modules()]
    clip_index, window = torch.zeros(1, dtype=torch.long), None
    if slots:
        window = BankWindow(torch.zeros(1, slots, 128), torch.ones(1, slots, dtype=torch.bool), clip_index)
    clip, box = torch.zeros(1, 3, frames, SIDE, SIDE), torch.tensor([[4.0, 4.0, 40.0, 40.0]])
    with torch.no_grad():
        detector.eval()(clip, box, clip_index, window)
    for hook in hooks:
        hook.remove()
    return total / 1e9


@pytest.mark.parametrize(("backbone", "frames"), [("slowonly_tiny", 4), ("slowfast_tiny", 16)])
@pytest.mark.parametrize("mlp", [False, True])
def test_backbone_and_classifier(backbone: str, frames: int, mlp: bool) -> None:
    settings: dict[str, Any] = {"classes": 7, "mlp": mlp, "roi": RoiSettings(context="global")}
    with torch.device("meta"):
        detector = build_detector(backbone, **settings)
    expected = run_counted(build_detector(backbone, **settings), frames)
    assert count_gflops(detector, frames=frames, side=SIDE) == pytest.approx(expected, rel=1e-9)


def test_acrn_convolves_the_map_once_and_the_person_once() -> None:
    with torch.device("meta"):
        plain = build_detector("slowonly_tiny", classes=7)
        acrn = build_detector("slowonly_tiny", classes=7, head="acrn")
    cells = (SIDE // plain.backbone.stride) ** 2
    relation = 2 * 128 * 128 * cells + 2 * 128 * 128 + 2 * 128 * 128 * 9 * cells
    found, without = (count_gflops(each, frames=4, side=SIDE) for each in (acrn, plain))
    assert found - without == pytest.approx(relation / 1e9, rel=1e-6)


def test_a_window_costs_what_carries_queries_to_its_rows_and_its_products() -> None:
    settings = HeadSettings(roi_channels=128, bank_channels=128, classes=7, mask="none")

    def with_bank() -> Detector:
        head = build_head("lfb_nl", settings, {"layers": 2, "latent": 16})
        return Detector(build_backbone("slowonly_tiny"), head)

    with torch.device("meta"):
        detector = with_bank()
    carried, products = 2 * 2 * (16 * 16 + 16 * 128), 2 * 2 * (2 * SLOTS * 128)
    expected = run_counted(with_bank(), 4, SLOTS) + (carried + products) / 1e9
    assert count_gflops(detector, frames=4, side=SIDE, slots=SLOTS, bank_channels=128) == pytest.approx(expected)


def test_a_block_of_objects_costs_its_projections_and_products() -> None:
    def gflops(order: str, objects: int) -> float:
        settings = HeadSettings(roi_channels=128, bank_channels=0, classes=7, mask="none", objects=objects)
        options = {"order": order, "latent": 16, "hidden": 16}
        with torch.device("meta"):
            detector = Detector(build_backbone("slowonly_tiny"), build_head("aia_serial", settings, options))
        return count_gflops(detector, frames=4, side=SIDE, objects=objects)

    products, query_and_result, keys_and_values = 2 * 2 * 3 * 16, 2 * 2 * 16 * 16, 2 * 2 * 3 * 16 * 16
    further = products + query_and_result + keys_and_values  # of another block before the last
    assert gflops("OO", 3) - gflops("O", 3) == pytest.approx(further / 1e9, rel=1e-6)
    each = 2 * 128 * 16 + 2 * 2 * 16 * 16 + 2 * 2 * 16  # its reduction, key and value, and products
    assert gflops("O", 5) - gflops("O", 3) == pytest.approx(2 * each / 1e9, rel=1e-6)


@pytest.mark.parametrize(("side", "published_macs"), [(224, None), (256, 42.94)])
def test_a_recognizers_operations_are_those_of_all_its_frames(side: int, published_macs: float | None) -> None:
    head = RecognitionHead(name="trn_multiscale", dropout=0.8, channels=256, hidden=256)
    with torch.device("meta"):
        backbone = build_recognizer_backbone("resnet50")
        scorer = build_recognition_head(head, inputs=2048, segments=8, classes=174)
    found = count_recognizer_gflops(Recognizer(backbone, scorer), segments=8, side=side)
    frame = FRAME_GFLOPS[side]
    assert isinstance(scorer, RelationHead)
    scored = zip(scorer.sizes, scorer.fixed, strict=True)
    relations = 2 * sum(len(each) * (256 * scale * 256 + 256 * 174) for scale, each in scored)
    assert found == pytest.approx(8 * frame + (relations + 2 * 8 * 2048 * 256) / 1e9, rel=1e-6)
    if published_macs:  # upstream counts a multiply-add once, and norms and pools besides, of frames of 256 pixels
        assert found / 2 == pytest.approx(published_macs, rel=0.01)
