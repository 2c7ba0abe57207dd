import re
from typing import Any

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.checkpoint.build_recognizer import build_recognizer
from pipeline.checkpoint.specs import RecognizerSpec
from pipeline.interop.mmaction2_recognizer import our_key, recognizer_shape, upstream_key
from pipeline.models.recognition_settings import RecognitionHead
from pipeline.video.view_input import ViewInput
from tests.interop.plain_trn import whole_shapes

INPUT = ViewInput(short_side=32, crop=32, mean=(1, 2, 3), std=(4, 5, 6))
SCALE = ("1.weight", "1.bias", "3.weight", "3.bias")
KINDS = [("TRNMultiScale", "trn_multiscale"), ("TRN", "trn"), (None, "tsn")]


@pytest.mark.parametrize(("kind", "name"), KINDS)
def test_keys_and_shapes_are_upstreams_and_go_back(kind: Any, name: Any) -> None:
    shapes = whole_shapes(kind, 5)
    shape = recognizer_shape(shapes)
    assert (shape.head, shape.segments, shape.width, shape.classes) == (name, 5 if kind else None, 8, 5)
    head = RecognitionHead(name=name, dropout=0.5, channels=shape.channels, hidden=shape.hidden)
    spec = RecognizerSpec(backbone="resnet50", width=8, input=INPUT, head=head, segments=5, classes=5)
    with torch.device("meta"):
        ours = {key: list(value.shape) for key, value in build_recognizer(spec).state_dict().items()}
    assert {our_key(key, shape): sides for key, sides in shapes.items()} == ours
    assert [upstream_key(key, head=name, segments=5) for key in ours] == [*shapes]  # also in order


def test_what_has_no_counterpart_has_no_name() -> None:
    shape = recognizer_shape(whole_shapes("TRN", 5))
    assert our_key("cls_head.other.weight", shape) is None
    assert upstream_key("head.scales.2.other.weight", head="trn", segments=5) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"backbone.conv1.conv.weight": None},
            "no recognizer of single frames: expected tensors of a first convolution (conv1.conv.weight) with four "
            "sides and of a projection (cls_head.fc_cls.weight) with two",
        ),
        (
            {f"cls_head.consensus.fc_fusion_scales.1.{place}": None for place in SCALE},
            "cls_head.consensus.fc_fusion_scales has the numbers [0, 2, 3], expected 0, 1, ... without gaps",
        ),
        (
            {"cls_head.consensus.fc_fusion_scales.0.1.weight": [7, 31]},
            "cls_head.consensus.fc_fusion_scales.0 has layers of shapes [7, 31] and [5, 7], expected a multiple of the "
            "6 channels of cls_head.fc_cls",
        ),
        (
            {"cls_head.consensus.fc_fusion_scales.0.1.weight": [7, 36]},
            "cls_head.consensus has 4 scales, expected 5, as the first of them reads 6 segments",
        ),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    shapes = {key: each for key, each in {**whole_shapes("TRNMultiScale", 5), **changes}.items() if each is not None}
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        recognizer_shape(shapes)
