from dataclasses import replace

import torch
from torch import nn

from pipeline.models.context import Context
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.linear import linear

SETTINGS = HeadSettings(roi_channels=6, bank_channels=0, classes=3)


def test_it_is_one_layer_on_the_persons_own_feature() -> None:
    torch.manual_seed(0)
    head = linear(SETTINGS).eval()
    assert isinstance(head.classifier, nn.Linear)
    assert {name: tuple(each.shape) for name, each in head.named_parameters()} == {
        "classifier.weight": (3, 6), "classifier.bias": (3,),
    }  # fmt: skip
    roi = torch.randn(4, 6)
    expected = roi @ head.classifier.weight.T + head.classifier.bias
    assert torch.allclose(head(roi, Context(torch.tensor([0, 0, 1, 2]))), expected, atol=1e-6)


def test_it_reads_no_bank_and_trains_in_both_scopes() -> None:
    for settings in (SETTINGS, replace(SETTINGS, bank_channels=4, map_channels=5, window_seconds=3, per_second=2)):
        head = linear(settings)
        assert head.shared is None
        assert not head.needs
        assert head.scopes == {"head", "all"}
