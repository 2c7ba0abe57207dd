"""Fixtures of VideoMAE's detectors: upstream's own, and others whose numbers plain functions compute."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base.errors import InputError
from pipeline.interop.check_fixture import check_fixture
from pipeline.interop.videomae_fixture import is_videomae
from tests.interop.plain_videomae import SMALL, made_videomae

FOLDER = Path(__file__).parents[1] / "fixtures" / "parity" / "vit"


def changed(path: Path, **changes: Any) -> Path:
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | changes))
    return path


@pytest.mark.parametrize(
    "config",
    [SMALL, SMALL | {"embed_dims": 16, "depth": 2, "num_heads": 1, "num_frames": 4, "mlp_ratio": 3, "patch_size": 8}],
)
def test_a_made_fixture_with_sizes_that_no_patch_divides_passes(tmp_path: Path, config: dict[str, Any]) -> None:
    report = check_fixture(made_videomae(tmp_path, config))
    assert report.passed, [each for each in report.differences if not each.within]
    assert report.largest < 5e-6
    assert report.upstream == "MMAction2 main 4d6c934"
    assert report.parameters is not None
    names = {each.tensor for each in report.differences}
    assert {"cls_score", "square/cls_score", "block0", "square/fc_in", "pos_embed/7x3/row2_first6"} <= names


def test_a_wrong_number_fails(tmp_path: Path) -> None:
    path = made_videomae(tmp_path)
    with np.load(path.with_suffix(".npz")) as archive:
        arrays = dict(archive)
    arrays["block1/strided64"][3] += 0.01
    np.savez(path.with_suffix(".npz"), **arrays)
    assert [each.tensor for each in check_fixture(path).differences if not each.within] == ["block1"]
    facts = json.loads(path.read_text())
    facts["pos_embed_interpolated_bicubic_align_corners_false"]["4x5"]["row2_first6"][0] += 0.01
    path.write_text(json.dumps(facts))
    failed = [each.tensor for each in check_fixture(path).differences if not each.within]
    assert failed == ["block1", "pos_embed/4x5/row2_first6"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"qkv_bias": False}, r"backbone\.qkv_bias is False, supported: True"),
        ({"norm_cfg": {"type": "LN", "eps": 1e-5}}, r"backbone\.norm_cfg\.eps is 1e-05, supported: 1e-06"),
        ({"register_tokens": 4}, r"backbone\.register_tokens is 4, which is not known here"),
        ({"num_heads": 7}, r"a transformer's width is 24, expected an even multiple of its 7 heads"),
        ({"depth": 2}, r"the described model has other weights than the fixture"),
    ],
)
def test_another_network_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = made_videomae(tmp_path)
    with pytest.raises(InputError, match=rf"vit-small\.json: {message}"):
        check_fixture(changed(path, backbone=SMALL | changes))


def test_a_fixture_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    path = made_videomae(tmp_path)
    with pytest.raises(InputError, match=r"vit-small\.json: not a whole fixture: KeyError 'parameters'"):
        facts = json.loads(path.read_text())
        del facts["parameters"]
        path.write_text(json.dumps(facts))
        check_fixture(path)
    block = json.loads(path.read_text())["main"] | {"clip": "noise"}
    with pytest.raises(InputError, match=r"clip is 'noise', expected RandomState\(SEED\)"):
        check_fixture(changed(path, parameters=1, main=block))


def test_what_is_of_this_kind() -> None:
    assert is_videomae({"backbone": {"type": "mmaction.VisionTransformer"}})
    assert not is_videomae({"backbone": {"type": "mmaction.MViT"}})
    assert not is_videomae({"backbone": "VisionTransformer"})


@pytest.mark.slow  # full size: 11 s
@pytest.mark.parametrize("size", ["base", "large"])
def test_upstreams_own_numbers(size: str) -> None:
    report = check_fixture(FOLDER / f"vit-{size}-videomae-avakinetics.json")
    assert report.passed, [each for each in report.differences if not each.within]
    assert report.largest < 1e-5
