"""Whether any box of a split reaches the score that a stage asks for; said where it is known, with the key to set."""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.errors import InputError
from pipeline.tables.timelines import films_of


def threshold_fault(boxes: pa.Table, videos: Iterable[str], *, split: str, threshold: float, key: str) -> str:
    """What to say where a split has boxes of persons and none reaches the threshold; empty otherwise.

    Args:
        boxes: BOXES.
        videos: those of the split.
        split: its name.
        threshold: least score.
        key: the parameter, e.g. `bank.box_threshold`.
    """
    mine = pc.is_in(boxes["video_id"], pa.array(sorted(set(videos)), pa.string()))
    scores = boxes.filter(pc.and_(mine, pc.is_null(boxes["label"])))["score"]
    highest = pc.max(scores).as_py()
    if highest is None or highest >= threshold:
        return ""
    return (
        f"no box of split {split} has a score of at least {threshold:g} ({key}): the highest of {len(scores)} is "
        f"{highest:.4g}; set {key} to what this detector's scores mean"
    )


def videos_of(table: pa.Table, split: str) -> list[str]:
    """The videos of a split in TIMELINES or KEYFRAMES."""
    videos: list[str] = pc.unique(films_of(table, split)["video_id"]).to_pylist()
    return videos


def check_threshold(
    where: str, boxes: pa.Table, videos: Iterable[str], *, split: str, threshold: float, key: str
) -> None:
    """Refuse a threshold that no box of a split reaches.

    Args:
        where: what the boxes lie in, for the message.
        boxes: as for `threshold_fault`, like the others.
        videos: those of the split.
        split: its name.
        threshold: least score.
        key: the parameter.

    Raises:
        InputError: see above.
    """
    if fault := threshold_fault(boxes, videos, split=split, threshold=threshold, key=key):
        raise InputError(f"{where}: {fault}")
