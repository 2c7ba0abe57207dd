import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.interop.alphaction import block_order, has_interaction, is_alphaction, our_key, unused_keys
from pipeline.models.build import build_backbone, build_detector
from pipeline.models.detector import Detector
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.table import build_head
from tests.interop.small_models import alphaction_state, interacting

FOLDER = Path(__file__).parents[1] / "fixtures" / "parity" / "alphaction"
HEADS = {"parallel": "aia_parallel", "serial": "aia_serial", "dense": "aia_dense_serial"}


def _keys(name: str) -> dict[str, list[int]]:
    facts = json.loads((FOLDER / f"{name}.json").read_text())
    return {key: shape for key, shape, _ in facts["state_dict"]}


def _ours(name: str) -> Detector:
    backbone = "alphaction_slowfast_r" + ("50_4x16" if "50" in name else "101_8x8")
    with torch.device("meta"):
        if name.endswith("baseline"):
            return build_detector(backbone, classes=80, head="two_layer")
        settings = HeadSettings(
            roi_channels=2304, bank_channels=2304, classes=80, window_seconds=61, per_second=5, objects=5
        )
        kind = next(head for part, head in HEADS.items() if part in name)
        if "dense" in name:
            kind = "aia_dense_serial"
        return Detector(build_backbone(backbone), build_head(kind, settings))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("resnet*.json")), ids=lambda path: path.stem)
def test_every_key_of_upstreams_networks_has_its_place_and_its_size(path: Path) -> None:
    theirs = _keys(path.stem)
    interacts = has_interaction(theirs)
    assert interacts == (not path.stem.endswith("baseline"))
    assert is_alphaction(theirs)
    assert not unused_keys(theirs)
    assert block_order(theirs) == ("POMPOM" if interacts else "")
    sizes = {our_key(key, interacts=interacts): torch.Size(shape).numel() for key, shape in theirs.items()}
    assert sizes == {key: value.numel() for key, value in _ours(path.stem).state_dict().items()}


@pytest.mark.parametrize("order", ["POMPOM", "OPM", "P"])
def test_names_go_back_to_where_they_came_from(order: str) -> None:
    model = interacting("aia_dense_serial", order)
    theirs = alphaction_state(model)
    assert [our_key(key, interacts=True) for key in theirs] == list(model.state_dict())
    assert block_order(theirs) == order


@pytest.mark.parametrize(
    "key",
    ["backbone.slow.res_nl5.res_0.btnk.conv1.conv.weight", "backbone.slow.Tconv1.conv.weight", "head.fc.weight",
     "roi_heads.action.predictor.other.weight", "roi_heads.action.feature_extractor.fc3.weight",
     "roi_heads.action.feature_extractor.ia_structure.hand_dim_reduce.weight",
     "roi_heads.action.feature_extractor.ia_structure.person_dim_reduce"],
)  # fmt: skip
def test_other_keys_have_no_counterpart(key: str) -> None:
    assert our_key(key, interacts=True) is None


def test_the_reduction_of_keys_is_unused_where_another_block_comes_first() -> None:
    key = "roi_heads.action.feature_extractor.ia_structure.person_key_dim_reduce.weight"

    def keys(head: str, order: str) -> Any:
        return [*alphaction_state(interacting(head, order)), key]

    assert unused_keys(keys("aia_serial", "OPM")) == [key]
    assert unused_keys(keys("aia_serial", "PMO")) == []
    assert unused_keys(keys("aia_parallel", "OPM")) == []
