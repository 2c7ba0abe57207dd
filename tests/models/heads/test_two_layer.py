import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.models.build import BASELINE_HEADS, build_detector
from pipeline.models.context import Context
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.two_layer import two_layer

SETTINGS = HeadSettings(roi_channels=6, bank_channels=0, classes=3, dropout=0.5)
NO_CONTEXT = Context(torch.zeros(4, dtype=torch.long))


def test_two_layers_with_relu_stand_before_dropout_and_classifier() -> None:
    head = two_layer(SETTINGS, hidden=5).eval()
    state = head.state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == {
        "shared.fc1.weight": (5, 6), "shared.fc1.bias": (5,), "shared.fc2.weight": (5, 5), "shared.fc2.bias": (5,),
        "classifier.weight": (3, 5), "classifier.bias": (3,),
    }  # fmt: skip
    rows = torch.randn(4, 6)
    hidden = (rows @ state["shared.fc1.weight"].T + state["shared.fc1.bias"]).clamp_min(0)
    hidden = (hidden @ state["shared.fc2.weight"].T + state["shared.fc2.bias"]).clamp_min(0)
    expected = hidden @ state["classifier.weight"].T + state["classifier.bias"]
    assert torch.allclose(head(rows, NO_CONTEXT), expected, atol=1e-6)
    maps = rows[:, :, None, None, None].expand(4, 6, 1, 2, 2)
    assert torch.allclose(head(maps, NO_CONTEXT), expected, atol=1e-6)
    kept = []
    head.shared.register_forward_hook(lambda *given: kept.append(given[2]))  # type: ignore[union-attr]
    head.train()(rows, NO_CONTEXT)
    assert torch.allclose(kept[0], hidden, atol=1e-6)  # dropout acts behind both layers alone


def test_a_baseline_can_have_it() -> None:
    detector = build_detector("slowonly_tiny", classes=4, head="two_layer", head_options={"hidden": 7})
    assert detector.head.classifier.in_features == 7  # type: ignore[union-attr]
    assert "two_layer" in BASELINE_HEADS


def test_a_size_below_1_is_refused() -> None:
    with pytest.raises(InputError, match=r"^head two_layer: hidden is 0, expected at least 1$"):
        two_layer(SETTINGS, hidden=0)
