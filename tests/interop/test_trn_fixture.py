from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import InputError
from pipeline.interop.check_fixture import check_fixture
from tests.interop.changed_fixture import changed
from tests.interop.plain_trn import recognizer_fixture
from tests.parity import FOLDER


@pytest.mark.parametrize("version", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_every_number_is_upstreams(version: int) -> None:
    report = check_fixture(FOLDER / f"trn-r50-1x1x8-sthv{version}.json")
    assert report.passed
    assert report.parameters == (26_641_154, 26_641_154)
    assert report.largest < 5e-5
    # Of the head 26, of the draws 99; of the two inputs 1175 and 2393.
    assert sum(each.values for each in report.differences) == 3693


@pytest.mark.parametrize(("kind", "segments"), [("TRN", 3), ("TRNMultiScale", 5), (None, 4)])
def test_other_recognizers_are_checked_too(tmp_path: Path, kind: str | None, segments: int) -> None:
    report = check_fixture(recognizer_fixture(tmp_path, kind, segments))
    assert report.passed
    assert {"small/backbone_out", "small/cls_score", "small/cls_score_numpy_seed5", "small/pred_score"} <= {
        each.tensor for each in report.differences
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recognizer_fixture(tmp_path_factory.mktemp("made"), "TRNMultiScale", 5)


@pytest.mark.parametrize(
    ("block", "changes", "wrong"),
    [
        ("hyper.head", {"init_std": 0.01}, "hyper/init_std"), ("hyper.head", {"scales": [5, 4, 3]}, "hyper/scales"),
        ("hyper.head", {"subsample": [1, 3, 3, 2]}, "hyper/subsample"),
        ("tensors", {"small/absmax": 1.0}, "small/absmax"),
    ],
)  # fmt: skip
def test_a_number_that_is_another_is_found(made: Path, block: str, changes: dict[str, Any], wrong: str) -> None:
    report = check_fixture(changed(made, block.split("."), **changes))
    assert [each.tensor for each in report.differences if not each.within] == [wrong]


@pytest.mark.parametrize(
    ("block", "changes", "message"),
    [
        ("hyper.head", {"relation_type": "TRN"},
         r"hyper\.head\.relation_type is 'TRN', and the state dict is that of trn_multiscale"),
        ("hyper.head", {"temperature": 1}, r"hyper\.head\.temperature is 1, which is not known here"),
        ("hyper.backbone", {"depth": 18}, r"hyper\.backbone\.depth is 18, supported: 50 or 101"),
        ("tensors", {"small/input": {"seed": 3, "shape": [1, 7, 3, 8, 8]}},
         r"small/input has the shape \[1, 7, 3, 8, 8\], expected \[clips, views \* 5, 3, H, W\]"),
        ("tensors", {"small/other": {"shape": [1]}}, r"tensor small/other is not known here"),
        ("tensors", {"large/input": {"seed": 3, "shape": [1, 5, 3, 8, 8]}},
         r"large/cls_score is missing, which is compared with the logits"),
        ("tensors", {"small/input": None}, r"not a whole fixture: TypeError "),
    ],
)  # fmt: skip
def test_what_is_not_known_or_not_whole_is_refused(
    made: Path, block: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=rf"^\S*changed\.json: {message}"):
        check_fixture(changed(made, block.split("."), **changes))
