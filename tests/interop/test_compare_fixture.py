"""`check_parity` on fixtures made here: of architectures that no shipped fixture has, computed by plain functions."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.interop.compare_fixture import check_parity, compare
from pipeline.interop.fixtures import Expected
from tests.interop.made_fixture import FOLDER, NON_LOCAL_CFG, WIDTH, made_fixture, made_pyslowfast, slowfast, slowonly


@pytest.fixture(scope="module")
def plain_slowonly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a fixture that is whole. Tests copy it, and change the copy."""
    return made_fixture(tmp_path_factory.mktemp("plain"), slowonly(), frames=2).parent


def _context_and_mlp() -> Any:
    hyper = slowonly(
        non_local_stages=[[0, 1, 0], 0, [0, 0, 0, 0, 0, 1], [1, 0, 0]],
        non_local_cfg=NON_LOCAL_CFG,
        dilations=[1, 1, 1, 2],
        stage_inflations=[1, 0, [0, 1, 0, 1, 1, 0], 1],
    )
    hyper["roi_extractor"] |= {"with_global": True, "temporal_pool_mode": "max", "output_size": 5}
    hyper["bbox_head"] |= {"in_channels": 2 * 32 * WIDTH, "mlp_head": True, "multilabel": False}
    return hyper


def _mean_pooled() -> Any:
    hyper = slowonly(conv1_kernel=[3, 5, 5], spatial_strides=[1, 2, 2, 2])
    hyper["roi_extractor"] |= {"aligned": False, "featmap_stride": 32, "spatial_scale": 1 / 32}
    hyper["bbox_head"] |= {"spatial_pool_type": "avg"}
    return hyper


def _slowfast() -> Any:
    hyper = slowfast(alpha=2, kernel=3)
    hyper["slow_path"] |= {"non_local_stages": [0, [0, 0, 0, 1], 0, 0], "non_local_cfg": NON_LOCAL_CFG}
    hyper["fast_path"] |= {"stage_inflations": [1, 0, [1, 0, 0, 0, 1, 1], 0], "conv1_kernel": [3, 7, 7]}
    hyper["roi_extractor"] |= {"temporal_pool_mode": "max"}
    return hyper


def _slowfast_of_thinned_frames() -> Any:
    hyper = slowfast(alpha=2, tau=4, beta=8, kernel=5)
    hyper["slow_path"]["lateral_norm"] = True
    return hyper


def _acrn() -> Any:
    hyper = slowonly()
    hyper["roi_extractor"]["with_global"] = True
    hyper["shared_head"] = {
        "type": "ACRNHead",
        "in_channels": 3 * 32 * WIDTH,
        "out_channels": 32 * WIDTH,
        "stride": 1,
        "num_convs": 2,
    }
    return hyper


def lfb(kind: str = "FBONonLocal", *, layers: int = 3, latent: int = 24, seconds: int = 7, per_second: int = 3) -> Any:
    hyper = slowonly()
    width = {"FBONonLocal": latent}.get(kind, 40)
    hyper["bbox_head"]["in_channels"] = 32 * WIDTH + width
    hyper["shared_head"] = {
        "type": "FBOHead",
        "lfb_cfg": {"max_num_sampled_feat": per_second, "window_size": seconds, "lfb_channels": 40},
        "fbo_cfg": {
            "st_feat_channels": 32 * WIDTH, "lt_feat_channels": 40, "latent_channels": latent,
            "num_lt_feat": seconds * per_second, "num_non_local_layers": layers, "pre_activate": True,
        },
        "fbo": kind,
    }  # fmt: skip
    return hyper


@pytest.mark.parametrize(
    ("hyper", "frames"),
    [
        (_context_and_mlp, 3),
        (_mean_pooled, 2),
        (_slowfast, 4),
        (_slowfast_of_thinned_frames, 8),
        (_acrn, 2),
        (lfb, 2),
        (lambda: lfb("FBOMax"), 2),
        (lambda: lfb("FBOAvg"), 2),
    ],
    ids=["context mlp nl", "mean pooled", "slowfast", "slowfast thinned", "acrn", "lfb nl", "lfb max", "lfb avg"],
)
def test_what_no_shipped_fixture_has_agrees_with_plain_arithmetic(
    tmp_path: Path, hyper: Callable[[], Any], frames: int
) -> None:
    path = made_fixture(tmp_path, hyper(), frames=frames)
    report = check_parity(path)
    bad = [each for each in report.differences if not each.within]
    assert not bad
    assert report.passed
    windows = {"padded/cls_score", "empty/fc_in"} if "lfb" in json.loads(path.read_text()) else set()
    assert {"cls_score", "prob", "roi_feats", "fc_in", *windows} <= {each.tensor for each in report.differences}


@pytest.mark.parametrize(("alpha", "beta", "width", "depth", "frames"), [(2, 4, 16, 50, 6), (4, 8, 8, 101, 8)])
def test_a_pyslowfast_that_no_shipped_fixture_has_agrees_with_plain_arithmetic(
    tmp_path: Path, alpha: int, beta: int, width: int, depth: int, frames: int
) -> None:
    path = made_pyslowfast(tmp_path, alpha=alpha, beta=beta, width=width, depth=depth, frames=frames)
    report = check_parity(path)
    assert report.passed, [each for each in report.differences if not each.within]
    assert len(report.differences) == 7
    if depth > 50:
        return  # one is enough to see that a number which differs fails
    arrays: Any = dict(np.load(path.with_suffix(".npz")))
    arrays["roi.p1.first64"] = arrays["roi.p1.first64"] + 0.01
    np.savez(path.with_suffix(".npz"), **arrays)
    assert not check_parity(path).passed


def test_variants_are_compared_too(tmp_path: Path) -> None:
    report = check_parity(made_fixture(tmp_path, slowonly(), frames=2, odd=True))
    assert report.passed
    assert "odd/cls_score" in {each.tensor for each in report.differences}


@pytest.mark.parametrize("name", ["cls_score", "fc_in/first64", "roi_feats/strided64"])
def test_one_number_that_differs_fails(plain_slowonly: Path, tmp_path: Path, name: str) -> None:
    path = shutil.copytree(plain_slowonly, tmp_path / "copy") / "made.json"
    arrays = dict(np.load(path.with_suffix(".npz")))
    arrays[name] = arrays[name].copy()
    arrays[name].flat[7] += 1e-3 * (1 + abs(arrays[name].flat[7]))
    np.savez(path.with_suffix(".npz"), **arrays)
    report = check_parity(path)
    assert [each.tensor for each in report.differences if not each.within] == [name.split("/")[0]]
    assert not report.passed


def test_a_statistic_a_shape_and_a_count_that_differ_fail(plain_slowonly: Path, tmp_path: Path) -> None:
    path = shutil.copytree(plain_slowonly, tmp_path / "copy") / "made.json"
    facts = json.loads(path.read_text())
    facts["tensors"]["fc_in"]["std"] *= 1.01
    facts["tensors"]["roi_feats"]["shape"] = [3, 32 * WIDTH, 1, 8, 7]
    path.write_text(json.dumps({**facts, "parameter_count": facts["parameter_count"] + 1}))
    report = check_parity(path)
    assert {each.tensor for each in report.differences if not each.within} == {"fc_in", "roi_feats"}
    assert f"shape (3, {32 * WIDTH}, 1, 8, 8), expected (3, {32 * WIDTH}, 1, 8, 7)" in [
        each.note for each in report.differences
    ]
    assert report.parameters == (facts["parameter_count"], facts["parameter_count"] + 1)


def test_other_weights_than_described_are_refused(plain_slowonly: Path, tmp_path: Path) -> None:
    path = shutil.copytree(plain_slowonly, tmp_path / "copy") / "made.json"
    facts = json.loads(path.read_text())
    facts["state_dict"] = facts["state_dict"][1:]
    path.write_text(json.dumps(facts))
    message = (
        f"{path}: the described model has other weights than the fixture: state dict does not fit the model: "
        "1 keys missing (backbone.conv1.conv.weight), 0 unexpected"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        check_parity(path)


def test_a_tensor_that_nobody_computes_is_refused(plain_slowonly: Path, tmp_path: Path) -> None:
    path = shutil.copytree(plain_slowonly, tmp_path / "copy") / "made.json"
    arrays: Any = dict(np.load(path.with_suffix(".npz")))
    arrays["stage/backbone.layer9/first64"] = np.zeros(64, np.float32)
    np.savez(path.with_suffix(".npz"), **arrays)
    with pytest.raises(InputError, match=r"tensor stage/backbone\.layer9 is not known here$"):
        check_parity(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": {"shape": [2, 3, 4, 64], "seed": 0}}, r"a clip's shape is \[2, 3, 4, 64\], expected \["),
        ({"input": {"shape": [2, 3, 4, -1, 5], "seed": 0}}, r"a clip's shape is \[2, 3, 4, -1, 5\], expected \["),
        ({"roi_batch_index": [0, 0, 2]}, r"clips of boxes are \[0, 0, 2\], expected 3 of 0 to 1$"),
        ({"boxes_xyxy": [[], []]}, r"clips of boxes are \[0, 0, 1\], expected 0 of 0 to 1$"),
        ({"boxes_xyxy": [[[0, 0, 1]], []]}, r"not a whole fixture: RuntimeError shape '\[-1, 4\]' is invalid"),
        ({"state_dict": [["a", [-1], "float32"]]}, "not a whole fixture: ValueError negative dimensions"),
    ],
)
def test_inputs_that_fit_no_model_are_refused(plain_slowonly: Path, tmp_path: Path, changes: Any, message: str) -> None:
    path = shutil.copytree(plain_slowonly, tmp_path / "copy") / "made.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: {message}"):
        check_parity(path)


def test_a_clip_that_the_network_cannot_take_is_refused_with_the_file(tmp_path: Path) -> None:
    path = made_fixture(tmp_path, _slowfast(), frames=2)
    facts = json.loads(path.read_text())
    facts["input"]["shape"][2] = 5
    path.write_text(json.dumps(facts))
    message = f"{path}: a clip has 5 frames, this SlowFast needs a multiple of 2"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        check_parity(path)


def test_a_fixture_without_logits_proves_nothing(plain_slowonly: Path, tmp_path: Path) -> None:
    path = shutil.copytree(plain_slowonly, tmp_path / "copy") / "made.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tensors": {}}))
    arrays: Any = {"roi_feats/first64": np.zeros(64, np.float32)}
    np.savez(path.with_suffix(".npz"), **arrays)
    message = f"{path}: not a whole fixture: it has no logits (cls_score or logits) to compare with"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        check_parity(path)


def test_damaged_arrays_are_refused(plain_slowonly: Path, tmp_path: Path) -> None:
    path = shutil.copytree(plain_slowonly, tmp_path / "copy") / "made.json"
    arrays = path.with_suffix(".npz")
    whole = arrays.read_bytes()
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.savez(tmp_path / "objects.npz", cls_score=np.array([{}], dtype=object))
    np.savez(tmp_path / "words.npz", cls_score=np.array(["x"]))
    for content in (b"", whole[:500], whole[:300] + bytes(200) + whole[500:], (tmp_path / "one.npy").read_bytes(),
                    (tmp_path / "objects.npz").read_bytes()):  # fmt: skip
        arrays.write_bytes(content)
        message = f"{arrays}: cannot be read: it is no whole archive of arrays of numbers"
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            check_parity(path)
    arrays.write_bytes((tmp_path / "words.npz").read_bytes())
    with pytest.raises(InputError, match=r"made\.npz: cls_score is of type <U1, expected numbers$"):
        check_parity(path)
    arrays.unlink()
    with pytest.raises(InputError, match=r"made\.npz: cannot be read: No such file or directory$"):
        check_parity(path)


def test_nan_is_never_within_the_tolerance() -> None:
    expected = Expected(values={"full": np.zeros((2, 2), np.float32)})
    found = compare("x", torch.tensor([[0, 0], [0, float("nan")]]), expected)
    assert not found.within
    assert compare("x", torch.zeros(2, 2), expected).within
    assert compare("x", torch.full((2, 2), 1e-4), expected).within
    assert not compare("x", torch.full((2, 2), 1.1e-4), expected).within


SHIPPED = sorted(FOLDER.glob("slow*.json")) + sorted((FOLDER.parent / "pyslowfast").glob("*.json"))


def test_every_shipped_fixture_is_here() -> None:
    assert len(SHIPPED) == 23 + 4


@pytest.mark.slow
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_fixtures_pass(path: Path) -> None:
    report = check_parity(path)
    assert report.passed, [each for each in report.differences if not each.within]


def test_one_fixture_of_each_source_passes() -> None:
    assert check_parity(FOLDER / "slowonly-r50-4x16-ava21.json").passed
    assert check_parity(FOLDER.parent / "pyslowfast" / "SLOW_4x16_R50.json").passed


def test_a_tensor_of_no_rows_agrees_with_an_array_of_none_alone() -> None:
    rows = torch.zeros(0, 4)
    none = Expected(values={"first64": np.zeros(0), "rows_first32": np.zeros((0, 4))})
    assert compare("x", rows, none).within
    found = compare("x", rows, Expected(values={"first64": np.zeros(4)}))
    assert (found.within, found.note) == (False, "0 values, expected 4")
    assert not compare("x", torch.ones(1, 4), none).within
