"""Check that a box of a split reaches a stage's threshold; the error names the parameter to change."""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.errors import InputError
from pipeline.tables.select_boxes import BoxRule
from pipeline.tables.timelines import films_of


def videos_of(table: pa.Table, split: str) -> list[str]:
    """List the videos of a split in TIMELINES or KEYFRAMES."""
    videos: list[str] = pc.unique(films_of(table, split)["video_id"]).to_pylist()
    return videos


def check_threshold(where: str, boxes: pa.Table, videos: Iterable[str], *, split: str, rule: BoxRule, key: str) -> None:
    """Check that at least one person box of a split reaches a threshold; a split without boxes passes.

    A rule that lowers its threshold always passes.

    Args:
        where: what holds the boxes, for the message.
        boxes: BOXES.
        videos: the videos of the split.
        split: name of the split.
        rule: the rule that has the threshold.
        key: the parameter that sets it, e.g. `bank.box_threshold`.

    Raises:
        InputError: no box reaches the threshold.
    """
    if rule.lower:
        return
    mine = pc.is_in(boxes["video_id"], pa.array(sorted(set(videos)), pa.string()))
    scores = boxes.filter(pc.and_(mine, pc.is_null(boxes["label"])))["score"]
    highest = pc.max(scores).as_py()
    if highest is None or highest >= rule.threshold:
        return
    raise InputError(
        f"{where}: no box of split {split} has a score of at least {rule.threshold:g} ({key}): the highest of "
        f"{len(scores)} is {highest:.4g}; set {key} to what this detector's scores mean"
    )
