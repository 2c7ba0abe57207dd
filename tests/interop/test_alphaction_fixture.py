import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base.errors import InputError
from pipeline.interop.alphaction_fixture import check_alphaction
from pipeline.interop.compare_fixture import ParityReport
from tests.interop.made_alphaction import FOLDER, config_of, made_alphaction


def check(path: Path) -> ParityReport:
    return check_alphaction(path, json.loads(path.read_text()))


def changed(path: Path, change: Callable[[Any], None]) -> Path:
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))
    return path


def _serial(structure: str = "serial", order: Any = ("M", "O", "P"), **more: Any) -> Callable[[Any], None]:
    def change(config: Any) -> None:
        config["MODEL"]["IA_STRUCTURE"] |= {"STRUCTURE": structure, "I_BLOCK_LIST": list(order), **more}

    return change


def _deeper(config: Any) -> None:
    config["INPUT"] |= {"TAU": 8, "ALPHA": 4}
    config["MODEL"]["BACKBONE"]["SLOWFAST"]["BETA"] = 0.25
    config["MODEL"]["IA_STRUCTURE"] |= {"DIM_IN": 2048 + 512, "DIM_OUT": 2048 + 512}
    config["TEST"]["EXTEND_SCALE"] = [0, 0.3]


def _baseline(config: Any) -> None:
    config["MODEL"]["IA_STRUCTURE"]["ACTIVE"] = False


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        _serial(LENGTH=[3, 2], MAX_PER_SEC=2),
        _serial("parallel", [["O", "M"], ["O", "M"]], LENGTH=[2, 0], MAX_OBJECT=3),
        _serial("dense", "PPMO", LENGTH=[0, 3], MAX_PERSON=4),
        _serial(order="P"),
        _serial(order="PO"),
        _deeper,
        _baseline,
    ],
    ids=["serial", "parallel", "dense", "persons", "no memory", "frames", "baseline"],
)
def test_networks_and_inputs_that_no_shipped_fixture_has_pass(tmp_path: Path, change: Callable[[Any], None]) -> None:
    config = config_of()
    change(config)
    report = check(made_alphaction(tmp_path, config))
    assert report.passed, report
    assert report.largest < 1e-5


@pytest.mark.parametrize("objects", [None, [[], []]])
def test_a_fixture_without_objects_and_with_a_clip_without_persons_passes(tmp_path: Path, objects: Any) -> None:
    config = config_of()
    _serial(order="PO")(config)
    persons: list[Any] = [[[4, 3.5, 40.25, 60], [20, 10, 47, 63]], []]
    path = made_alphaction(tmp_path, config, object_boxes_xyxy=objects, person_boxes_xyxy=persons)
    report = check(path)
    assert report.passed
    assert "object_pooled" in [each.tensor for each in report.differences]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = config_of()
    _serial(LENGTH=[1, 1], order="POM")(config)
    return made_alphaction(tmp_path_factory.mktemp("made"), config)


def copy_of(made: Path, folder: Path) -> Path:
    for suffix in (".json", ".npz"):
        (folder / f"x{suffix}").write_bytes(made.with_suffix(suffix).read_bytes())
    return folder / "x.json"


def test_numbers_counts_and_what_changes_without_objects_or_memory_are_compared(made: Path, tmp_path: Path) -> None:
    path = copy_of(made, tmp_path)
    with np.load(path.with_suffix(".npz")) as archive:
        arrays = dict(archive)
    names = {name.rpartition(".")[0] or name for name in arrays}
    assert {"block.P_block_1", "reduce.mem_dim_reduce", "memory_tensor", "object_pooled", "fc1_prerelu"} < names
    for name in ("block.O_block_1.rows_mean", "block.M_block_1.rows_first32", "slow_feat.stat", "scores"):
        arrays[name] = arrays[name] + 0.01
    arrays["ia_feature.shape"] = np.array([3, 7])
    np.savez(path.with_suffix(".npz"), **arrays)

    def change(facts: Any) -> None:
        facts["n_parameters"] += 1
        facts["person_boxes_extended_xyxy"][0][0][0] += 0.1
        facts["sensitivity_max_abs_logit_change"] = {"zeromem": 1e9, "noobj": 1e9}

    report = check(changed(path, change))
    assert {each.tensor for each in report.differences if not each.within} == {
        "block.O_block_1", "block.M_block_1", "slow_feat", "scores", "ia_feature", "person_boxes_extended",
        "sensitivity/zeromem", "sensitivity/noobj",
    }  # fmt: skip
    changes = [each.largest for each in report.differences if each.tensor.startswith("sensitivity/")]
    assert all(1e9 - 100 < each < 1e9 - 1e-3 for each in changes)  # so both change the logits
    assert report.parameters is not None
    assert report.parameters[1] == report.parameters[0] + 1
    assert not report.passed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda facts: facts["state_dict"].pop(), "the described model has other weights than the fixture: state dict "
         "does not fit the model: 1 keys missing (head.classifier.bias), 0 unexpected"),
        (lambda facts: facts["inputs"].update(slow_index="clip[:,:,0::16]"),
         "inputs.slow_index is clip[:,:,0::16], expected clip[:,:,7::16] of TAU and ALPHA"),
        (lambda facts: facts["inputs"].update(clip="zeros"),
         "numbers are drawn by 'zeros', expected RandomState(N).standard_normal"),
        (lambda facts: facts["person_boxes_xyxy"].pop(), "there are boxes of 1 clips, expected 2"),
        (lambda facts: facts["object_boxes_xyxy"].__setitem__(0, [[0, 0, 9, 9]] * 6),
         "a clip has 6 objects, of which upstream draws 5"),
        (lambda facts: facts["person_boxes_xyxy"].__setitem__(0, [[0, 0, 9, 9]] * 6),
         "a clip has 6 persons, of which upstream's memory draws 5"),
        (lambda facts: facts["person_boxes_xyxy"].__setitem__(0, [[0, 0, 9, 9]] * 26),
         "a clip has 26 persons, of which upstream draws 25"),
        (lambda facts: facts["memory"].update(counts=[[1, -1, 1]]),
         "memory.counts are of (1, 3) seconds, expected (2, 3)"),
        (lambda facts: facts["memory"].update(counts=[[-1, 1, 1], [1, -1, 1]]),
         "memory.counts: expected -1, the clip itself, at second 1 and nowhere else"),
        (lambda facts: facts.update(sensitivity_max_abs_logit_change={"nothing": 1}),
         "the change of the logits by nothing is not known here"),
        (lambda facts: facts.pop("inputs"), "not a whole fixture: KeyError 'inputs'"),
        (lambda facts: facts["resolved_config"]["MODEL"].update(NEW=1),
         "resolved_config.MODEL.NEW is 1, which is not known here"),
    ],
)  # fmt: skip
def test_fixtures_that_do_not_fit_are_refused(
    made: Path, tmp_path: Path, change: Callable[[Any], None], message: str
) -> None:
    path = changed(copy_of(made, tmp_path), change)
    with pytest.raises(InputError, match=f"^{re.escape(f'{path}: {message}')}$"):
        check(path)


def test_a_tensor_that_nobody_computes_and_a_fixture_without_logits_are_refused(made: Path, tmp_path: Path) -> None:
    path = copy_of(made, tmp_path)
    with np.load(path.with_suffix(".npz")) as archive:
        arrays = dict(archive)
    np.savez(path.with_suffix(".npz"), **arrays, other=np.zeros(3))
    with pytest.raises(InputError, match=r"x\.json: tensor other is not known here$"):
        check(path)
    del arrays["logits"]
    np.savez(path.with_suffix(".npz"), **arrays)
    with pytest.raises(InputError, match=r"x\.json: not a whole fixture: it has no logits to compare with$"):
        check(path)


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(FOLDER.glob("resnet*.json")), ids=lambda path: path.stem)
def test_the_shipped_fixtures_pass(path: Path) -> None:
    report = check(path)
    assert report.passed
    assert report.largest < 5e-5


def test_one_shipped_fixture_passes() -> None:
    assert check(FOLDER / "resnet50_4x16f_denseserial.json").passed
