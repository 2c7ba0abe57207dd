"""MMAction2's lists of Something-Something: the shipped fixture, and changes of it."""

import json
from typing import Any

import pytest

from pipeline.base.code_version import REPOSITORY
from pipeline.base.errors import InputError
from pipeline.interop.check_fixture import check_fixture
from pipeline.interop.trn_filelists import check_file_lists

SHIPPED = REPOSITORY / "tests/fixtures/parity/trn/filelists.json"
Facts = dict[str, Any]


def facts_of() -> Facts:
    read: Facts = json.loads(SHIPPED.read_text())
    return read


def failed(facts: Facts) -> list[str]:
    return [each.tensor for each in check_file_lists(SHIPPED, facts).differences if not each.within]


def test_the_shipped_fixture_passes() -> None:
    report = check_fixture(SHIPPED)
    assert report.passed
    assert len(report.differences) == 5 * 3


def test_a_line_that_differs_is_named() -> None:
    facts = facts_of()
    facts["sthv1"]["rawframes_train"][0] = "100 13 2"
    facts["sthv2"]["videos_train"][1] = "42326.webm 87"
    assert failed(facts) == ["sthv1/rawframes_train", "sthv2/videos_train", "sthv2/videos_train/read"]


def test_what_is_not_known_is_refused() -> None:
    facts = facts_of()
    facts["sthv2"]["flows"] = []
    with pytest.raises(InputError, match=r"filelists\.json: sthv2\.flows is not known here$"):
        check_file_lists(SHIPPED, facts)
    del facts["sthv2"]["flows"], facts["sthv2"]["video_files"]
    with pytest.raises(InputError, match=r"filelists\.json: not a whole fixture: KeyError 'video_files'$"):
        check_file_lists(SHIPPED, facts)
    facts = facts_of()
    facts["sthv1"]["train_csv_lines"][0] = "100;Dancing"
    with pytest.raises(InputError, match=r"a row of the annotations is bad: train\.csv: line 1: found the label"):
        check_file_lists(SHIPPED, facts)
