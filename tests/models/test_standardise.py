from dataclasses import replace

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.models.context import Context, ObjectRows
from pipeline.models.heads.aia import aia_serial
from pipeline.models.heads.head import HeadSettings, pool_persons
from pipeline.models.heads.lfb_pool import lfb_avg
from pipeline.models.heads.linear import linear
from pipeline.models.roi import pool_roi
from pipeline.models.standardise import Standardise, StandardisedHead, fit_standardise
from tests.models.heads.made_up import windowed


def test_rows_get_zero_mean_and_unit_spread_however_they_are_chunked() -> None:
    rows = torch.randn(1000, 7, generator=torch.Generator().manual_seed(0)) * torch.logspace(-2, 4, 7) + 50
    fitted = fit_standardise(rows.split(130))
    assert torch.allclose(fitted.mean, rows.double().mean(0).float())
    assert torch.allclose(fitted.std, fit_standardise([rows]).std, rtol=1e-6)
    out = fitted(rows, dim=1)
    wide = out[:, 2:]  # the first two channels vary by less than a hundredth of the median
    assert wide.mean(0).abs().max() < 1e-3
    assert torch.allclose(wide.std(0, correction=0), torch.ones(5), atol=1e-3)


def test_half_precision_rows_are_summed_in_float64() -> None:
    rows = (torch.rand(40_000, 2) * 10 + 1000).half()
    assert torch.allclose(fit_standardise(rows.split(999)).mean, rows.double().mean(0).float(), rtol=1e-6)


def test_a_constant_channel_stays_finite_and_moderate() -> None:
    rows = torch.randn(50, 3)
    rows[:, 1] = 0.1
    fitted = fit_standardise(rows.split(7))
    assert fitted(rows, dim=1)[:, 1].abs().max() < 1e-4
    unseen = rows + torch.tensor([0.0, 0.05, 0.0])
    assert fitted(unseen, dim=1)[:, 1].abs().max() < 10
    assert fit_standardise([torch.full((4, 2), 3.0)])(torch.full((1, 2), 4.0), dim=1).tolist() == [[1, 1]]
    assert fit_standardise([torch.tensor([[1.0, 2.0]])]).std.tolist() == [1, 1]


def test_a_model_that_is_only_counted_has_no_values_to_check() -> None:
    with torch.device("meta"):
        counted = Standardise(torch.zeros(3), torch.ones(3))
    assert counted.mean.is_meta
    assert {name: value.shape for name, value in counted.named_buffers()} == {"mean": (3,), "std": (3,)}


def test_refusals() -> None:
    with pytest.raises(InputError, match=r"^head.standardise: no rows in the train split, expected at least one$"):
        fit_standardise([torch.zeros(0, 3)])
    with pytest.raises(InputError, match=r"^head.standardise: a feature of the train split is not finite$"):
        fit_standardise([torch.tensor([[1.0, float("inf")]])])
    with pytest.raises(ValueError, match=r"^mean is \(2,\) and std \(3,\), expected one \[C\] shape$"):
        Standardise(torch.zeros(2), torch.ones(3))
    for std in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"^mean and std must be finite and std above 0$"):
            Standardise(torch.zeros(1), torch.tensor([std]))


def test_statistics_travel_in_the_checkpoint_and_do_not_train() -> None:
    settings = HeadSettings(roi_channels=3, bank_channels=0, classes=2)
    head = StandardisedHead(linear(settings), roi=fit_standardise([torch.randn(9, 3) + 5]), bank=None)
    assert [name for name, _ in head.named_parameters()] == ["head.classifier.weight", "head.classifier.bias"]
    other = StandardisedHead(linear(settings), roi=Standardise(torch.zeros(3), torch.ones(3)), bank=None)
    other.load_state_dict(head.state_dict())
    roi, context = torch.randn(4, 3), Context(torch.zeros(4, dtype=torch.long))
    assert torch.equal(head.eval()(roi, context), other.eval()(roi, context))


def test_maps_and_their_pooled_rows_are_standardised_alike() -> None:
    maps = torch.rand(4, 3, 1, 8, 8)
    standardise = Standardise(torch.tensor([1.0, -2, 0.5]), torch.tensor([0.1, 3, 1]))
    assert torch.allclose(pool_persons(standardise(maps, dim=1)), standardise(pool_roi(maps), dim=1), atol=1e-6)


@pytest.mark.parametrize("mask", ["none", "valid"])
def test_empty_slots_of_a_window_stay_zeros(mask) -> None:
    settings = HeadSettings(roi_channels=3, bank_channels=2, classes=2, mask=mask)
    bank = Standardise(torch.tensor([10.0, 20]), torch.tensor([2.0, 4]))
    inner = lfb_avg(settings).eval()
    head = StandardisedHead(inner, roi=None, bank=bank)
    assert (head.needs, head.scopes) == (inner.needs, inner.scopes)
    valid = torch.tensor([[True, False, True], [False, False, False]])
    window = torch.tensor([[[12.0, 24], [0, 0], [14, 16]], [[0, 0], [0, 0], [0, 0]]]).half()
    expected = torch.tensor([[[1.0, 1], [0, 0], [2, -1]], [[0, 0], [0, 0], [0, 0]]])
    roi, clips = torch.randn(2, 3), torch.tensor([0, 1])
    assert torch.equal(head(roi, windowed(clips, window, valid)), inner(roi, windowed(clips, expected, valid)))


def test_objects_are_standardised_as_persons_are_and_empty_places_stay_zeros() -> None:
    settings = HeadSettings(roi_channels=2, bank_channels=0, classes=2, objects=2)
    inner = aia_serial(settings, order="O", latent=3, hidden=4).eval()
    for each in inner.parameters():
        torch.nn.init.normal_(each)
    roi = Standardise(torch.tensor([10.0, 20]), torch.tensor([2.0, 4]))
    clips, mask = torch.tensor([0, 1]), torch.tensor([[True, False], [False, False]])
    given = ObjectRows(torch.tensor([[[12.0, 24], [0, 0]], [[0, 0], [0, 0]]]), mask)
    expected = ObjectRows(torch.tensor([[[1.0, 1], [0, 0]], [[0, 0], [0, 0]]]), mask)
    persons = torch.tensor([[10.0, 20], [12, 28]])
    found = StandardisedHead(inner, roi=roi, bank=None)(persons, Context(clips, objects=given))
    assert torch.equal(found, inner(torch.tensor([[0.0, 0], [1, 2]]), Context(clips, objects=expected)))
    # In scope all neither is standardised.
    raw = StandardisedHead(inner, roi=None, bank=None)(persons, Context(clips, objects=given))
    assert torch.equal(raw, inner(persons, Context(clips, objects=given)))


def test_persons_get_the_statistics_of_the_bank_for_their_place_in_the_window() -> None:
    settings = HeadSettings(roi_channels=2, bank_channels=2, classes=2, window_seconds=1, per_second=2)
    inner = aia_serial(settings, order="M", latent=3, hidden=4).eval()
    for each in inner.parameters():
        torch.nn.init.normal_(each)
    bank = Standardise(torch.tensor([10.0, 20]), torch.tensor([2.0, 4]))
    persons, clips = torch.tensor([[12.0, 24], [8, 20]]), torch.tensor([0, 1])
    context = windowed(clips, torch.zeros(2, 2, 2), torch.zeros(2, 2, dtype=torch.bool))
    own = torch.tensor([[1.0, 1], [-1, 0]])
    for roi in (None, Standardise(torch.zeros(2), torch.ones(2))):
        head = StandardisedHead(inner, roi=roi, bank=bank)
        assert torch.equal(head(persons, context), inner(persons, replace(context, own_rows=own)))
