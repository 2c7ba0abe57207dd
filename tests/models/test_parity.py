"""Every network against upstream's tensors, from the first stage to the logits."""

import pytest
import torch

from pipeline.models.build import parameter_count
from tests import parity

CASES = [(name, variant) for name in parity.RECIPES for variant in parity.variants_of(name)]


def test_every_fixture_of_a_detector_is_known() -> None:
    assert set(parity.RECIPES) == {path.stem for path in parity.FOLDER.glob("slow*.json")}


@pytest.mark.parametrize("name", parity.RECIPES)
def test_keys_shapes_and_their_order_in_the_backbone_and_the_parameter_count_are_upstreams(name: str) -> None:
    with torch.device("meta"):
        model = parity.build(name)
    ours = [[f"backbone.{key}", list(value.shape)] for key, value in model.backbone.state_dict().items()]
    upstream = [[key, shape] for key, shape, _ in parity.read(name)["state_dict"] if key.startswith("backbone.")]
    assert ours == upstream
    assert parameter_count(model) == parity.read(name)["parameter_count"]


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_every_tensor_is_upstreams(name: str, variant: str) -> None:
    found = parity.run(name, variant)
    known = parity.tensors_of(name, variant)
    assert "fc_in" in known
    assert variant in ("padded/", "empty/") or {"roi_feats", "backbone_out0", "global_feat"} < set(known)
    for tensor in known:
        parity.assert_tensor(name, f"{variant}{tensor}", found[tensor])
    parity.assert_close(found["cls_score"], parity.expected(name, f"{variant}cls_score"), "cls_score")
