from dataclasses import replace

import pytest
import torch
from torch import nn

from pipeline.models.context import BankWindow, Context, ObjectRows
from pipeline.models.heads.head import Head, HeadSettings, pool_persons, read_window
from pipeline.models.heads.lfb_pool import lfb_max
from pipeline.models.heads.linear import linear
from tests.models.heads.made_up import windowed

SETTINGS = HeadSettings(roi_channels=6, bank_channels=4, classes=3)


def test_the_classifier_begins_small_and_without_bias() -> None:
    torch.manual_seed(0)
    for mlp in (False, True):
        head = linear(HeadSettings(roi_channels=2000, bank_channels=0, classes=80, mlp=mlp))
        layers = [module for module in head.modules() if isinstance(module, nn.Linear)]
        assert [layer.out_features for layer in layers] == ([2000, 80] if mlp else [80])
        for layer in layers:
            assert layer.bias.abs().sum() == 0
            expected = (2 / (layer.in_features + layer.out_features)) ** 0.5  # Glorot's normal
            assert layer.weight.std().item() == pytest.approx(expected, rel=0.02)


def test_a_hidden_layer_stands_before_the_classifier_of_any_head() -> None:
    settings = HeadSettings(roi_channels=6, bank_channels=4, classes=3, mlp=True)
    context = windowed(torch.zeros(2, dtype=torch.long), torch.randn(1, 5, 4))
    for head in (linear(settings).eval(), lfb_max(settings).eval()):
        assert isinstance(head.classifier, nn.Sequential)
        hidden, relu, last = head.classifier
        assert isinstance(relu, nn.ReLU)
        roi = torch.randn(2, 6)
        with torch.no_grad():
            features = roi if head.shared is None else head.shared(roi, context)
            assert torch.equal(head(roi, context), last(hidden(features).relu()))


def test_rows_and_maps_of_one_cell_are_the_same_to_a_head() -> None:
    head = linear(SETTINGS).eval()
    rows = torch.randn(5, 6)
    context = Context(clip_index=torch.zeros(5, dtype=torch.long))
    assert torch.equal(head(rows, context), head(rows[:, :, None, None, None], context))
    assert torch.equal(pool_persons(rows), rows)


def test_dropout_acts_on_maps_before_they_are_pooled_and_on_rows() -> None:
    torch.manual_seed(0)
    head = linear(HeadSettings(roi_channels=6, bank_channels=0, classes=3, dropout=0.5))
    seen = []
    head.classifier.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    context = Context(clip_index=torch.zeros(100, dtype=torch.long))
    head(torch.ones(100, 6, 1, 8, 8), context)
    assert (seen[0] == 2).all()  # of 64 cells one is left, scaled by 1 / (1 - 0.5), for all 600 but 1 in 2 ** 64
    head(torch.ones(100, 6), context)
    assert 0.4 < (seen[1] == 0).float().mean() < 0.6


def test_what_a_head_declares_must_be_in_the_context() -> None:
    head = Head(None, SETTINGS, channels=6, needs=frozenset({"window", "feature_map"}))
    context = Context(clip_index=torch.tensor([0]))
    with pytest.raises(ValueError, match=r"^this head needs feature_map, the context has none$"):
        head(torch.zeros(1, 6), context)


def test_the_window_comes_in_the_type_of_the_persons() -> None:
    given = BankWindow(
        torch.ones(1, 5, 4, dtype=torch.float16), torch.ones(1, 5, dtype=torch.bool), torch.zeros(1, dtype=torch.long)
    )
    context = Context(torch.tensor([0]), given)
    window, valid, owner = read_window(context, "valid", like=torch.zeros(1))
    assert window.dtype == torch.float32
    assert valid is given.mask
    assert owner is given.owner
    assert read_window(context, "none", like=torch.zeros(1))[1] is None
    with pytest.raises(ValueError, match=r"^this head needs window, the context has none$"):
        read_window(Context(torch.tensor([0])), "valid", like=torch.zeros(1))


def test_feature_dropout_acts_on_persons_objects_and_the_rows_of_the_window() -> None:
    torch.manual_seed(0)
    seen: list[Context] = []

    class Look(nn.Module):
        def forward(self, roi: torch.Tensor, context: Context) -> torch.Tensor:
            seen.append(context)
            return roi

    head = Head(Look(), replace(SETTINGS, feature_dropout=0.5, dropout=0.0), channels=6)
    context = windowed(torch.zeros(100, dtype=torch.long), torch.ones(1, 50, 4))
    objects = ObjectRows(torch.ones(1, 50, 6), torch.ones(1, 50, dtype=torch.bool))
    head(torch.ones(100, 6), replace(context, objects=objects))
    given, read = context.window, seen[0].window
    assert given is not None
    assert read is not None
    assert 0.3 < (read.rows == 0).float().mean() < 0.7
    assert (given.rows == 1).all()
    assert (read.mask, read.owner) == (given.mask, given.owner)
    dropped = seen[0].objects
    assert dropped is not None
    assert 0.3 < (dropped.rows == 0).float().mean() < 0.7
    assert dropped.mask is objects.mask


def test_a_shared_part_may_return_maps_as_acrn_does() -> None:
    class Wide(nn.Module):
        def forward(self, roi: torch.Tensor, context: Context) -> torch.Tensor:
            assert context.feature_map is not None
            return context.feature_map[context.clip_index].unsqueeze(2) + roi.mean()

    head = Head(Wide(), SETTINGS, channels=7, needs=frozenset({"feature_map"}), scopes=frozenset({"all"}))
    context = Context(clip_index=torch.tensor([1, 0]), feature_map=torch.rand(2, 7, 4, 5))
    assert head(torch.rand(2, 6, 1, 8, 8), context).shape == (2, 3)
