import pyarrow as pa
import pytest

from pipeline.base.errors import InputError
from pipeline.tables.box_thresholds import check_threshold, threshold_fault, videos_of
from pipeline.tables.schemas import BOXES, TIMELINES

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
    def fault(split: str, threshold: float) -> str:
        videos = videos_of(TIMES, split)
        return threshold_fault(TABLE, videos, split=split, threshold=threshold, key="bank.box_threshold")

    assert fault("train", 0.9) == FAULT
    assert [fault("train", 0.31), fault("val", 0.9), fault("test", 0.9)] == ["", "", ""]


def test_a_stage_that_needs_them_is_refused() -> None:
    with pytest.raises(InputError) as error:
        check_threshold("data/x/boxes", TABLE, ["a"], split="train", threshold=0.9, key="bank.box_threshold")
    assert str(error.value) == f"data/x/boxes: {FAULT}"
    check_threshold("data/x/boxes", TABLE, ["a", "b"], split="train", threshold=0.9, key="bank.box_threshold")
