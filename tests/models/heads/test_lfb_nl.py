import pytest
import torch
from torch import nn

from pipeline.base.errors import InputError
from pipeline.models.context import Context
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.lfb_nl import NonLocalBank, lfb_nl
from pipeline.models.heads.linear import linear
from tests.models.heads.made_up import CHANNELS, trained_accuracy, windowed


def _bank(mask: str = "valid", layers: int = 2) -> NonLocalBank:
    """A small one whose every weight counts."""
    torch.manual_seed(0)
    sizes = HeadSettings(roi_channels=5, bank_channels=3, classes=2, mask=mask)  # type: ignore[arg-type]
    bank = lfb_nl(sizes, layers=layers, latent=4, dropout=0.0).shared
    assert isinstance(bank, NonLocalBank)
    for parameter in bank.parameters():
        nn.init.normal_(parameter)
    return bank.double()


def _context(mask: torch.Tensor, clip_index: list[int]) -> Context:
    window = torch.randn(2, 6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return windowed(torch.tensor(clip_index), window * mask[:, :, None], mask)


def test_persons_are_independent_and_their_order_does_not_matter() -> None:
    bank = _bank()
    mask = torch.tensor([[True] * 4 + [False] * 2, [True] * 6])
    context = _context(mask, [1, 0, 1, 1])
    assert context.window is not None
    rows = context.window.rows
    roi = torch.randn(4, 5, dtype=torch.float64)
    out = bank(roi, context)
    order = torch.tensor([2, 0, 3, 1])
    shuffled = bank(roi[order], windowed(context.clip_index[order], rows, mask))
    assert torch.allclose(shuffled, out[order])
    alone = bank(roi[2:3], windowed(torch.tensor([1]), rows, mask))
    assert torch.allclose(alone, out[2:3])


def test_with_a_mask_empty_slots_do_not_matter_and_without_one_they_do() -> None:
    mask = torch.tensor([[True, False, True, False, False, True]] * 2)
    roi = torch.randn(2, 5, dtype=torch.float64)
    masked, published = _bank("valid"), _bank("none")
    context = _context(mask, [0, 1])
    assert context.window is not None
    rows = context.window.rows
    filled = windowed(context.clip_index, rows.masked_fill(~mask[:, :, None], 7), mask)
    assert torch.allclose(masked(roi, context), masked(roi, filled))
    short = windowed(context.clip_index, rows[:, mask[0]], mask[:, mask[0]])
    assert torch.allclose(masked(roi, context), masked(roi, short))
    assert not torch.allclose(published(roi, context), published(roi, short))
    assert torch.allclose(published(roi, short), masked(roi, short))


def test_an_empty_window_leaves_the_query_as_it_is() -> None:
    bank = _bank()
    mask = torch.tensor([[False] * 6, [True] * 6])
    roi = torch.randn(3, 5, dtype=torch.float64)
    out = bank(roi, _context(mask, [0, 1, 0]))
    query = torch.cat([roi, bank.project_roi(roi)], dim=1)
    assert torch.equal(out[[0, 2]], query[[0, 2]])
    assert not torch.allclose(out[1], query[1])


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("mask", ["valid", "none"])
def test_gradients_are_right_in_every_case(mask: str, layers: int) -> None:
    bank = _bank(mask, layers)
    roi = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    valid = torch.tensor([[False] * 6, [True, False, True, True, False, False]])
    context = _context(valid, [1, 0, 1])
    assert context.window is not None
    window = context.window.rows

    def run(roi: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = bank(roi, windowed(context.clip_index, window, valid))
        return out

    assert torch.autograd.gradcheck(run, (roi, window.clone().requires_grad_()))
    with torch.autograd.detect_anomaly(check_nan=True):
        run(roi, window).square().sum().backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in bank.parameters())


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_a_batch_of_empty_windows_has_finite_gradients_in_float32() -> None:
    sizes = HeadSettings(roi_channels=5, bank_channels=3, classes=2, dropout=0.0)
    head = lfb_nl(sizes, latent=4, init="published")
    context = windowed(torch.tensor([0, 1]), torch.zeros(2, 6, 3), torch.zeros(2, 6, dtype=torch.bool))
    with torch.autograd.detect_anomaly(check_nan=True):
        head(torch.randn(2, 5), context).sum().backward()
    assert all(each.grad is None or each.grad.isfinite().all() for each in head.parameters())


def test_no_person_at_all_and_a_clip_without_persons() -> None:
    head = lfb_nl(HeadSettings(roi_channels=5, bank_channels=3, classes=2), latent=4)
    window, mask = torch.randn(2, 6, 3), torch.ones(2, 6, dtype=torch.bool)
    assert head(torch.zeros(0, 5), windowed(torch.zeros(0, dtype=torch.long), window, mask)).shape == (0, 2)
    assert head(torch.randn(1, 5), windowed(torch.tensor([1]), window, mask)).isfinite().all()


def test_half_precision_banks_and_bfloat16_arithmetic_are_taken() -> None:
    head = lfb_nl(HeadSettings(roi_channels=5, bank_channels=3, classes=2), latent=4, init="published").eval()
    mask = torch.tensor([[True] * 3 + [False] * 3, [False] * 6])
    window = (torch.randn(2, 6, 3) * mask[:, :, None]).half()
    roi = torch.randn(2, 5)
    exact = head(roi, windowed(torch.tensor([0, 1]), window, mask))
    assert exact.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = head(roi, windowed(torch.tensor([0, 1]), window, mask))
    assert torch.allclose(rough.float(), exact, atol=0.1)
    assert rough.isfinite().all()


def test_a_window_is_never_copied_per_person() -> None:
    """32 persons of one clip: what autograd keeps stays far below one window of the bank per person."""
    head = lfb_nl(HeadSettings(roi_channels=256, bank_channels=256, classes=2, mask="none"), latent=8)
    window = torch.randn(1, 300, 256)
    kept = 0

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        head(torch.randn(32, 256), windowed(torch.zeros(32, dtype=torch.long), window))
    assert kept < 4 * window.numel()


@pytest.mark.parametrize("init", ["identity", "published"])
def test_initial_weights(init: str) -> None:
    torch.manual_seed(0)
    sizes = HeadSettings(roi_channels=64, bank_channels=48, classes=2, dropout=0.0)
    head = lfb_nl(sizes, latent=256, dropout=0.0, init=init)
    bank = head.shared
    assert isinstance(bank, NonLocalBank)
    roi = torch.randn(2, 64)
    out = bank(roi, windowed(torch.tensor([0, 0]), torch.randn(1, 9, 48)))
    unchanged = torch.allclose(out, torch.cat([roi, bank.project_roi(roi)], dim=1))
    assert unchanged == (init == "identity")
    linears = [module for module in bank.modules() if isinstance(module, nn.Linear)]
    assert all(module.bias.abs().sum() == 0 for module in linears)
    if init == "published":  # He's normal over fan_out = latent
        for module in linears:
            assert module.weight.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.05)


def test_dropout_acts_on_both_projections_and_on_every_layer() -> None:
    bank = lfb_nl(HeadSettings(roi_channels=5, bank_channels=3, classes=2), latent=4, dropout=0.3).shared
    assert isinstance(bank, NonLocalBank)
    rates = [module.p for module in bank.modules() if isinstance(module, nn.Dropout)]
    assert rates == [0.3, 0.3, 0.3]  # the first serves both projections


@pytest.mark.parametrize("mask", ["valid", "none"])
def test_it_finds_one_slot_among_many_and_the_persons_own_feature_does_not_tell(mask) -> None:
    sizes = HeadSettings(roi_channels=CHANNELS, bank_channels=CHANNELS, classes=3, dropout=0.2, mask=mask)
    assert trained_accuracy(lambda: lfb_nl(sizes, latent=16), steps=100) > 0.9
    assert trained_accuracy(lambda: linear(sizes)) < 0.5


def test_bad_sizes_are_refused() -> None:
    sizes = HeadSettings(roi_channels=5, bank_channels=3, classes=2)
    with pytest.raises(InputError, match=r"^head lfb_nl: init is small, expected identity or published$"):
        lfb_nl(sizes, init="small")
    with pytest.raises(InputError, match=r"^head lfb_nl: layers is 0 and latent 512, expected at least 1$"):
        lfb_nl(sizes, layers=0)
    with pytest.raises(InputError, match=r"^head lfb_nl: dropout is 1.5, expected 0 to below 1$"):
        lfb_nl(sizes, dropout=1.5)
