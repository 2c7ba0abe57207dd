"""That the sides compute the same, so that their times can be compared."""

import pytest
import torch

from benchmarks.backbones_vit import SIDES, forward_of

SHAPE = {"width": 32, "depth": 2, "heads": 2}


@pytest.mark.parametrize(
    "case", ["ours, recomputed", "plain attention", pytest.param("transformers", marks=pytest.mark.slow)]
)
def test_all_sides_compute_the_same(case: str) -> None:
    assert case in {each for sides in SIDES.values() for each in sides}
    if case == "transformers":
        pytest.importorskip("transformers")
    clip = torch.randn(1, 3, 16, 32, 32)
    tokens, gradients = [], []
    for side in ("ours", case):
        model, forward = forward_of(side, 32, **SHAPE)
        tokens.append(forward(clip))
        tokens[-1].square().mean().backward()
        given = [each.grad for each in model.parameters() if each.grad is not None]
        gradients.append(sum(each.square().sum().item() for each in given))
    torch.testing.assert_close(tokens[0], tokens[1], rtol=1e-4, atol=1e-5)
    assert gradients[0] == pytest.approx(gradients[1], rel=1e-4)
