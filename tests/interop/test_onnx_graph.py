"""ONNX graphs in onnxruntime give what the networks give, for sizes that were not traced."""

import sys
from typing import Any

import onnx
import pytest
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.interop.onnx_graph import SAMPLE, Graph, trace
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.settings import LabelGroup, Labels, RoiSettings
from tests.interop.onnx_models import (
    CLASSES,
    OPTIONS,
    SIZES,
    Exported,
    inputs_of,
    sizes_of,
    small_detector,
    small_head,
    standardised,
)

TOLERANCE = 1e-5
GROUPS = Labels(kind="grouped", groups=(LabelGroup(classes=2, kind="softmax"), LabelGroup(classes=3, kind="sigmoid")))


def check(made: Exported) -> None:
    for sizes in SIZES:
        assert made.largest_difference(sizes) <= TOLERANCE, sizes


def shapes(values: Any) -> dict[str, list[int | str]]:
    return {
        each.name: [size.dim_param or size.dim_value for size in each.type.tensor_type.shape.dim] for each in values
    }


def test_a_detector_with_a_window() -> None:
    made = Exported(small_detector("lfb_nl", "slowonly_tiny", mask="none"), 64)
    check(made)
    model = onnx.load_from_string(made.data)
    onnx.checker.check_model(model, full_check=True)
    assert shapes(model.graph.input) == {
        "clips": ["clips", 3, 16, "height", "width"],
        "boxes": ["boxes", 4],
        "clip_index": ["boxes"],
        "window_rows": ["windows", 12, 64],
        "window_owner": ["boxes"],
    }
    assert shapes(model.graph.output) == {"scores": ["boxes", 5], "logits": ["boxes", 5], "features": ["boxes", 64]}
    assert model.graph.input[1].doc_string == "x1, y1, x2, y2 of each person, in pixels of the clip"
    assert sys.prefix.encode() not in made.data  # nor any other path of the machine that traced
    assert b"site-packages" not in made.data
    assert not model.graph.value_info


@pytest.mark.slow  # the exporter takes its time over twelve blocks
def test_a_detector_on_a_transformer() -> None:
    made = Exported(small_detector("lfb_nl", "videomae_b", mask="none"), 8)
    check(made)
    assert shapes(onnx.load_from_string(made.data).graph.input)["clips"] == ["clips", 3, 16, "height", "width"]


@pytest.mark.slow
def test_a_head_on_rows_of_persons_objects_and_windows_in_groups_of_classes() -> None:
    made = Exported(standardised(small_head("aia_split", 16), 16), 16, GROUPS)
    check(made)
    assert [port.name for port in made.used] == [
        "persons", "clip_index", "window_rows", "window_mask", "window_owner", "object_rows", "object_mask",
    ]  # fmt: skip
    scores = made.session.run(["scores"], {k: v.numpy() for k, v in given(made).items()})[0]
    assert scores[:, :2].sum(axis=1) == pytest.approx(1)


def given(made: Exported) -> dict[str, Tensor]:
    every = inputs_of(made.every, SIZES[0])
    return {port.name: every[port.name] for port in made.used}


def test_inputs_that_nothing_reads_are_left_out_and_the_bytes_are_a_function_of_the_network() -> None:
    made, again = (Exported(small_head("lfb_max", 16), 16) for _ in range(2))
    check(made)
    assert [port.name for port in made.used] == ["persons", "window_rows", "window_mask", "window_owner"]
    assert made.data == again.data
    assert [port.name for port in Exported(small_head("linear", 16), 16).used] == ["persons"]


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["slowonly_tiny", "slowfast_tiny"])
@pytest.mark.parametrize("head", OPTIONS)
def test_every_head_with_both_kinds_of_backbones(head: str, backbone: str) -> None:
    mask = "none" if backbone == "slowfast_tiny" else "valid"
    network = small_detector(head, backbone, mask=mask)
    check(Exported(network, network.roi_channels))


@pytest.mark.slow
@pytest.mark.parametrize("head", sorted(set(OPTIONS) - {"acrn", "acar", "acar_lfb"}))  # which need maps
def test_every_head_on_rows(head: str) -> None:
    check(Exported(standardised(small_head(head, 16), 16), 16))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "roi"),
    [
        ("slowonly_tiny", RoiSettings(context="global")),
        ("slowonly_tiny", RoiSettings(temporal="max", output_size=7, aligned=False)),
        ("slowonly_r50_nl", RoiSettings()),
        ("pyslowfast_slowfast_r50_8x8", RoiSettings(output_size=7)),
        ("alphaction_slowfast_r50_4x16", RoiSettings(extend_x=0.1, extend_y=0.05, aligned=False)),
    ],
)
def test_other_backbones_and_ways_to_cut_out_persons(backbone: str, roi: RoiSettings) -> None:
    network = small_detector("linear", backbone, roi=roi)
    check(Exported(network, network.roi_channels))


class Counts(nn.Module):
    """A head of a user that looks at the number of persons, in a way that fixes it or that cannot be traced."""

    def __init__(self, ask: Any) -> None:
        super().__init__()
        self.ask = ask

    def forward(self, roi: Tensor, context: object) -> Tensor:
        scaled: Tensor = roi * self.ask(roi)
        return scaled


@pytest.mark.parametrize("ask", [len, lambda roi: int(roi.sum()), lambda roi: 2.0 if roi.sum() > 0 else 1.0])
def test_a_head_that_fixes_a_size_or_branches_on_values_is_refused(ask: Any) -> None:
    head = Head(Counts(ask), HeadSettings(roi_channels=16, bank_channels=0, classes=CLASSES), channels=16)
    with pytest.raises(InputError) as refused:
        trace(Graph(head, Labels()), sizes_of(16), lambda inputs, outputs: {})
    assert str(refused.value).startswith("cannot be traced: ")
    assert str(refused.value).endswith("; its forward may not ask for len() or int() of a tensor, nor branch on values")
    assert "\n" not in str(refused.value)


def test_sizes_of_the_trace_are_neither_alike_nor_special() -> None:
    assert len(set(SAMPLE.values())) == len(SAMPLE)
    assert min(SAMPLE.values()) > 1  # torch keeps 0 and 1 as they are
