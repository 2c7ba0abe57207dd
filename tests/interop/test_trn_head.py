import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base.errors import InputError
from pipeline.interop.check_fixture import check_fixture
from tests.interop.plain_trn import heads_fixture
from tests.parity import FOLDER

UPSTREAM = FOLDER.parent / "trn" / "head.json"
CASES = [("TRN", 5, 1), ("TRNMultiScale", 6, 4), ("TRNMultiScale", 2, 0), (None, 3, 0)]


def test_heads_are_upstreams() -> None:
    report = check_fixture(UPSTREAM)
    assert report.passed
    assert report.largest < 1e-6
    assert [each.tensor for each in report.differences if "/" not in each.tensor] == [
        "TRN_3", "TRN_8", "TRNMultiScale_3", "TRNMultiScale_4", "TRNMultiScale_8",
    ]  # fmt: skip
    assert sum(each.values for each in report.differences) == 5 * 696 + 9 * 5  # 9 scales are drawn from


def test_other_heads_of_other_segments_and_draws_are_checked_too(tmp_path: Path) -> None:
    report = check_fixture(heads_fixture(tmp_path, CASES))
    assert report.passed
    assert report.tolerance == "1e-05 + 1e-05 |x|"


@pytest.mark.parametrize("what", ["score", "drawn", "out_of"])
def test_a_number_that_is_another_is_found(tmp_path: Path, what: str) -> None:
    path = copied(tmp_path)
    facts, arrays = json.loads(path.read_text()), dict(np.load(path.with_suffix(".npz")))
    if what == "score":
        arrays["TRNMultiScale_8"][2, 100] += 2e-5 * (1 + abs(arrays["TRNMultiScale_8"][2, 100]))
        np.savez(path.with_suffix(".npz"), **arrays)
    else:
        facts["cases"][4]["draws_in_order"][2][what] = [1, 2, 3] if what == "drawn" else 55
        path.write_text(json.dumps(facts))
    report = check_fixture(path)
    assert not report.passed
    expected = {
        "score": ["TRNMultiScale_8"], "drawn": ["TRNMultiScale_8/relations of 5", "TRNMultiScale_8"],
        "out_of": ["TRNMultiScale_8/number of relations of 5"],
    }  # fmt: skip
    assert [each.tensor for each in report.differences if not each.within] == expected[what]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"relation_type": "TRN"},
            r"TRNMultiScale_8: relation_type is 'TRN' of 8 segments, and its keys are those of trn_multiscale of 8",
        ),
        ({"input": "zeros"}, r"input is 'zeros', expected RandomState\(N\)\.standard_normal\(\(sides\)\)"),
        ({"num_segments": 7}, r"not a whole fixture|TRNMultiScale_8: relation_type is 'TRNMultiScale' of 7 segments"),
        ({"name": "other"}, r"TRNMultiScale_8, other: expected an array for each case, and a case for each array"),
        ({"keys": 3}, "not a whole fixture: AttributeError "),
    ],
)
def test_what_is_not_whole_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = copied(tmp_path)
    facts = json.loads(path.read_text())
    facts["cases"][4] |= change
    path.write_text(json.dumps(facts))
    with pytest.raises(InputError, match=rf"^\S*head\.json: ({message})"):
        check_fixture(path)


def copied(folder: Path) -> Path:
    for end in (".json", ".npz"):
        shutil.copy(UPSTREAM.with_suffix(end), folder)
    return folder / UPSTREAM.name
