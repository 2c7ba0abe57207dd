"""Sampling, views, flips and metrics of MMAction2's TRN: the shipped fixture, and changes of it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.base.code_version import REPOSITORY
from pipeline.base.errors import InputError
from pipeline.interop.check_fixture import check_fixture
from pipeline.interop.trn_pipeline import check_pipeline, is_pipeline, published_classes

SHIPPED = REPOSITORY / "tests/fixtures/parity/trn/pipeline.json"
Facts = dict[str, Any]


def facts_of() -> Facts:
    read: Facts = json.loads(SHIPPED.read_text())
    return read


def failed(facts: Facts) -> list[str]:
    return [each.tensor for each in check_pipeline(SHIPPED, facts).differences if not each.within]


def test_the_shipped_fixture_passes() -> None:
    report = check_fixture(SHIPPED)
    assert report.passed
    assert (report.name, len(report.differences), report.largest) == ("pipeline", 571, 1.0)


def _first_frame(facts: Facts) -> None:
    facts["train_indices"][-1]["frame_inds"][3] += 1


def _pixel(facts: Facts) -> None:
    facts["whole_pipeline"][0]["uint8_strided64"][5] += 4


def _swap(facts: Facts) -> None:
    facts["flip"]["sthv1"]["changed_labels"][0] = [2, 5]


def _box(facts: Facts) -> None:
    facts["multi_scale_crop"][0]["choices"][2]["crop_xyxy_by_offset_choice"][12][0] += 1


def _tie(facts: Facts) -> None:
    facts["metric"]["ties_all_equal_scores_width6_label_each"][5]["top1"] = 0.0


@pytest.mark.parametrize(
    ("change", "tensor"),
    [
        (_first_frame, "train_indices/117+0/seed2026"),
        (_pixel, "whole0/sthv2/train/pixels"),
        (_swap, "flip/sthv1"),
        (_box, "multi_scale_crop/338x256/boxes2"),
        (_tie, "metric/ties5"),
    ],
)
def test_a_number_that_differs_is_named(change: Callable[[Facts], None], tensor: str) -> None:
    facts = facts_of()
    facts["whole_pipeline"] = facts["whole_pipeline"][4:5]
    if change is not _pixel:
        facts["whole_pipeline"] = []
    change(facts)
    assert failed(facts) == [tensor]


def test_what_is_not_known_is_refused() -> None:
    facts = {**facts_of(), "whole_pipeline": []}
    with pytest.raises(InputError, match=r"pipeline\.json: colour is not known here$"):
        check_pipeline(SHIPPED, {**facts, "colour": 1})
    with pytest.raises(InputError, match=r"pipeline\.json: not a whole fixture: KeyError 'total_frames'$"):
        check_pipeline(SHIPPED, {**facts, "test_indices": [{}]})
    with pytest.raises(InputError, match=r"version sthv3 is not known here, expected one of sthv1, sthv2$"):
        published_classes("sthv3")
    assert is_pipeline({"test_indices": []})
    assert not is_pipeline({"metric": {}})
