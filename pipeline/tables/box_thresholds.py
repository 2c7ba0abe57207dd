"""Whether any box of a split reaches the score that a stage asks for; said where it is known, with the key to set."""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.errors import InputError
from pipeline.tables.select_boxes import BoxRule
from pipeline.tables.timelines import films_of


def videos_of(table: pa.Table, split: str) -> list[str]:
    """The videos of a split in TIMELINES or KEYFRAMES."""
    videos: list[str] = pc.unique(films_of(table, split)["video_id"]).to_pylist()
    return videos


def check_threshold(where: str, boxes: pa.Table, videos: Iterable[str], *, split: str, rule: BoxRule, key: str) -> None:
    """Refuse a threshold that no box of a split reaches, though it has boxes of persons; a lowered one never is.

    Args:
        where: what the boxes lie in, for the message.
        boxes: BOXES.
        videos: those of the split.
        split: its name.
        rule: whose threshold it is.
        key: the parameter, e.g. `bank.box_threshold`.

    Raises:
        InputError: see above.
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
