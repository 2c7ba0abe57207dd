import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base.errors import InputError
from pipeline.interop.check_fixture import check_fixture
from tests.interop.plain_acar import acar_fixture
from tests.parity import FOLDER

UPSTREAM = FOLDER.parent / "acar" / "acar.json"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return acar_fixture(tmp_path_factory.mktemp("acar"))


def changed(written: Path, folder: Path, change: Any) -> Path:
    facts, arrays = json.loads(written.read_text()), dict(np.load(written.with_suffix(".npz")))
    change(facts, arrays)
    (folder / "x.json").write_text(json.dumps(facts))
    np.savez(folder / "x.npz", **arrays)
    return folder / "x.json"


def part_of_upstream(folder: Path, keep: Any) -> Path:
    def change(facts: dict[str, Any], arrays: dict[str, Any]) -> None:
        for name in [each for each in facts if each != "upstream" and not keep(each)]:
            del facts[name]
        for name in [each for each in arrays if not keep(each.partition("/")[0])]:
            del arrays[name]

    return changed(UPSTREAM, folder, change)


def test_other_heads_losses_rates_and_boxes_are_checked_too(written: Path) -> None:
    report = check_fixture(written)
    assert report.passed
    names = {each.tensor for each in report.differences}
    assert {
        "deep/hr2o1.1", "deep/logits of one call", "flat/down.0", "cut/gap.1", "cut/actor", "cut/parameters",
        "loss/loss",
        "schedule_7_steps_per_epoch/r101", "neck/train_rois", "neck/sizes_before_padding",
    } <= names  # fmt: skip
    assert "cut/logits of one call" not in names
    assert (report.upstream, report.parameters, len(names)) == ("Siyu-C/ACAR-Net,", None, len(report.differences))


def test_what_is_not_a_large_head_is_upstreams(tmp_path: Path) -> None:
    small = ("hr2o_no_downsample", "loss", "schedule_100_steps_per_epoch", "neck")
    report = check_fixture(part_of_upstream(tmp_path, lambda name: name in small))
    assert report.passed
    assert report.largest < 1e-5


@pytest.mark.slow
def test_heads_and_both_networks_are_upstreams() -> None:
    report = check_fixture(UPSTREAM)
    assert report.passed
    assert len(report.differences) == 76
    assert {each.tensor.partition("/")[0] for each in report.differences if "parameters" in each.tensor} == {
        "hr2o_depth2", "hr2o_depth2_padded", "hr2o_depth1_mlp1x1", "hr2o_no_downsample", "slowfast50", "slowfast101",
    }  # fmt: skip


def more(key: str, index: Any) -> Any:
    def change(facts: dict[str, Any], arrays: dict[str, Any]) -> None:
        arrays[key][index] += 3e-4 * (1 + abs(arrays[key][index]))

    return change


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (more("deep/hr2o0.1_strided64", 9), ["deep/hr2o0.1"]),
        (more("cut/scores", (3, 2)), ["cut/scores"]),
        (lambda facts, _: facts["flat"].update(parameters=3), ["flat/parameters"]),
        (lambda facts, _: facts["loss"].update(loss=0.5), ["loss/loss"]),
        (lambda facts, _: facts["neck"].update(eval_rois=[[0, 0.4, 0.1, 0.8, 0.56]]), ["neck/eval_rois"]),
        (
            lambda facts, _: facts["schedule_7_steps_per_epoch"]["r50"].update({"39": 0.064}),
            ["schedule_7_steps_per_epoch/r50"],
        ),
    ],
)
def test_a_number_that_is_another_is_found(written: Path, tmp_path: Path, change: Any, names: list[str]) -> None:
    report = check_fixture(changed(written, tmp_path, change))
    assert [each.tensor for each in report.differences if not each.within] == names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda facts, _: facts.update(other={}), "the block other is not known here"),
        (lambda facts, _: facts["deep"]["head"].update(act="gelu"), "head.act is 'gelu', which is not known here"),
        (lambda facts, _: facts["deep"]["head"].update(width=8), "head.width is 8, supported: 7"),
        (lambda facts, _: facts["deep"]["head"].update(kernel_size=5), "head.kernel_size is 5, supported: 3"),
        (
            lambda facts, _: facts["deep"].update(roi_ids=[0, 2, 2, 4]),
            "deep: roi_ids are [0, 2, 2, 4], expected [0, 1, 1, 4] of the RoIs",
        ),
        (
            lambda facts, _: facts["deep"]["keys"].update({"fc3.weight": [4, 4]}),
            "the described network has other weights than the fixture: state dict does not fit the model: 0 keys "
            "missing, 1 unexpected (head.fc3.weight)",
        ),
        (
            lambda facts, arrays: arrays.pop("flat/logits"),
            "flat: not a whole fixture: it has no logits to compare with",
        ),
        (lambda facts, arrays: arrays.update({"flat/more": np.zeros(2)}), "tensor flat/more is not known here"),
        (
            lambda facts, arrays: arrays.update({"far/logits": np.zeros(2)}),
            "far/logits is the tensor of no block of the fixture",
        ),
        (
            lambda facts, _: facts["deep"].update(features="ones"),
            "numbers are drawn by 'ones', expected RandomState(N)",
        ),
        (
            lambda facts, _: facts["schedule_7_steps_per_epoch"].update(r18={"0": 1}),
            "schedule_7_steps_per_epoch has the training r18, expected one of r50, r101",
        ),
        (
            lambda facts, _: facts["loss"].update(logits="RandomState(8).standard_normal((3,80))"),
            "loss: logits have 80 columns, expected 60",
        ),
        (lambda facts, _: facts["deep"].pop("features"), "not a whole fixture: KeyError 'features'"),
    ],
)
def test_what_is_not_known_is_refused(written: Path, tmp_path: Path, change: Any, message: str) -> None:
    path = changed(written, tmp_path, change)
    with pytest.raises(InputError, match=f"^{re.escape(f'{path}: {message}')}$"):
        check_fixture(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clip": "zeros"}, "slowfast50: the clip is drawn by 'zeros', expected RandomState(N).standard_normal(...)"),
        ({"sizes_before_padding_wh": [[1, 1]]}, "slowfast50: a whole model with padded clips is not known here"),
        ({"backbone": {"alpha": 4, "beta": 0.3}}, "backbone.beta is 0.3, supported: 1/2, 1/4, ... to 1/64"),
        ({"backbone": {"alpha": 4, "beta": 0.125, "gamma": 1}}, "backbone.gamma is 1, which is not known here"),
        (
            {"state_dict": [["backbone.module.slow_res3.7.conv1.weight", [1]]]},
            "slow_res3 has 8 blocks, expected 6 or 23",
        ),
    ],
)
def test_another_network_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = part_of_upstream(tmp_path, lambda name: name == "slowfast50")
    facts = json.loads(path.read_text())
    facts["slowfast50"] |= change
    path.write_text(json.dumps(facts))
    with pytest.raises(InputError, match=f"^{re.escape(f'{path}: {message}')}$"):
        check_fixture(path)
