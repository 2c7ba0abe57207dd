import dataclasses

import pytest
import torch
from torch import nn

from pipeline.base.errors import InputError
from pipeline.models.context import Context
from pipeline.models.heads.acrn import acrn
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.linear import linear
from pipeline.models.roi import pool_roi

SETTINGS = HeadSettings(roi_channels=5, bank_channels=0, classes=3, map_channels=4, dropout=0.0)
CLIP_INDEX = torch.tensor([1, 0, 1])


def _plain(shared: nn.Module, roi: torch.Tensor, context: Context) -> torch.Tensor:
    """Upstream's arithmetic: tile the person over its clip's map, concatenate, convolve."""
    assert context.feature_map is not None
    maps = context.feature_map[context.clip_index].unsqueeze(2)
    tiled = pool_roi(roi)[:, :, None, None, None].expand(-1, -1, *maps.shape[2:])
    x = shared.get_submodule("conv1")(torch.cat([tiled, maps], dim=1))
    for conv in [shared.get_submodule("conv2"), *shared.get_submodule("convs").children()]:
        x = conv(x)
    return torch.as_tensor(x)


@pytest.mark.parametrize("convs", [1, 3])
@pytest.mark.parametrize("training", [True, False])
def test_the_split_convolution_is_the_plain_one_with_its_statistics_and_gradients(training, convs) -> None:
    results = []
    for plain in (False, True):
        torch.manual_seed(0)
        head = acrn(SETTINGS, convs=convs).double().train(training)
        roi = torch.randn(3, 5, 1, 2, 2, dtype=torch.float64, requires_grad=True)
        maps = torch.randn(2, 4, 3, 6, dtype=torch.float64, requires_grad=True)
        context = Context(clip_index=CLIP_INDEX, feature_map=maps)
        assert head.shared is not None
        out = _plain(head.shared, roi, context) if plain else head.shared(roi, context)
        out.pow(3).sum().backward()
        gradients = [each.grad for each in (roi, maps, *head.shared.parameters())]
        results.append([out, *gradients, *head.shared.buffers()])
    assert results[0][0] is not None
    assert results[0][0].shape == (3, 4, 1, 3, 6)
    for ours, expected in zip(*results, strict=True):
        assert ours is not None
        assert expected is not None
        assert torch.allclose(ours, expected, atol=1e-10)


def test_logits_follow_the_cells_of_the_own_clip_alone() -> None:
    torch.manual_seed(0)
    head = acrn(SETTINGS).eval()
    roi, maps = torch.randn(3, 5, 1, 2, 2), torch.randn(2, 4, 3, 6)
    changed = maps.clone()
    changed[1] += 1
    with torch.no_grad():
        before = head(roi, Context(clip_index=CLIP_INDEX, feature_map=maps))
        after = head(roi, Context(clip_index=CLIP_INDEX, feature_map=changed))
    assert before.shape == (3, 3)
    assert torch.allclose(before[1], after[1], atol=1e-6)
    assert not torch.allclose(before[0], after[0], atol=1e-3)


def _elsewhere(clips: int, seed: int) -> tuple[torch.Tensor, Context, torch.Tensor]:
    """The label is what stands somewhere in the frame, which no person's own feature tells."""
    torch.manual_seed(seed)
    label = torch.randint(0, 3, (clips,))
    maps = 0.3 * torch.randn(clips, 12, 4, 4)
    maps[torch.arange(clips), label, torch.randint(0, 4, (clips,)), torch.randint(0, 4, (clips,))] += 3
    roi = torch.randn(clips, 5, 1, 2, 2)
    return roi, Context(clip_index=torch.arange(clips), feature_map=maps), label


@pytest.mark.parametrize(("build", "least", "most"), [(acrn, 0.9, 1.0), (linear, 0.0, 0.5)])
def test_it_reads_from_the_frame_what_a_linear_head_cannot_know(build, least, most) -> None:
    torch.manual_seed(0)
    head = build(dataclasses.replace(SETTINGS, map_channels=12))
    roi, context, label = _elsewhere(256, seed=1)
    optimiser = torch.optim.SGD(head.parameters(), lr=0.2, momentum=0.9)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(head(roi, context), label).backward()
        optimiser.step()
    head.eval()
    roi, context, label = _elsewhere(192, seed=2)
    with torch.no_grad():
        right = (head(roi, context).argmax(dim=1) == label).float().mean()
    assert least <= right <= most


def test_no_person_at_all_leaves_every_weight_a_gradient_of_zero_and_the_statistics_alone() -> None:
    head = acrn(SETTINGS)
    context = Context(clip_index=torch.zeros(0, dtype=torch.long), feature_map=torch.randn(2, 4, 3, 6))
    logits = head(torch.zeros(0, 5, 1, 2, 2), context)
    assert logits.shape == (0, 3)
    logits.sum().backward()
    assert all(each.grad is not None and not each.grad.any() for each in head.parameters())
    means = [module.running_mean for module in head.modules() if isinstance(module, nn.BatchNorm3d)]
    assert all(mean is not None and not mean.any() for mean in means)


def test_bfloat16_arithmetic_is_taken() -> None:
    torch.manual_seed(0)
    head = acrn(SETTINGS).eval()
    roi, context = torch.randn(3, 5, 1, 2, 2), Context(clip_index=CLIP_INDEX, feature_map=torch.randn(2, 4, 3, 6))
    with torch.no_grad():
        exact = head(roi, context)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = head(roi, context)
    assert torch.allclose(rough.float(), exact, atol=0.1)


def test_what_a_user_can_ask_wrongly_is_refused() -> None:
    with pytest.raises(InputError, match=r"^head acrn: convs is 0, expected at least 1$"):
        acrn(SETTINGS, convs=0)
    with pytest.raises(InputError, match=r"^head acrn: it reads the feature map, found map_channels 0$"):
        acrn(HeadSettings(roi_channels=5, bank_channels=0, classes=3))
    head = acrn(SETTINGS)
    assert (sorted(head.needs), sorted(head.scopes)) == (["feature_map"], ["all"])
    with pytest.raises(ValueError, match=r"^this head needs feature_map, the context has none$"):
        head(torch.zeros(1, 5, 1, 2, 2), Context(clip_index=torch.tensor([0])))
