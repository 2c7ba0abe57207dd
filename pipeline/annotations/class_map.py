"""Select classes of a source (`dataset.class_map`): rename or merge them, and number them from 1."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.annotations.assemble import AvaImport, split_summaries
from pipeline.annotations.class_ids import ClassNames
from pipeline.base.errors import InputError
from pipeline.tables.csv_rows import shown
from pipeline.tables.label_map import Label
from pipeline.tables.ordering import first_alike, ranked, sort_table
from pipeline.tables.schemas import BOX_COLUMNS
from pipeline.tables.timelines import Timeline

Choice = Sequence[int | str] | Mapping[str, int | str | Sequence[int | str]]


def choose_classes(found: AvaImport, choice: Choice, *, classes: int, first_id: int) -> AvaImport:
    """Return the tables with the chosen classes only.

    Rows of other classes are left out and are no fault. A keyframe that loses all its rows becomes an empty keyframe:
    it was annotated, and nobody in it does a chosen action. So the AP of a class is the same as among all classes.

    Args:
        found: the tables with all classes of the source, ids from 1.
        choice: a list of names or ids as the source writes them; or a dict from a new name to the names or ids that
            are merged into it. The new ids are 1, 2, ... in this order.
        classes: the required number of chosen classes (dataset.classes).
        first_id: the first id of the source, 0 or 1.

    Raises:
        InputError: a name or id is not in the label map or is chosen twice, or the count is not `classes`.
    """
    labels, new_of = _chosen(found.labels, choice, first_id)
    if len(labels) != classes:
        raise InputError(
            f"dataset.class_map: makes {len(labels)} classes, dataset.classes is {classes}: expected the same number"
        )
    old = found.annotations["action_id"].to_numpy()
    ids, which, counts = np.unique(old, return_inverse=True, return_counts=True)
    new = np.array([new_of.get(int(each), 0) for each in ids], np.int32)[which]
    kept = found.annotations.filter(pa.array(new > 0))
    at = kept.schema.get_field_index("action_id")
    kept = kept.set_column(at, found.annotations.schema.field("action_id"), pa.array(new[new > 0]))
    keys = [ranked(kept["video_id"])[1], *(kept[name].to_numpy() for name in ("timestamp", *BOX_COLUMNS, "action_id"))]
    kept = kept.filter(pa.array(first_alike(keys) == np.arange(len(kept))))
    kept = sort_table(kept, ["video_id", "timestamp", *BOX_COLUMNS, "action_id"])
    keyframes = _emptied(found.keyframes, kept)
    timelines = {
        row["video_id"]: Timeline(row["split"], row["first_timestamp"], row["offset_seconds"])
        for row in found.timelines.to_pylist()
    }
    rows_of = dict(zip(ids.tolist(), counts.tolist(), strict=True))
    left = {str(each + first_id - 1): n for each, n in rows_of.items() if each not in new_of}
    summary = found.summary | {
        "splits": split_summaries(kept, keyframes, timelines, labels),
        "classes_left_out": left,
        "class_map": {
            label.name: sorted(each + first_id - 1 for each, new in new_of.items() if new == label.id)
            for label in labels
        },
    }
    told = f"classes: {len(labels)} by dataset.class_map; left out: {sum(left.values())} rows of {len(left)} others"
    return replace(
        found, annotations=kept, keyframes=keyframes, labels=labels, summary=summary, told=[*found.told, told]
    )


def _chosen(known: Sequence[Label], choice: Choice, first_id: int) -> tuple[list[Label], dict[int, int]]:
    """Return the new classes, and the new id of each old id."""
    by_id, names = {label.id: label for label in known}, ClassNames(known)
    labels: list[Label] = []
    new_of: dict[int, int] = {}
    items = choice.items() if isinstance(choice, Mapping) else [(None, each) for each in choice]
    for name, olds in items:
        new_id = len(labels) + 1
        members = [olds] if isinstance(olds, int | str) else list(olds)
        if not members:
            raise InputError(
                f"dataset.class_map: {shown(str(name))} takes in nothing, expected names or ids of classes"
            )
        for old in members:
            old_id = _old_id(old, by_id, names, first_id)
            if old_id in new_of:
                raise InputError(f"dataset.class_map: class {shown(str(old))} is taken twice")
            new_of[old_id] = new_id
        first = next(old for old, new in new_of.items() if new == new_id)
        labels.append(Label(new_id, name or by_id[first].name, by_id[first].group))
    twice = [name for name, count in Counter(label.name for label in labels).items() if count > 1]
    if twice:
        raise InputError(f"dataset.class_map: two classes are named {shown(sorted(twice)[0])}")
    return labels, new_of


def _old_id(old: Any, by_id: Mapping[int, Label], names: ClassNames, first_id: int) -> int:
    if isinstance(old, int):
        if old - first_id + 1 not in by_id:
            ids = sorted(each + first_id - 1 for each in by_id)
            raise InputError(
                f"dataset.class_map: id {old} is not in the label map, expected one of its {len(ids)} ids from "
                f"{ids[0]} to {ids[-1]}"
            )
        return old - first_id + 1
    found = names.find(old)
    if found is None:
        raise InputError(f"dataset.class_map: found {shown(old)}, expected {names.expected(old)}")
    return found


def _emptied(keyframes: pa.Table, annotations: pa.Table) -> pa.Table:
    """Return the keyframes, with the status empty for those that have no row left."""
    both = pa.concat_tables(
        [keyframes.select(["video_id", "timestamp"]), annotations.select(["video_id", "timestamp"])]
    )
    codes, stamps = ranked(both["video_id"])[1], both["timestamp"].to_numpy()
    first = first_alike([codes, stamps])
    has_row = np.zeros(len(both), bool)
    has_row[first[len(keyframes) :]] = True
    annotated = pc.equal(keyframes["status"], "annotated")
    lost = pc.and_(annotated, pc.invert(pa.array(has_row[: len(keyframes)])))
    status = pc.if_else(lost, "empty", keyframes["status"])
    at = keyframes.schema.get_field_index("status")
    return keyframes.set_column(at, keyframes.schema.field("status"), status.combine_chunks()).combine_chunks()
