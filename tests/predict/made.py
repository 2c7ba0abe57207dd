"""Predictions for tests: made of a few numbers, or of what is really done in films of the playground."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.doctor.probe_films import look_at
from pipeline.playground.make import make_playground
from pipeline.playground.settings import Playground
from pipeline.predict.predicted import Predicted
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import BOX_COLUMNS, BOXES, DETECTIONS, VIDEOS

LABELS = [Label(1, "stand", "pose"), Label(2, "wave", "hands"), Label(4, "carry/hold (an object)", "hands")]
BOX = (0.1, 0.2, 0.3, 0.4)
THRESHOLDS = {"1": 0.5, "2": 0.25, "4": 0.8}


@dataclass(frozen=True)
class Person:
    """One person at one time of a film."""

    time: float
    track: int | None = 0
    scores: Mapping[int, float] = field(default_factory=dict)
    box: Sequence[float] = BOX
    film: str = "a"


def predicted(*persons: Person, fps: float = 25.0, frames: int = 250, labels: Sequence[Label] = LABELS) -> Predicted:
    """A prediction of films of 100 x 200 pixels; timestamps are the whole seconds below a time."""
    people, found = [], []
    for each in sorted(persons, key=lambda each: (each.film, each.time)):
        key = {"video_id": each.film, "timestamp": float(int(each.time)), "time_seconds": each.time}
        key |= dict(zip(BOX_COLUMNS, each.box, strict=True))
        people.append(key | {"score": 0.9, "source": "made", "label": None, "track_id": each.track})
        found += [key | {"action_id": action, "score": score} for action, score in sorted(each.scores.items())]
    films = [
        {"video_id": film, "path": f"films/{film}.mp4", "sha256": "0" * 64, "fps": fps, "frames": frames,
         "duration_seconds": frames / fps, "grid_frames": frames, "width": 100, "height": 200}
        for film in sorted({each.film for each in persons})
    ]  # fmt: skip
    return Predicted(
        pa.Table.from_pylist(found, DETECTIONS), pa.Table.from_pylist(people, BOXES),
        pa.Table.from_pylist(films, VIDEOS), labels, {"head": "linear", "thresholds": dict(THRESHOLDS)},
    )  # fmt: skip


def of_playground(folder: Path) -> Predicted:
    """Render two films below `folder`, and predict what is done in them as the truth, with 0.9; the rest with 0.1."""
    settings = Playground(train_videos=1, val_videos=1, min_seconds=20, max_seconds=20, width=160, height=120, seed=3)
    make_playground(folder, settings, workers=1)
    truth = import_source(folder / "annotations", SourceOptions(classes=20))
    table = truth.annotations
    found = table.drop_columns(["person_id"]).append_column("score", pa.array([0.9] * len(table)))
    keys = ["video_id", "timestamp", "time_seconds", *BOX_COLUMNS, "person_id"]
    people = table.group_by(keys, use_threads=False).aggregate([]).rename_columns([*keys[:-1], "track_id"])
    more = {"score": [0.9] * len(people), "source": ["truth"] * len(people), "label": [None] * len(people)}
    people = people.set_column(len(keys) - 1, "track_id", people["track_id"].cast(pa.int64()))
    for name, values in more.items():
        people = people.append_column(BOXES.field(name), pa.array(values, BOXES.field(name).type))
    films = [_film(path) for path in sorted((folder / "videos").iterdir())]
    return Predicted(
        found.select(DETECTIONS.names).cast(DETECTIONS), people.select(BOXES.names).cast(BOXES),
        pa.Table.from_pylist(films, VIDEOS), truth.labels,
        {"thresholds": {str(label.id): 0.5 for label in truth.labels}},
    )  # fmt: skip


def moved(found: Predicted, seconds: float) -> Predicted:
    """The same, with all times later; timestamps stay."""
    tables = {
        name: table.set_column(2, "time_seconds", pc.add(table["time_seconds"], seconds))
        for name, table in (("detections", found.detections), ("persons", found.persons))
    }
    return replace(found, **tables)


def _film(path: Path) -> dict[str, object]:
    film = look_at(path, decode=False)
    return {
        "video_id": path.stem, "path": str(path), "sha256": "0" * 64, "fps": film.fps,
        "duration_seconds": film.duration_seconds, "frames": film.frames, "grid_frames": film.frames,
        "width": film.width, "height": film.height,
    }  # fmt: skip
