"""Split films by time: the last keyframes of a film are val, the earlier ones train, with an unused gap between."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from pipeline.annotations.assemble import AvaImport, split_summaries
from pipeline.tables.ordering import ranked
from pipeline.tables.timelines import BOTH, Timeline, timelines_table

# Times are sums of floats.
TICK_SECONDS = 1e-6
DEFAULTS = {"val_fraction": 0.2, "gap_seconds": 3.0}
"Defaults of conf/config.yaml, to try what a split by time would give."


def split_in_time(found: AvaImport, *, val_fraction: float, gap_seconds: float) -> AvaImport:
    """Split the films that have no split; if no film is val, and all have a split, split the films of train.

    Keyframes less than `gap_seconds` before the first keyframe of val are excluded, so that no clip of train shows a
    frame of a val clip. A film that would have no keyframe left for train stays whole in train.

    Args:
        found: annotations, where films without a split are marked as train.
        val_fraction: about this share of a film's keyframes becomes val, but at least one; 0 splits no film.
        gap_seconds: least time from the last keyframe of train to the first keyframe of val.
    """
    timelines = {
        row["video_id"]: Timeline(row["split"], row["first_timestamp"], row["offset_seconds"])
        for row in found.timelines.to_pylist()
    }
    has_val = any(each.split == "val" for each in timelines.values())
    chosen = {
        video_id
        for video_id, each in timelines.items()
        if each.split == "train" and (video_id in found.untold or not (has_val or found.untold))
    }
    names, video = ranked(found.keyframes["video_id"])
    times = found.keyframes["time_seconds"].to_numpy()
    split = np.array(found.keyframes["split"].to_pylist(), object)
    status = np.array(found.keyframes["status"].to_pylist(), object)
    counts = {"films": 0, "val_keyframes": 0, "left_out": 0}
    short = []
    for code, video_id in enumerate(names):
        mine = np.flatnonzero(video == code)
        used = mine[status[mine] != "excluded"]
        if video_id not in chosen or not val_fraction:
            continue
        start = _start_of_val(times[used], val_fraction)
        early = (times[used] < start) & (times[used] <= start - gap_seconds + TICK_SECONDS)
        if not early.any():
            short.append(video_id)
            continue
        late = mine[times[mine] >= start]
        between = used[(times[used] < start) & ~early]
        split[late], status[between] = "val", "excluded"
        timelines[video_id] = replace(timelines[video_id], split=BOTH)
        counts["films"] += 1
        counts["val_keyframes"] += int((times[used] >= start).sum())
        counts["left_out"] += len(between)
    keyframes = found.keyframes
    for name, values in (("split", split), ("status", status)):
        at = keyframes.schema.get_field_index(name)
        keyframes = keyframes.set_column(at, keyframes.schema.field(name), pa.array(values, pa.string()))
    splits = split_summaries(found.annotations, keyframes, timelines, found.labels)
    told = _told(counts, short, val_fraction, gap_seconds)
    return replace(
        found,
        keyframes=keyframes,
        timelines=timelines_table(timelines),
        summary=found.summary | {"splits": splits, "split_by_time": counts},
        told=[*found.told, *told],
        told_of_splits=[*found.told_of_splits, *told],
    )


def _start_of_val(times: np.ndarray, val_fraction: float) -> float:
    """Return the time of the first keyframe of val."""
    if not len(times):
        return np.inf
    ordered = np.sort(times)
    count = min(len(ordered), max(1, round(val_fraction * len(ordered))))
    return float(ordered[-count])


def _told(counts: dict[str, int], short: list[str], val_fraction: float, gap_seconds: float) -> list[str]:
    if not counts["films"] and not short:
        return ["splits: dataset.split_by is time, and no film is split: the source or videos.csv tells all splits"]
    lines = []
    if counts["films"]:
        lines.append(
            f"splits: {counts['films']} films are split by time (dataset.split_by): of each the last keyframes are val "
            f"(dataset.val_fraction {val_fraction:g}), {counts['val_keyframes']} in all; {counts['left_out']} less "
            f"than {gap_seconds:g} s before them are left out (dataset.split_gap_seconds)"
        )
    if short:
        lines.append(
            f"splits: {len(short)} films are too short to be split by time and stay train, the first: {short[0]}: no "
            f"keyframe is {gap_seconds:g} s before val's (dataset.split_gap_seconds)"
        )
    return lines


def more_of(split: str, imported: AvaImport) -> tuple[str, str]:
    """Return advice for a split without labels, and for one without a class. A single film cannot be moved.

    Args:
        split: train or val.
        imported: the annotations.
    """
    films = imported.timelines["split"].to_pylist()
    by_time = "dataset.split_by: time, which makes the last part of each film val"
    if BOTH in films:
        other = "set another dataset.val_fraction or dataset.split_gap_seconds"
        return f"Annotate more of {split}'s part, or {other}", f"Annotate some, {other}"
    if len(films) == 1:
        is_free = split == "val" or imported.untold
        other = f"set {by_time}" if is_free else f"let this one be train, and set {by_time}"
        if split == "val" and BOTH not in split_in_time(imported, **DEFAULTS).timelines["split"].to_pylist():
            other = "more of this one: it has too few keyframes to be split by time (dataset.split_by)"
        return f"Annotate another film, or {other}", "Annotate some"
    move = "move some there (by the column split of videos.csv, or from one CSV to the other)"
    return f"Annotate films of {split}, {move}, or set {by_time}", "Annotate some, move films between the splits"
