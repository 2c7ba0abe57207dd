"""The scores themselves are held by upstream's fixture (tests/interop/test_trn_head.py)."""

from typing import Any

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.models.heads.trn import INIT_STD, RelationHead
from pipeline.models.relations import all_relations

FEATURES = torch.randn(2, 6, 10, generator=torch.Generator().manual_seed(0))


def head(**changes: Any) -> RelationHead:
    torch.manual_seed(0)
    given = {"segments": 6, "scales": range(6, 1, -1), "widths": (8, 7), "classes": 3, "dropout": 0.0, **changes}
    made = RelationHead(10, **given)
    torch.nn.init.normal_(made.project.weight)
    return made.eval()


def test_the_order_of_the_segments_counts() -> None:
    for scales in ((6,), (6, 5, 4, 3, 2)):
        model = head(scales=scales)
        assert (model(FEATURES.flip(1)) - model(FEATURES)).abs().max() > 0.01


def test_fixed_relations_are_those_of_every_test_and_the_seed_chooses_others() -> None:
    model = head()
    first = model(FEATURES)
    torch.manual_seed(7)
    assert torch.equal(model(FEATURES), first)
    torch.testing.assert_close(model(FEATURES, model.fixed), first)
    assert not torch.equal(head(draws=(3, 1))(FEATURES), first)


def test_training_draws_anew_from_torchs_generator_and_so_does_a_published_test() -> None:
    for model in (head().train(), head(test_relations="drawn"), head(test_relations="all").train()):
        torch.manual_seed(5)
        first, second = model(FEATURES), model(FEATURES)
        assert not torch.equal(first, second)
        torch.manual_seed(5)
        assert torch.equal(model(FEATURES), first)


def test_all_relations_give_the_mean_over_draws() -> None:
    model, every = head(test_relations="all"), head(test_relations="drawn")
    with torch.no_grad():
        mean = torch.stack([every(FEATURES) for _ in range(3000)]).mean(0)
        spread = torch.stack([every(FEATURES) for _ in range(50)]).std(0)
        torch.testing.assert_close(model(FEATURES), mean, rtol=0, atol=float(spread.max()) * 5 / 3000**0.5)
        # Relations that are given are added up as they are.
        given = model(FEATURES, all_relations(6, model.sizes))
    assert not torch.allclose(given, model(FEATURES))


def test_too_many_relations_for_all_are_refused() -> None:
    message = (
        r"^recognition\.head\.test_relations is all, and 13 segments have 8178 relations, expected at most 4096; "
        r"fixed takes 3 of each scale$"
    )
    with pytest.raises(InputError, match=message):
        head(segments=13, scales=range(13, 1, -1), test_relations="all")
    assert head(segments=12, scales=range(12, 1, -1), test_relations="all").segments == 12


def test_dropout_is_of_the_backbones_channels_in_training() -> None:
    model = head(scales=(6,), dropout=0.5)
    assert torch.equal(model(FEATURES), model(FEATURES))
    model.train()
    assert not torch.equal(model(FEATURES), model(FEATURES))


def test_the_projection_starts_small_and_relations_as_pytorchs_linear_layers() -> None:
    torch.manual_seed(0)
    model = RelationHead(2000, segments=3, scales=(3, 2), widths=(20, 30), classes=4, dropout=0.8)
    assert abs(float(model.project.weight.detach().std()) / INIT_STD - 1) < 0.05
    assert not model.project.bias.any()
    hidden = model.scales["3"].get_submodule("hidden").get_parameter("weight").detach()
    assert float(hidden.abs().max()) <= 60**-0.5  # uniform within 1 / sqrt(inputs)
    assert abs(float(hidden.std()) / (60**-0.5 / 3**0.5) - 1) < 0.05
