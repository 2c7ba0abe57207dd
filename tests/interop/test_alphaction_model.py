import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.interop.alphaction_model import describe_alphaction
from tests.interop.made_alphaction import config_of


def describe(config: Any) -> Any:
    with torch.device("meta"):
        return describe_alphaction(config)


def test_everything_is_taken_from_the_configuration() -> None:
    config = config_of()
    config["MODEL"]["BACKBONE"]["CONV_BODY"] = "Slowfast-Resnet101"
    config["INPUT"] |= {"TAU": 12, "ALPHA": 4}
    config["TEST"]["EXTEND_SCALE"] = [0.2, 0]
    config["MODEL"]["IA_STRUCTURE"] |= {
        "STRUCTURE": "serial", "I_BLOCK_LIST": ["O", "M"], "LENGTH": [4, 3], "MAX_PER_SEC": 2, "MAX_OBJECT": 7,
        "MAX_PERSON": 9,
    }  # fmt: skip
    found = describe(config)
    network, interaction = found.detector.backbone, found.detector.head.shared.interaction
    assert len(network.slow_path.layer3) == 23
    assert (network.alpha, network.fast_step, found.tau, found.groups) == (4, 3, 12, (4, 3, 2))
    assert (found.detector.roi.extend_x, found.detector.roi.extend_y) == (0.2, 0.0)
    assert (found.detector.roi.output_size, found.detector.roi.aligned) == (3, False)
    assert (interaction.order, interaction.wiring, interaction.persons) == ("OM", "serial", 9)
    assert interaction.blocks["M1"].position_k.shape == (8, 1, 8)
    assert interaction.own_slots == slice(8, 10)
    assert interaction.mask == "none"
    assert found.structure.objects == 7
    assert found.detector.head.classifier.weight.shape == (9, 12)


@pytest.mark.parametrize(("length", "own"), [([3, 0], 3), ([0, 3], 0), ([0, 0], 0), ([2, 2], 2)])
def test_the_window_may_lie_before_or_behind_the_keyframe(length: list[int], own: int) -> None:
    config = config_of()
    config["MODEL"]["IA_STRUCTURE"]["LENGTH"] = length
    assert describe(config).detector.head.shared.interaction.own_slots == slice(5 * own, 5 * own + 5)


def _set(*path: str, value: Any) -> Callable[[Any], None]:
    def change(config: Any) -> None:
        for key in path[:-1]:
            config = config[key]
        config[path[-1]] = value

    return change


IA = ("MODEL", "IA_STRUCTURE")
HEAD = ("MODEL", "ROI_ACTION_HEAD")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("INPUT", "TAU", value=15), "INPUT.TAU is 15, supported: a multiple of ALPHA 8, of at least 2"),
        (_set("MODEL", "BACKBONE", "SLOWFAST", "BETA", value=0.3),
         "MODEL.BACKBONE.SLOWFAST.BETA is 0.3, supported: 1, 1/2, 1/4, ... to 1/32"),
        (_set("MODEL", "BACKBONE", "CONV_BODY", value="I3D-Resnet50"),
         "MODEL.BACKBONE.CONV_BODY is 'I3D-Resnet50', supported: 'Slowfast-Resnet50' or 'Slowfast-Resnet101'"),
        (_set("MODEL", "BACKBONE", "SLOWFAST", "SLOW", "CONV3_NONLOCAL", value=True),
         "MODEL.BACKBONE.SLOWFAST.SLOW.CONV3_NONLOCAL is True, supported: False"),
        (_set(*HEAD, "NUM_CLASSES", value=10), "MODEL.ROI_ACTION_HEAD.NUM_CLASSES is 10, supported: 9"),
        (_set("TEST", "EXTEND_SCALE", value=[0.1]), "TEST.EXTEND_SCALE is [0.1], supported: two numbers of at least 0"),
        (_set(*IA, "LENGTH", value=[3, 4]), "MODEL.IA_STRUCTURE.LENGTH is [3, 4], supported: two equal numbers of "
         "seconds, a first that is larger by 1, or a 0 beside any other"),
        (_set(*IA, "LENGTH", value=[1.5, 1.5]), "MODEL.IA_STRUCTURE.LENGTH is [1.5, 1.5], supported: two equal numbers "
         "of seconds, a first that is larger by 1, or a 0 beside any other"),
        (_set(*IA, "FUSION", value="concat"), "MODEL.IA_STRUCTURE.FUSION is 'concat', supported: 'add'"),
        (_set(*IA, "LAYER_NORM", value=False), "MODEL.IA_STRUCTURE.LAYER_NORM is False, supported: True"),
        (_set(*IA, "I_BLOCK_LIST", value=["P", "H"]),
         "MODEL.IA_STRUCTURE.I_BLOCK_LIST is ['P', 'H'], supported: letters P, O and M"),
        (_set(*IA, "STRUCTURE", value="parallel"), "MODEL.IA_STRUCTURE.I_BLOCK_LIST is ['P', 'O', 'M', 'P', 'O', 'M'], "
         "supported: equal lists of different letters"),
        (_set(*IA, "NEW", value=1), "MODEL.IA_STRUCTURE.NEW is 1, which is not known here"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused(change: Callable[[Any], None], message: str) -> None:
    config = config_of()
    change(config)
    with pytest.raises(InputError, match=f"^{re.escape(f'resolved_config.{message}')}$"):
        describe(config)
