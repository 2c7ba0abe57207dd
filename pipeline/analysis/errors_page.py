"""Write `index.html` of `actionbank errors`: the worst keyframes, each as a picture with what was found in it."""

from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from pipeline.analysis.confusions import Confusions
from pipeline.analysis.error_kinds import FOUND, KINDS, NOT_COUNTED
from pipeline.analysis.errors_report import TITLES, moment_of, text, worst_frames
from pipeline.analysis.keyframe_pictures import keyframe_picture
from pipeline.analysis.split_errors import SplitErrors
from pipeline.base.files import write_bytes, write_text
from pipeline.evaluation.ava_csv import timestamp_text
from pipeline.evaluation.box_arrays import Floats
from pipeline.evaluation.csv_tables import write_csv
from pipeline.video.store import FrameStore

ROWS_OF_A_BOX = 5
STYLE = (
    "body{font:15px/1.4 sans-serif;margin:2em auto;max-width:70em;padding:0 1em}"
    "section{display:flex;flex-wrap:wrap;gap:1em;margin:1em 0 2em}img{max-width:100%}"
    "pre{overflow-x:auto}h2{font-size:1.1em;margin-top:2em}h3{font-size:1em}ul{margin:0;padding-left:1.2em}"
    ".bad{color:#b00000}.good{color:#006b00}"
)


@dataclass(frozen=True)
class ShownKeyframe:
    """What the page shows of one keyframe."""

    video_id: str
    timestamp: float
    time_seconds: float
    cost: float
    persons_xyxy: Floats
    persons: list[list[tuple[str, bool]]]
    "For each person, the labels as text, each with whether it is right."
    boxes_xyxy: Floats
    boxes: list[list[tuple[str, bool]]]


def write_page(
    folder: Path,
    found: SplitErrors,
    confusions: Confusions,
    *,
    store: FrameStore | None,
    title: str,
    worst: int,
    curves: str = "",
) -> int:
    """Write `index.html`, `keyframes.csv` and, with frames, `keyframes/<number>.jpg`.

    Args:
        folder: the folder to write to.
        found: the errors to show.
        confusions: see `find_confusions`.
        store: the frames; None writes no pictures. A film that is not in the store gets no picture.
        title: what was compared.
        worst: maximum number of keyframes.
        curves: HTML of the trainings' learning curves.

    Returns:
        The number of pictures.
    """
    keyframes = [_keyframe(found, frame, cost) for frame, cost in worst_frames(found.errors, worst)]
    header = ["video_id", "timestamp", "time_seconds", "lost_map", "labels_not_found", "false_rows"]
    rows = []
    sections = []
    pictures = 0
    for number, each in enumerate(keyframes, 1):
        wrong = [sum(not right for group in groups for _, right in group) for groups in (each.persons, each.boxes)]
        rows.append([each.video_id, each.timestamp, each.time_seconds, each.cost, *wrong])
        picture = ""
        if store is not None and each.video_id in store.video_ids:
            picture = f"keyframes/{number:03d}.jpg"
            write_bytes(
                folder / picture,
                keyframe_picture(
                    store,
                    each.video_id,
                    each.time_seconds,
                    persons_xyxy=each.persons_xyxy,
                    boxes_xyxy=each.boxes_xyxy,
                ),
            )
            pictures += 1
        sections.append(_section(number, each, picture))
    write_csv(folder / "keyframes.csv", header, rows)
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>\n<h1>{escape(title)}</h1>\n"
        f"<pre>{escape(text(found.errors, confusions, found.labels))}</pre>\n{curves}"
        f"<p>The {len(keyframes)} keyframes that cost most. P: persons as annotated (green), D: detected boxes "
        f"(orange).</p>\n{''.join(sections)}</body></html>\n"
    )
    write_text(folder / "index.html", page)
    return pictures


def _section(number: int, keyframe: ShownKeyframe, picture: str) -> str:
    where = f"{escape(keyframe.video_id)},{timestamp_text(keyframe.timestamp)}"
    image = f'<img src="{picture}" alt="{where}">' if picture else ""
    lists = ""
    for letter, groups in (("P", keyframe.persons), ("D", keyframe.boxes)):
        for place, group in enumerate(groups, 1):
            words = ", ".join(
                f'<span class="{"good" if good else "bad"}">{escape(word)}</span>' for word, good in group
            )
            lists += f"<li>{letter}{place}: {words or 'no scored class'}</li>"
    return (
        f"<h2>{number}. {where} ({keyframe.time_seconds:g} s): {keyframe.cost:.4f} of mAP</h2>\n"
        f"<section>{image}<ul>{lists}</ul></section>\n"
    )


def _keyframe(found: SplitErrors, frame: int, cost: float) -> ShownKeyframe:
    errors, detections = found.errors, found.detections
    names = {label.id: label.name for label in found.labels}
    scene = errors.scene
    persons = np.flatnonzero(scene.persons.frame == frame)
    boxes = np.flatnonzero(scene.boxes.frame == frame)
    person_words: list[list[tuple[str, bool]]] = [[] for _ in persons]
    for row in np.flatnonzero((errors.counted.truth_frame == frame) & (errors.label_kind != NOT_COUNTED)).tolist():
        place = int(np.searchsorted(persons, scene.persons.of_row[row]))
        kind, finder = int(errors.label_kind[row]), int(errors.found_by[row])
        how = (
            f"found {detections['score'][finder].as_py():.2f}" if kind == FOUND else f"not found: {TITLES[KINDS[kind]]}"
        )
        person_words[place].append((f"{names[found.annotations['action_id'][row].as_py()]} ({how})", kind == FOUND))
    box_words: list[list[tuple[str, bool]]] = [[] for _ in boxes]
    of_frame = np.flatnonzero((errors.counted.detection_frame == frame) & (errors.row_kind != NOT_COUNTED))
    scores = detections["score"].to_numpy()[of_frame]
    for row in of_frame[np.argsort(-scores, kind="stable")].tolist():
        words = box_words[int(np.searchsorted(boxes, scene.boxes.of_row[row]))]
        kind = int(errors.row_kind[row])
        if len(words) < ROWS_OF_A_BOX:
            name = f"{names[detections['action_id'][row].as_py()]} {detections['score'][row].as_py():.2f}"
            words.append((name if kind == FOUND else f"{name} ({TITLES[KINDS[kind]]})", kind == FOUND))
    video_id, timestamp, time_seconds = moment_of(errors, found.annotations, detections, frame)
    return ShownKeyframe(
        video_id=video_id,
        timestamp=timestamp,
        time_seconds=time_seconds,
        cost=cost,
        persons_xyxy=scene.persons.xyxy[persons],
        persons=person_words,
        boxes_xyxy=scene.boxes.xyxy[boxes],
        boxes=box_words,
    )
