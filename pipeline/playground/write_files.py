"""Write the playground's files in the formats of AVA: CSVs, label map, proposals pickle, objects."""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.base.files import write_bytes, write_text
from pipeline.playground.actions import CLASSES
from pipeline.playground.noisy_boxes import FoundObjects, detect, detect_objects
from pipeline.playground.render import keyframe_boxes, sky_boxes
from pipeline.playground.script import Script

FIRST_TIMESTAMP = 900
OBJECT_COLUMNS = "video_id,timestamp,x1,y1,x2,y2,label,score"
OFFSET_SECONDS = 0.5  # a keyframe is in the middle of its second


@dataclass(frozen=True)
class ScriptedFilm:
    """A script, the true boxes at its keyframes, and the boxes that a detector finds there."""

    script: Script
    boxes: np.ndarray
    "xyxy normalised, 3 decimals as in AVA, [seconds, figures, 4]."
    proposals: list[np.ndarray]
    "One array [N, 5] per second: xyxy and score."
    objects: list[FoundObjects]
    "The balls and kites of each second."


def describe_film(script: Script, seed: int) -> ScriptedFilm:
    """Return boxes, proposals and objects of a script."""
    times = np.arange(script.seconds) + OFFSET_SECONDS
    boxes, sky = keyframe_boxes(script, seed, times), sky_boxes(script, seed, times)
    return ScriptedFilm(script, np.round(boxes, 3), detect(script, seed, boxes), detect_objects(script, seed, *sky))


def _key(film: ScriptedFilm, second: int) -> str:
    return f"{film.script.video_id},{FIRST_TIMESTAMP + second:04d}"


def _annotation_rows(film: ScriptedFilm) -> list[str]:
    rows = []
    for second in range(film.script.seconds):
        labels = film.script.labels(second)
        for figure, action_ids in labels:
            box = ",".join(f"{value:.3f}" for value in film.boxes[second, figure])
            rows += [f"{_key(film, second)},{box},{action},{figure}" for action in sorted(action_ids)]
        if second in film.script.empty:
            rows.append(_key(film, second))
    return rows


def _lines(rows: Sequence[str]) -> str:
    return "".join(f"{row}\n" for row in rows)


def write_annotations(folder: Path, films: Sequence[ScriptedFilm]) -> None:
    """Write `<split>.csv`, `excluded_<split>.csv`, `videos.csv` and `labelmap.pbtxt`.

    Args:
        folder: the folder to write to.
        films: the films in the order of the rows.
    """
    for split in ("train", "val"):
        chosen = [film for film in films if film.script.split == split]
        write_text(folder / f"{split}.csv", _lines([row for film in chosen for row in _annotation_rows(film)]))
        excluded = [_key(film, second) for film in chosen for second in film.script.excluded]
        write_text(folder / f"excluded_{split}.csv", _lines(excluded))
    timelines = [f"{film.script.video_id},{film.script.split},{FIRST_TIMESTAMP},{OFFSET_SECONDS}" for film in films]
    write_text(folder / "videos.csv", _lines(["video_id,split,first_timestamp,offset_seconds", *timelines]))
    items = [f'item {{\n  name: "{each.name}"\n  id: {each.id}\n  group: "{each.group}"\n}}' for each in CLASSES]
    write_text(folder / "labelmap.pbtxt", _lines(items))


def write_proposals(pickles: Path, tables: Path, films: Sequence[ScriptedFilm]) -> None:
    """Write the same proposals as `proposals_<split>.pkl` and as `boxes_<split>.csv`.

    Args:
        pickles: folder of the pickles: a dict of `video_id,timestamp` to float64 [N, 5]; seconds without any
            proposal have no entry.
        tables: folder of the CSVs: `video_id,timestamp,x1,y1,x2,y2,,score`.
        films: the films in the order of the rows.
    """
    for split in ("train", "val"):
        found = {
            _key(film, second): rows
            for film in films
            if film.script.split == split
            for second, rows in enumerate(film.proposals)
            if len(rows)
        }
        # A fixed protocol and arrays that share no objects give the same bytes in every process.
        plain = {key: np.array(rows, np.float64, order="C") for key, rows in found.items()}
        write_bytes(pickles / f"proposals_{split}.pkl", pickle.dumps(plain, protocol=4))
        table = [
            f"{key},{','.join(f'{value:g}' for value in row[:4])},,{row[4]:g}"
            for key, rows in found.items()
            for row in rows
        ]
        write_text(tables / f"boxes_{split}.csv", _lines(table))


def write_objects(folder: Path, films: Sequence[ScriptedFilm]) -> None:
    """Write `objects_<split>.csv`: `video_id,timestamp,x1,y1,x2,y2,label,score`, with this header.

    Args:
        folder: the folder to write to.
        films: the films in the order of the rows.
    """
    for split in ("train", "val"):
        rows = [
            f"{_key(film, second)},{','.join(f'{value:g}' for value in row[:4])},{label},{row[4]:g}"
            for film in films
            if film.script.split == split
            for second, found in enumerate(film.objects)
            for label, row in zip(found.labels, found.rows, strict=True)
        ]
        write_text(folder / f"objects_{split}.csv", _lines([OBJECT_COLUMNS, *rows]))
