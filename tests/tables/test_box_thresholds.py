import pyarrow as pa
import pytest

from pipeline.base.errors import InputError
from pipeline.tables.box_thresholds import check_threshold, videos_of
from pipeline.tables.schemas import BOXES, TIMELINES
from pipeline.tables.select_boxes import BoxRule

ROW = {
    "timestamp": 902.0,
    "time_seconds": 2.0,
    "x1": 0.1,
    "y1": 0.1,
    "x2": 0.2,
    "y2": 0.2,
    "source": "x",
    "label": None,
}
SCORES = [("a", 0.2, None), ("a", 0.31, None), ("b", 0.95, None), ("a", 0.99, "chair")]
TABLE = pa.Table.from_pylist([{**ROW, "video_id": v, "score": s, "label": what} for v, s, what in SCORES], BOXES)
TIMES = pa.Table.from_pylist(
    [
        {"video_id": video, "split": split, "first_timestamp": 900.0, "offset_seconds": 0.0}
        for video, split in (("a", "train"), ("b", "val"))
    ],
    TIMELINES,
)
FAULT = (
    "no box of split train has a score of at least 0.9 (bank.box_threshold): the highest of 2 is 0.31; set "
    "bank.box_threshold to what this detector's scores mean"
)


def test_a_threshold_that_no_box_of_a_split_reaches_is_told_with_its_key_and_the_highest_score() -> None:
    def check(split: str, rule: BoxRule) -> None:
        videos = videos_of(TIMES, split)
        check_threshold("data/x/boxes", TABLE, videos, split=split, rule=rule, key="bank.box_threshold")

    with pytest.raises(InputError) as error:
        check("train", BoxRule(0.9))
    assert str(error.value) == f"data/x/boxes: {FAULT}"
    check("train", BoxRule(0.31))
    check("val", BoxRule(0.9))
    check("test", BoxRule(0.9))


def test_a_lowered_threshold_is_always_reached() -> None:
    check_threshold(
        "data/x/boxes", TABLE, ["a"], split="train", rule=BoxRule(0.9, lower=True), key="bank.box_threshold"
    )
