import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import InputError
from pipeline.interop.check_fixture import check_fixture
from tests.interop.changed_fixture import changed
from tests.interop.plain_trn import steps_fixture
from tests.parity import FOLDER

UPSTREAM = FOLDER.parent / "trn" / "train_step.json"


@pytest.mark.slow
def test_two_steps_are_upstreams() -> None:
    report = check_fixture(UPSTREAM)
    assert report.passed
    assert report.parameters == (26_641_154, 26_641_154)
    names = [each.tensor for each in report.differences]
    assert sum(name.startswith("group of ") for name in names) == 18
    assert sum(name.startswith("step") for name in names) == 74


@pytest.mark.parametrize(("kind", "segments"), [("TRN", 3), ("TRNMultiScale", 4), (None, 2)])
def test_other_trainings_are_checked_too(tmp_path: Path, kind: str | None, segments: int) -> None:
    report = check_fixture(steps_fixture(tmp_path, kind, segments))
    assert report.passed, [each for each in report.differences if not each.within]
    assert report.tolerance == "0.0001 |x| (losses), 0.001 |x| (norms), 1e-06 + 0.0001 |x| (weights and statistics)"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return steps_fixture(tmp_path_factory.mktemp("made"), "TRN", 2)


@pytest.mark.parametrize(
    ("place", "changes", "wrong"),
    [
        (["param_groups", 4], {"weight_decay": 0.003}, ["group of norms/lr, weight_decay"]),
        (["param_groups", 2], {"numel": 5}, ["group of weights"]),
        (["param_groups", 5], {"momentum": 0.9}, ["group of weights of the last layer/momentum, nesterov"]),
        (["steps", 0], {"loss": 3.0}, ["step1/loss"]),
        (["steps", 1], {"parameters_without_gradient": 106}, ["step2/parameters_without_gradient"]),
        (["batchnorm"], {"total": 54}, ["batchnorm/total"]),
        (["num_batches_tracked"], {"backbone.conv1.bn": 1}, ["num_batches_tracked/backbone.conv1.bn"]),
    ],
)
def test_a_number_that_is_another_is_found(made: Path, place: Any, changes: dict[str, Any], wrong: list[str]) -> None:
    report = check_fixture(changed(made, place, **changes))
    assert [each.tensor for each in report.differences if not each.within] == wrong
    assert not report.passed


@pytest.mark.parametrize(
    ("place", "changes", "message"),
    [
        ([], {"param_groups": []}, "param_groups has 0 groups, expected 7: first convolution, "),
        (["param_groups", 3], {"first": "x"}, "the group of biases is from x to cls_head.fc_cls.bias, expected "),
        (["batchnorm"], {"training": []}, r"batchnorm\.training is \[\], expected \['backbone\.conv1\.bn'\]"),
        ([], {"state_dict": [["a", [1]]]}, "no recognizer of single frames: "),
        ([], {"input": "zeros"}, "input is 'zeros', expected RandomState"),
        ([], {"steps": [{}]}, "not a whole fixture: KeyError "),
    ],
)
def test_what_is_not_known_or_not_whole_is_refused(
    made: Path, place: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=rf"^\S*changed\.json: {message}"):
        check_fixture(changed(made, place, **changes))


def test_a_network_that_nothing_describes_is_refused(made: Path) -> None:
    facts = json.loads(made.read_text())
    del facts["state_dict"]
    path = made.with_name("unnamed.json")
    path.write_text(json.dumps(facts))
    message = r"upstream is 'made by plain functions' of 2 segments, expected a TRN config of 8, or a state_dict$"
    with pytest.raises(InputError, match=message):
        check_fixture(path)
