"""Read `pyannot.pkl` of UCF101-24: the corrected tubes that most work on UCF101-24 uses.

It is a dict by video (`Basketball/v_Basketball_g01_c01`) with `annotations`, a list of tubes: `label` (a class id from
0), `boxes` [n, 4] (x, y, width, height in pixels, as small unsigned integers), and `sf` and `ef`, the frames [sf, ef),
counted from 0. The folder in a video's name is the name of its class. The file has no splits, sizes or frame rates.
"""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.annotations.drafts import Draft, DraftsRead, draft_rows, pixel_box
from pipeline.annotations.listed import Listed, frame_rate, frame_size
from pipeline.annotations.multisports_tubes import FPS, assumed_rates, video_of
from pipeline.base.errors import InputError
from pipeline.base.problems import Fault
from pipeline.tables.csv_rows import Floats, shown
from pipeline.tables.label_map import Label
from pipeline.tables.timelines import Timeline

FORMAT = "UCF101-24 pickle"
TUBE = "a dict with label, boxes (n, 4), sf and ef = sf + n"


def is_pyannot(content: Any) -> bool:
    """Return whether the content of a pickle has this form."""
    first = next(iter(content.values()), None) if isinstance(content, dict) else None
    return isinstance(first, dict) and isinstance(first.get("annotations"), list)


def pyannot_rows(
    path: Path, content: dict[Any, Any], listed: dict[str, Listed], *, classes: int
) -> tuple[DraftsRead, list[Label]]:
    """Return the boxes of every tube, one row each, and the classes, named by the folders.

    Args:
        path: the file.
        content: the loaded pickle.
        listed: what videos.csv gives: sizes in pixels, and frame rates (by default 25, as in UCF101).
        classes: action ids run from 1 to this.

    Raises:
        InputError: two videos have the same name, or a video has no known size.
    """
    drafts: list[Draft] = []
    names: dict[int, str] = {}
    folders: dict[str, str] = {}
    for key, entry in content.items():
        clip = str(key)
        video_id = video_of(clip)
        if folders.setdefault(video_id, clip) != clip:
            raise InputError(f"{path}: two clips are named {video_id}, expected one file of each name")
        tubes = entry.get("annotations") if isinstance(entry, dict) else None
        if not isinstance(tubes, list):
            drafts.append(
                Draft(f"video {shown(clip)}", video_id, fault=Fault("no list of annotations", f"tubes: {TUBE}"))
            )
            continue
        rate = frame_rate(video_id, listed, FPS, str(path))
        size = frame_size(video_id, listed, None, str(path)) if tubes else (1.0, 1.0)
        for number, tube in enumerate(tubes):
            place = f"{clip}, tube {number}"
            found = _tube(tube)
            if found is None:
                drafts.append(Draft(place, video_id, fault=Fault(shown(str(tube)), TUBE)))
                continue
            label, first, corners = found
            names.setdefault(label, clip.rpartition("/")[0].rpartition("/")[2])
            drafts += [
                Draft(
                    f"{place}, frame {frame}", video_id, round(frame / rate, 6), pixel_box(box, size), label + 1, number
                )
                for frame, box in enumerate(corners.tolist(), start=first)
            ]
    times = {video_id: Timeline("", 0.0) for video_id in sorted(folders)}
    told = f"{path.name}: {FORMAT} (pyannot.pkl): {len(times)} videos; its splits are told nowhere"
    rows = draft_rows(path.name, drafts, classes=classes)
    return DraftsRead(FORMAT, [rows], times, [told], assumed_fps=assumed_rates(times, listed)), _labels(names)


def _tube(tube: Any) -> tuple[int, int, Floats] | None:
    """Return the class from 0, the first frame from 0, and the corners [n, 4]."""
    if not isinstance(tube, dict):
        return None
    label, first, end, boxes = (tube.get(key) for key in ("label", "sf", "ef", "boxes"))
    whole = all(isinstance(each, int | np.integer) and 0 <= each < 1e9 for each in (label, first, end))
    if not whole or not isinstance(boxes, np.ndarray) or boxes.ndim != 2 or boxes.shape[1] != 4:
        return None
    if not len(boxes) or len(boxes) != int(end) - int(first):  # type: ignore[arg-type]
        return None
    corners = boxes.astype(np.float64)  # convert first: x + width overflows the file's integers
    corners[:, 2:] += corners[:, :2]
    return int(label), int(first), corners  # type: ignore[arg-type]


def _labels(names: dict[int, str]) -> list[Label]:
    """Return the classes; empty unless each has a folder of its own."""
    if not all(names.values()) or len(set(names.values())) < len(names):
        return []
    return [Label(label + 1, names[label], "action") for label in sorted(names)]
