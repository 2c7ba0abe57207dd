"""ACAR's arithmetic against a plain transcription that tiles, and against single persons."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.models.context import Context
from pipeline.models.heads.acar import acar
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.roi_align import roi_align
from tests.interop.plain_acar import plain_head

SETTINGS = HeadSettings(roi_channels=6, bank_channels=0, classes=3, map_channels=6, dropout=0.0)
CLIP_INDEX = torch.tensor([2, 0, 2, 0, 2])
BOXES = torch.tensor(
    [[0.1, 0.1, 0.5, 0.9], [0.4, 0.2, 0.9, 0.9], [0.0, 0.0, 0.3, 0.6], [0.2, 0.1, 0.7, 0.8], [0, 0, 1, 1]]
)
SMALL: dict[str, Any] = {"reduced": 5, "hidden": 4, "dropout": 0.0}


def upstream_names(head: Head) -> dict[str, Tensor]:
    """The head's weights under ACAR-Net's names."""
    parts = {"reduce": "conv_reduce", "query": "conv_q", "key": "conv_k", "value": "conv_v", "out": "conv"}
    found: dict[str, Tensor] = {}
    for key, value in head.named_parameters():
        words = key.replace("classifier", "fc2").replace("layers", "hr2o").removeprefix("shared.").split(".")
        found[".".join(parts.get(word, word) for word in words)] = value
    return found


def cut(maps: Tensor, boxes: Tensor, clip_index: Tensor) -> Tensor:
    """What the detector gives the head: RoIs of the map that is not reduced."""
    sides = torch.tensor([maps.shape[3], maps.shape[2]] * 2).to(boxes)
    rois = torch.cat([clip_index[:, None].to(boxes), boxes * sides], 1)
    return roi_align(maps, rois, 3, spatial_scale=1, sampling_ratio=0, aligned=False).unsqueeze(2)


@pytest.mark.parametrize(
    ("depth", "kernel", "downsample", "size"),
    [(2, 3, "max2x2", (5, 7)), (1, 1, "max2x2", (6, 4)), (1, 3, "none", (4, 5)), (1, 1, "none", (3, 3))],
)
def test_the_split_arithmetic_is_the_published_one_with_its_gradients(depth, kernel, downsample, size) -> None:
    torch.manual_seed(0)
    head = acar(SETTINGS, depth=depth, kernel=kernel, downsample=downsample, **SMALL).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    boxes = BOXES.double()
    results = []
    for plain in (False, True):
        head.zero_grad()
        maps = torch.randn(
            3, 6, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
        ).requires_grad_()
        if plain:
            order = CLIP_INDEX.argsort(stable=True)
            rois = torch.cat([CLIP_INDEX[:, None], boxes], dim=1)[order]
            found = plain_head(maps, rois, upstream_names(head), size=3, downsample=downsample)["logits"]
            assert isinstance(found, Tensor)
            logits = found[order.argsort()]
        else:
            logits = head(cut(maps, boxes, CLIP_INDEX), Context(CLIP_INDEX, feature_map=maps))
        logits.pow(2).sum().backward()
        results.append([logits, maps.grad, *(each.grad for each in head.parameters())])
    for ours, published in zip(*results, strict=True):
        torch.testing.assert_close(ours, published, rtol=1e-9, atol=1e-11)


def test_persons_relate_within_their_clip_in_any_order_and_boxes_stay() -> None:
    torch.manual_seed(0)
    head = acar(SETTINGS, **SMALL).eval()
    maps, boxes = torch.randn(3, 6, 6, 7), BOXES.clone()
    with torch.no_grad():
        both = head(cut(maps, boxes, CLIP_INDEX), Context(CLIP_INDEX, feature_map=maps))
        again = head(cut(maps, boxes, CLIP_INDEX), Context(CLIP_INDEX, feature_map=maps))
        mine = CLIP_INDEX == 2
        alone = head(cut(maps, boxes[mine], CLIP_INDEX[mine]), Context(CLIP_INDEX[mine], feature_map=maps))
        one = head(cut(maps, boxes[:1], CLIP_INDEX[:1]), Context(CLIP_INDEX[:1], feature_map=maps))
    assert torch.equal(both, again)
    assert torch.equal(boxes, BOXES)
    torch.testing.assert_close(both[mine], alone)
    assert not torch.allclose(both[:1], one), "the other persons of its clip change a person's logits"


def test_clips_without_persons_are_no_error_and_have_finite_gradients() -> None:
    head = acar(SETTINGS, **SMALL)
    maps = torch.randn(2, 6, 4, 4, requires_grad=True)
    nobody = torch.zeros(0, dtype=torch.int64)
    logits = head(torch.zeros(0, 6, 1, 3, 3), Context(nobody, feature_map=maps))
    assert logits.shape == (0, 3)
    logits.sum().backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in head.parameters())


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"depth": 0}, "depth is 0, reduced 1024 and hidden 512, expected at least 1 of each"),
        ({}, {"kernel": 5}, "kernel is 5, expected 1 or 3"),
        ({}, {"downsample": "mean"}, "downsample is mean, expected max2x2 or none"),
        ({}, {"dropout": 1.0}, "dropout is 1.0, expected 0 to below 1"),
        ({"map_channels": 0}, {}, "it reads the feature map, found map_channels 0"),
        (
            {"roi_channels": 12},
            {},
            "a person has 12 channels and the feature map 6, expected equal numbers: one layer reduces both "
            r"\(roi.context none\)",
        ),
    ],
)
def test_nonsense_is_refused(changes, options, message) -> None:
    with pytest.raises(InputError, match=f"^head acar: {message}$"):
        acar(dataclasses.replace(SETTINGS, **changes), **options)


def test_a_map_of_too_few_cells_is_refused() -> None:
    head = acar(SETTINGS, **SMALL)
    message = (
        "^head acar: the map of a clip has 2 x 5 cells, expected at least 3 x 3, as a 3x3 convolution without padding "
        "needs; take larger clips$"
    )
    with pytest.raises(InputError, match=message):
        head(
            torch.zeros(1, 6, 1, 3, 3), Context(torch.zeros(1, dtype=torch.int64), feature_map=torch.zeros(1, 6, 2, 5))
        )
