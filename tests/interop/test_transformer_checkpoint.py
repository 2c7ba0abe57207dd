import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.interop.transformer_checkpoint import from_hiera, from_videomae
from pipeline.models.backbones.videomae import VideoMae
from pipeline.models.build import build_backbone
from tests.interop.made_hiera import weights
from tests.interop.test_hiera_weights import BASE
from tests.interop.test_videomae_files import WIDTH, original

PATH = Path("film/x.pth")


def videomae() -> dict[str, Tensor]:
    network = build_backbone("videomae_b", width=WIDTH)
    assert isinstance(network, VideoMae)
    return original(network)


def test_a_videomae_is_a_classifier_where_it_has_a_head_and_names_what_lies_beside() -> None:
    tensors = videomae()
    plain = from_videomae(PATH, tensors, [], {})
    assert (plain.kind, plain.described, plain.head) == ("backbone", "VideoMAE backbone", "")
    around = {"module": tensors, "optimizer": {}, "epoch": 3}
    found = from_videomae(PATH, tensors | {"head.weight": torch.zeros(4, WIDTH)}, ["x"], around)
    assert (found.kind, found.described, found.head) == ("classifier", "VideoMAE classifier", "head.")
    assert found.no_weights[:3] == ("x", "optimizer", "epoch")


def test_a_hiera_is_a_classifier_where_it_has_a_head_and_names_what_lies_beside() -> None:
    state = weights(BASE)
    found = from_hiera(PATH, state, [], {"model_state": state, "epoch": 3})
    assert (found.kind, found.described, found.no_weights) == ("classifier", "Hiera classifier", ("epoch",))
    headless = {key: value for key, value in state.items() if not key.startswith("head.")}
    found = from_hiera(PATH, headless, [], {})
    assert (found.kind, found.described, found.head) == ("backbone", "Hiera backbone", "")


def test_a_refusal_names_the_file() -> None:
    tensors = videomae() | {"blocks.0.attn.qkv.bias": torch.ones(3 * WIDTH)}
    del tensors["blocks.0.attn.q_bias"], tensors["blocks.0.attn.v_bias"]
    with pytest.raises(InputError, match=f"^{re.escape(f'{PATH}: blocks.0.attn.qkv.bias: the keys have a bias of')}"):
        from_videomae(PATH, tensors, [], {})
