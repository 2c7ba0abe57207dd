import dataclasses
from typing import Any

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.models.context import BankWindow, Context
from pipeline.models.heads.acar_lfb import acar_lfb
from pipeline.models.heads.head import HeadSettings

SETTINGS = HeadSettings(roi_channels=6, bank_channels=5, classes=3, map_channels=6, dropout=0.0)
SMALL: dict[str, Any] = {"reduced": 5, "hidden": 4, "dropout": 0.0, "latent": 8}
CLIP_INDEX = torch.tensor([1, 0, 1])


def given(filled: bool = True) -> tuple[torch.Tensor, Context]:
    generator = torch.Generator().manual_seed(0)
    mask = torch.tensor([[True, False, True], [True, True, False]]) & filled
    rows = torch.randn(2, 3, 5, generator=generator) * mask[:, :, None]
    maps = torch.randn(2, 6, 4, 5, generator=generator)
    window = BankWindow(rows, mask, CLIP_INDEX)
    return torch.randn(3, 6, 1, 3, 3, generator=generator), Context(CLIP_INDEX, window, maps)


def drawn_head() -> torch.nn.Module:
    torch.manual_seed(0)
    head = acar_lfb(SETTINGS, **SMALL)
    for name, each in head.named_parameters():
        if name.endswith("out.weight"):  # begins with zeros, so that nothing is added
            torch.nn.init.normal_(each)
    return head


def test_only_the_own_window_and_the_own_clip_change_logits() -> None:
    head = drawn_head().eval()
    roi, context = given()
    assert context.window is not None
    assert context.feature_map is not None
    with torch.no_grad():
        before = head(roi, context)
        rows = context.window.stored.clone()
        rows[1, 0] += 1
        window = head(roi, dataclasses.replace(context, window=dataclasses.replace(context.window, stored=rows)))
        maps = context.feature_map.clone()
        maps[0, :, 1] += 1
        clip = head(roi, dataclasses.replace(context, feature_map=maps))
    assert torch.equal(before[1], window[1])
    assert not torch.isclose(before[[0, 2]], window[[0, 2]]).all(dim=1).any()
    assert torch.equal(before[[0, 2]], clip[[0, 2]])
    assert not torch.allclose(before[1], clip[1])


def test_relations_and_attention_are_learnt_together_also_with_empty_windows() -> None:
    head = drawn_head()
    for filled in (True, False):
        head.zero_grad()
        head(*given(filled)).pow(2).sum().backward()
        assert all(each.grad is not None and each.grad.isfinite().all() for each in head.parameters())
    head.zero_grad()
    head(*given()).pow(2).sum().backward()
    still = [name for name, each in head.named_parameters() if not each.grad.any()]  # type: ignore[union-attr]
    assert all(name.endswith("phi.bias") for name in still), "the bias of keys changes no weight of a softmax"


def test_nonsense_is_refused_in_its_name() -> None:
    with pytest.raises(InputError, match=r"^head acar_lfb: layers is 2 and latent 0, expected at least 1$"):
        acar_lfb(SETTINGS, latent=0)
    with pytest.raises(InputError, match=r"^head acar_lfb: kernel is 2, expected 1 or 3$"):
        acar_lfb(SETTINGS, kernel=2)
    assert acar_lfb(SETTINGS, **SMALL).scopes == {"all"}
