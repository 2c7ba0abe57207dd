"""A film of four seconds, with two persons and names that try to be markup."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.playground.encode import write_video
from pipeline.predict.attention_table import ATTENTION
from pipeline.predict.predicted import Predicted
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import ANNOTATIONS, BOXES, DETECTIONS, KEYFRAMES, VIDEOS
from pipeline.tables.split_tables import Tables

NAME = "a <b>&\"'#%: film"
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
LABELS = [Label(1, "stand", "pose"), Label(2, EVIL, "<i>pose"), Label(5, "wave", "hands")]
LEFT, RIGHT = (0.1, 0.2, 0.3, 0.9), (0.6, 0.2, 0.9, 0.9)
SECONDS = 4


def person(second: int, track: int | None, box: tuple[float, ...]) -> dict[str, object]:
    names = ("x1", "y1", "x2", "y2")
    key = {"video_id": NAME, "timestamp": 900.0 + second, "time_seconds": second + 0.5}
    rest = {"score": 0.9, "source": "file", "label": None, "track_id": track}
    return {**key, **dict(zip(names, box, strict=True)), **rest}


def moved(box: tuple[float, ...], by: float) -> tuple[float, ...]:
    return (box[0] + by, box[1], box[2] + by, box[3])


def made_up(folder: Path) -> Predicted:
    """Person 3 stands and, in seconds 2 and 3, waves; person 7 does the second class in seconds 0 and 1."""
    path = folder / f"{NAME}.mp4"
    if not path.exists():
        shades = np.linspace(40, 200, 10 * SECONDS).astype(np.uint8)
        write_video(path, [np.full((1, 48, 64, 3), shade, np.uint8) for shade in shades], fps=10)
    persons = [person(second, 3, moved(LEFT, 0.05 * second)) for second in range(SECONDS)]
    persons += [person(second, 7, RIGHT) for second in range(2)]
    rows = []
    for each in persons:
        second = int(str(each["timestamp"])[2])
        scores = (
            {1: 0.8, 2: 0.01, 5: 0.6 if second >= 2 else 0.2} if each["track_id"] == 3 else {1: 0.1, 2: 0.7, 5: 0.3}
        )
        kept = {name: each[name] for name in DETECTIONS.names if name in each}
        rows += [{**kept, "action_id": action, "score": score} for action, score in scores.items()]
    film = {
        "video_id": NAME, "path": str(path), "sha256": "0" * 64, "fps": 10.0, "duration_seconds": float(SECONDS),
        "frames": 10 * SECONDS, "grid_frames": 10 * SECONDS, "width": 64, "height": 48,
    }  # fmt: skip
    thresholds = {"1": 0.5, "2": 0.5, "5": 0.5}
    return Predicted(
        detections=pa.Table.from_pylist(rows, DETECTIONS),
        persons=pa.Table.from_pylist(persons, BOXES),
        videos=pa.Table.from_pylist([film], VIDEOS),
        labels=LABELS,
        model={"head": "lfb_nl", "thresholds": thresholds},
    )


def made_up_truth(*, name_of_one: str = "stand") -> Tables:
    """Person 3 stands in seconds 0 and 1 and waves in second 3; nobody marked person 7; second 2 is excluded."""
    names = ("x1", "y1", "x2", "y2")
    rows = [
        {"video_id": NAME, "timestamp": 900.0 + second, "time_seconds": second + 0.5,
         **dict(zip(names, box, strict=True)), "action_id": action, "person_id": None}
        for second, box, action in (
            (0, LEFT, 1), (1, moved(LEFT, 0.05), 1), (3, moved(LEFT, 0.15), 5), (3, (0.7, 0.0, 0.8, 0.1), 5),
        )
    ]  # fmt: skip
    keyframes = [
        {"video_id": NAME, "timestamp": 900.0 + second, "time_seconds": second + 0.5, "split": "val",
         "status": "excluded" if second == 2 else "annotated"}
        for second in range(SECONDS)
    ]  # fmt: skip
    return Tables(
        annotations=pa.Table.from_pylist(rows, ANNOTATIONS),
        keyframes=pa.Table.from_pylist(keyframes, KEYFRAMES),
        labels=[Label(1, name_of_one, "pose"), *LABELS[1:]],
        boxes=None,
    )


def made_up_attention() -> pa.Table:
    """In second 2 person 3 looks at person 7 of second 1, at an empty slot and, in another block, at an object."""
    names = ("x1", "y1", "x2", "y2")
    key = {"video_id": NAME, "timestamp": 902.0, "time_seconds": 2.5, **dict(zip(names, moved(LEFT, 0.1), strict=True))}
    at = {f"seen_{name}": edge for name, edge in zip(names, RIGHT, strict=True)}
    nowhere = dict.fromkeys(at)
    row = {
        **key,
        "block": "M",
        "layer": 1,
        "seen": "row",
        "seen_time_seconds": 1.5,
        **at,
        "seen_score": 0.9,
        "weight": 0.7,
    }
    empty = {**row, "seen": "empty", "seen_time_seconds": None, **nowhere, "seen_score": None, "weight": 0.3}
    thing = {**row, "block": "O", "seen": "object", "seen_time_seconds": 2.5, "weight": 1.0}
    return pa.Table.from_pylist([row, empty, thing], ATTENTION)
