"""Write box files for tests, and read them as a folder of boxes."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.boxes.box_rows import BoxRows
from pipeline.boxes.formats_of_boxes import read_box_files


def read_one(folder: Path, **files: Any) -> BoxRows:
    """Write `name_ending=content` and give the rows of the only box file among them."""
    for name, content in files.items():
        path = folder / name.replace("_", ".")
        if path.suffix == ".csv":
            path.write_text(content)
        elif path.suffix == ".json":
            path.write_text(json.dumps(content))
        else:
            path.write_bytes(pickle.dumps(content))
    (rows,) = read_box_files(folder)[0].values()
    return rows


def read_pickle(folder: Path, content: Any) -> BoxRows:
    return read_one(folder, boxes_pkl=content)


def read_csv(folder: Path, text: str) -> BoxRows:
    (folder / "boxes.csv").write_text(text)
    return read_box_files(folder)[0]["boxes.csv"]


def good(rows: BoxRows) -> list[tuple]:
    kept = np.flatnonzero(~rows.faults.bad)
    return [
        (rows.video_ids[i].as_py(), rows.timestamp[i].item(), *rows.boxes_xyxy[i].tolist(), rows.score[i].item())
        for i in kept.tolist()
        if not rows.empty[i]
    ]


def labels(rows: BoxRows) -> list[str | None]:
    """The class of each good box; None for a person."""
    kept = ~rows.faults.bad & ~rows.empty
    return [None] * int(kept.sum()) if rows.labels is None else rows.labels.filter(pa.array(kept)).to_pylist()


def bare(rows: BoxRows) -> list[tuple[str, float]]:
    """Keyframes without a box."""
    return [(rows.video_ids[i].as_py(), rows.timestamp[i].item()) for i in np.flatnonzero(rows.empty).tolist()]


def told(rows: BoxRows) -> list[str]:
    return list(map(str, [*rows.key_problems, *rows.faults.problems()]))
