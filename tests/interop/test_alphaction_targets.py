"""Targets, objects and persons of AlphAction: the shipped fixture, and changes of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.base.code_version import REPOSITORY
from pipeline.base.errors import InputError
from pipeline.cli import build_app
from pipeline.interop.alphaction_targets import check_targets, is_targets
from pipeline.interop.check_fixture import check_fixture

SHIPPED = REPOSITORY / "tests/fixtures/parity/aia_training/objects_and_targets.json"
Facts = dict[str, Any]


def facts_of() -> Facts:
    read: Facts = json.loads(SHIPPED.read_text())
    return read


def failed(facts: Facts) -> list[str]:
    return [each.tensor for each in check_targets(SHIPPED, facts).differences if not each.within]


def test_the_shipped_fixture_passes() -> None:
    report = check_fixture(SHIPPED)
    assert report.passed
    assert (report.name, report.upstream) == ("objects_and_targets", "AlphAction 4ea202d7491e run on CPU")
    assert len(report.differences) == 6 + 3 * 12 + 3 + 1
    # Of boxes it is the rounding of the fixture's four decimals.
    assert report.largest == pytest.approx(5e-5, rel=1e-3)


def test_the_command_prints_it() -> None:
    result = CliRunner().invoke(build_app("parity"), ["parity", str(SHIPPED)])
    assert result.exit_code == 0, result.output
    assert "46 of 46 tensors within 1e-5 |x|, of rounded boxes 0.0001, largest difference 5.00e-05: passed" in (
        result.output
    )


def test_what_differs_is_named() -> None:
    facts = facts_of()
    facts["object_transforms_training"][4]["kept_scores"].reverse()
    facts["object_transforms_training"][6]["kept_xyxy"][0][0] += 0.01
    facts["object_transforms_training"][8]["resized_to"] = [342, 256]
    facts["objects_per_person"][1]["torch_manual_seed"] = 4
    facts["objects_per_person"][0]["torch_manual_seed"] = 4
    facts["persons_27"]["permutation_first25"][0] = 9
    assert failed(facts) == [
        "objects4/kept_scores",
        "objects6/kept_xyxy",
        "objects8/size",
        "objects_per_person0",  # the only one with too many objects
        "persons_27/permutation",
    ]


def test_other_numbers_of_a_kind_pass_too() -> None:
    facts = facts_of()
    case = facts["object_transforms_training"][2]
    wide = {**case, "size_wh": [865, 360], "resized_to": [463, 193], "in_xywh": [[0, 0, 865, 360]]}
    wide["kept_xyxy"] = [[0, 0, 864 * 463 / 865, 359 * 193 / 360]]
    facts["object_transforms_training"] = [wide]
    facts["objects_per_person"] = facts["objects_per_person"][:1]
    assert failed(facts) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda facts: facts["objects_per_person"][0].update(features="zeros"),
            "features are 'zeros', expected RandomState(N).standard_normal((n,channels))",
        ),
        (
            lambda facts: facts["persons_27"].update(same_subset_for_every_query=False),
            "persons_27: queries see different persons, which is not known here",
        ),
        (lambda facts: facts["pose_rule"].pop("weights"), "not a whole fixture: KeyError 'weights'"),
    ],
)
def test_what_is_not_known_is_refused(change: Any, message: str) -> None:
    facts = facts_of()
    change(facts)
    with pytest.raises(InputError) as error:
        check_targets(Path("x.json"), facts)
    assert str(error.value) == f"x.json: {message}"


def test_the_kind_is_told_by_the_facts() -> None:
    assert is_targets(facts_of())
    assert not is_targets({"pose_rule": {}})
