"""Turn what `predict` found into the data of a page: persons second by second, the truth, what was looked at.

Of a person: `k` track, `b` box, `a` [class, score] from the highest score on, `g` classes by the ground truth, `w`
place in the film's `why` (`reasons.py`). Classes are positions in `labels`. Boxes are normalised, times are seconds.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.errors import InputError
from pipeline.predict.page.reasons import LEAST_IOU, PERSONS, film_reasons
from pipeline.predict.predicted import Predicted
from pipeline.tables.iou import box_iou
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import BOX_COLUMNS
from pipeline.tables.split_tables import Tables

LEAST_SCORE = 0.05
"Lower scores are left out of the page, unless a class is shown from a lower one."
USUAL_THRESHOLD = 0.5
MISSED = 2**53 - 1
"The track of annotated persons whom no box overlaps."
Box = tuple[float, ...]
Row = dict[str, Any]


@dataclass(frozen=True)
class Extras:
    """What a page shows beside the predictions."""

    truth: Tables | None = None
    "Annotations of the same films."
    attention: pa.Table | None = None
    "ATTENTION of the same films."


def page_data(predicted: Predicted, page: Path, extras: Extras) -> dict[str, Any]:
    """Return the data of a page.

    Args:
        predicted: the predictions.
        page: where the page will be; it finds the films from there.
        extras: see `Extras`.

    Raises:
        InputError: there is no film, or the truth has other classes.
    """
    if not predicted.videos.num_rows:
        raise InputError("there is no film to show, expected at least one in videos.parquet")
    if extras.truth:
        _refuse_other_classes(predicted.labels, extras.truth.labels)
    thresholds = predicted.model.get("thresholds", {})
    labels: list[Row] = [
        {"id": each.id, "name": each.name, "group": each.group,
         "threshold": float(thresholds.get(str(each.id), USUAL_THRESHOLD))}
        for each in predicted.labels
    ]  # fmt: skip
    floor = min([LEAST_SCORE, *(float(each["threshold"]) for each in labels)])
    films = [_film(row, predicted, page, extras, floor) for row in predicted.videos.to_pylist()]
    return {"films": films, "labels": labels, "every": _step(films), "missed": MISSED, "part": PERSONS}


def _film(video: Row, predicted: Predicted, page: Path, extras: Extras, floor: float) -> dict[str, Any]:
    place = {label.id: number for number, label in enumerate(predicted.labels)}
    detections = _of(predicted.detections, video["video_id"])
    detections = detections.filter(pc.greater_equal(detections["score"], floor))
    actions: dict[tuple[float, Box], list[list[float]]] = defaultdict(list)
    for row in detections.to_pylist():
        if row["action_id"] in place:
            actions[row["timestamp"], _box(row)].append([place[row["action_id"]], round(row["score"], 3)])
    seconds: dict[float, list[Row]] = defaultdict(list)
    for row in _of(predicted.persons, video["video_id"]).to_pylist():
        scores = sorted(actions[row["timestamp"], _box(row)], key=lambda each: -each[1])
        track = -1 if row["track_id"] is None else row["track_id"]
        seconds[row["time_seconds"]].append({"k": track, "b": _short(_box(row)), "a": scores})
    film: dict[str, Any] = {
        "id": video["video_id"],
        "src": film_url(Path(video["path"]), page),
        **{name: video[name] for name in ("width", "height", "fps")},
        "duration": video["duration_seconds"],
        "why": None if extras.attention is None else film_reasons(seconds, _of(extras.attention, video["video_id"])),
    }
    if extras.truth:
        _add_truth(seconds, extras.truth, video["video_id"], place)
    film["seconds"] = [{"t": round(time, 4), "p": seconds[time]} for time in sorted(seconds)]
    return film


def film_url(film: Path, page: Path) -> str:
    """Return the address of a film as seen from a page, relative, so that both can be moved together.

    A relative path is one of the folder in which films were predicted: the current one, or one above the page.
    """
    folders = [Path(), *page.resolve().parents]
    film = next((folder / film for folder in folders if (folder / film).is_file()), film)
    return quote(Path(os.path.relpath(film.resolve(), page.parent.resolve())).as_posix(), safe="/")


def _of(table: pa.Table, video_id: str) -> pa.Table:
    return table.filter(pc.equal(table["video_id"], video_id))


def _box(row: Mapping[str, float], names: Sequence[str] = BOX_COLUMNS) -> Box:
    return tuple(row[name] for name in names)


def _short(box: Iterable[float]) -> list[float]:
    return [round(edge, 4) for edge in box]


def _step(films: Sequence[Mapping[str, Any]]) -> float:
    """Return the usual time between two predictions."""
    gaps = [np.diff([second["t"] for second in film["seconds"]]) for film in films]
    between = np.concatenate(gaps)
    return round(float(np.median(between)), 4) if len(between) else 1.0


def _refuse_other_classes(ours: Sequence[Label], theirs: Sequence[Label]) -> None:
    names = {label.id: label.name for label in ours}
    for label in theirs:
        if names.get(label.id, label.name) != label.name:
            raise InputError(
                f"the ground truth calls class {label.id} {label.name!r} and the model {names[label.id]!r}, expected "
                "the same classes"
            )


def _add_truth(seconds: dict[float, list[Row]], truth: Tables, video_id: str, place: Mapping[int, int]) -> None:
    """Give each person the classes of the annotated person that overlaps most; others become persons of `MISSED`.

    A second without annotation says nothing; in an annotated one, a person whom nobody annotated has no class.
    """
    keyframes = _of(truth.keyframes, video_id).to_pylist()
    labels: dict[float, dict[Box, list[int]]] = {
        row["time_seconds"]: {} for row in keyframes if row["status"] != "excluded"
    }
    for row in _of(truth.annotations, video_id).to_pylist():
        if row["time_seconds"] in labels and row["action_id"] in place:
            labels[row["time_seconds"]].setdefault(_box(row), []).append(place[row["action_id"]])
    times = np.array(sorted(seconds))
    for time, annotated in labels.items():
        near = float(times[np.abs(times - time).argmin()]) if len(times) else time
        here = seconds[near if abs(near - time) < 0.1 else time]
        for person in here:
            person["g"] = []
        found = [person["b"] for person in here]
        boxes = list(annotated)
        iou = box_iou(np.array(boxes).reshape(-1, 4), np.array(found).reshape(-1, 4))
        for number, box in enumerate(boxes):
            best = int(iou[number].argmax()) if found else -1
            if best >= 0 and iou[number, best] >= LEAST_IOU:
                here[best]["g"] = sorted({*here[best]["g"], *annotated[box]})
                iou[:, best] = 0  # one annotated person for each box
            else:
                here.append({"k": MISSED, "b": _short(box), "a": [], "g": sorted(annotated[box])})
