"""Read Label Studio's JSON and JSON-MIN of videos: regions of type `videorectangle`.

`sequence` holds the boxes that an annotator set: the sides in percent of the frame, a frame number that starts at 1 (or
0, depending on the editor's settings), and a time. `enabled: false` marks the last frame at which the person is seen.
Between two boxes the sides are interpolated linearly; the last box stays to the end. The frame rate is a setting of the
project and not the film's, so frames are found by their times. Choices and taxonomies of a region are attributes
(`attributes.py`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pipeline.annotations.attributes import Attribute, Wanted, choose, typed, values_of
from pipeline.annotations.class_ids import ClassNames
from pipeline.annotations.drafts import Draft
from pipeline.annotations.drawn_tracks import MOST_FRAMES, AnnotationTask, Box, Track
from pipeline.annotations.frame_times import Clock
from pipeline.annotations.listed import Listed, frame_clock
from pipeline.annotations.media import MEDIA, media_stem
from pipeline.annotations.notices import Notice
from pipeline.annotations.outlines import cos_sin
from pipeline.base.errors import InputError
from pipeline.base.problems import Fault, Problem
from pipeline.tables.csv_rows import is_number

FORMAT = "Label Studio JSON"
KINDS = {"choices": "choice", "taxonomy": "choice", "textarea": "text", "number": "number", "rating": "number"}
"Result types that describe a region, and the kind of attribute that each becomes."
VALUES = {"textarea": "text"}
"The key of the value, where it is not the type."
# Label Studio puts eight hexadecimal digits before the name of an uploaded file.
_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")
# Its export rounds the times of boxes that it interpolates to a hundredth of a second.
TIME_ROUNDING = 0.0051
SIDES = ("x", "y", "width", "height")


@dataclass
class _Region:
    """One person."""

    id: str
    labels: tuple[str, ...]
    value: dict[str, Any]
    values: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Film:
    """One task: a film with its regions."""

    place: str
    video: str
    regions: list[_Region]
    kinds: dict[str, str] = field(default_factory=dict)
    "The kind of each attribute."
    without_box: int = 0
    lost: list[str] = field(default_factory=list)
    "Choices that JSON-MIN separates from their boxes."
    notices: list[Notice] = field(default_factory=list)


def is_label_studio(content: Any) -> bool:
    """Return whether a JSON value is an export of Label Studio, whatever it labels."""
    entries = [each for each in content if isinstance(each, dict)] if isinstance(content, list) else []
    whole = [
        each for each in entries if isinstance(each.get("annotations"), list) and isinstance(each.get("data"), dict)
    ]
    return bool(whole) or any("annotation_id" in each and "lead_time" in each for each in entries)


def has_boxes(content: Any) -> bool:
    """Return whether an export holds boxes in videos."""
    return any(film.regions for film in _films("", content))


def read_films(
    path: Path, content: Any, listed: dict[str, Listed], wanted: Wanted, known: ClassNames | None = None
) -> list[AnnotationTask]:
    """Read the films of an export.

    Args:
        path: the file, for messages.
        content: its JSON.
        listed: what `videos.csv` gives for each video; rotated boxes need its size.
        wanted: `dataset.action_attribute`.
        known: the classes of a label map, if there is one.

    Raises:
        InputError: see `choose`; or a film has no name, no known frame rate or, with rotated boxes, no known size.
    """
    name = path.name
    films = [each for each in _films(str(path), content) if each.regions or each.without_box]
    for film in films:
        if film.lost and film.regions:
            raise InputError(
                f"{path}: {film.place}: found the choices {', '.join(film.lost)}, and JSON-MIN does not say which box "
                "they belong to: export it as JSON"
            )
    regions = [region for film in films for region in film.regions]
    labels = sorted({label for region in regions for label in region.labels})
    chosen = choose(str(path), _attributes(films), labels, wanted, known)
    tasks = []
    for place, film in enumerate(films):
        notices = [*film.notices, *(chosen.notices(name) if place == 0 else [])]
        if film.without_box:
            found = Problem(
                name, film.place, f"{film.without_box} labels of times or of the whole film", "labels of boxes"
            )
            notices.append(Notice("without-box", found, film.without_box))
        if film.regions:
            tasks.append(_task(path, film, listed, chosen.attribute_names))
            tasks[-1] = AnnotationTask(**{**tasks[-1].__dict__, "chosen": chosen, "notices": notices})
    return tasks


def _films(name: str, content: Any) -> list[_Film]:
    entries = content if isinstance(content, list) else []
    return [
        _whole(name, f"task {entry.get('id', place)}", entry) if "annotations" in entry else _min(place, entry)
        for place, entry in enumerate(entries, start=1)
        if isinstance(entry, dict)
    ]


def _whole(name: str, place: str, entry: dict[str, Any]) -> _Film:
    """Read a task of JSON. Of several annotations, take the ground truth, else the first."""
    made = [each for each in _list(entry.get("annotations")) if isinstance(each, dict)]
    made = [each for each in made if not each.get("was_cancelled") and _list(each.get("result"))]
    film = _Film(place, _video(entry.get("data")), [])
    if not made:
        return film
    taken = next((each for each in made if each.get("ground_truth")), made[0])
    if len(made) > 1:
        found = Problem(
            Path(name).name, place, f"{len(made)} annotations, of which one is read", "one, or one of ground truth"
        )
        film.notices.append(Notice("several-annotators", found, len(made) - 1))
    results = [each for each in _list(taken.get("result")) if isinstance(each, dict)]
    by_id: dict[str, _Region] = {}
    for each in results:
        value = each.get("value")
        if each.get("type") == "videorectangle" and isinstance(value, dict):
            region = _Region(str(each.get("id", len(by_id))), _labels(value), value)
            by_id[region.id] = region
    for each in results:
        kind, owner = str(each.get("type")), by_id.get(str(each.get("id")))
        given = each.get("value")
        about: dict[str, Any] = given if isinstance(given, dict) else {}
        if owner is None:
            film.without_box += kind != "videorectangle"
        elif kind in ("videorectangle", "labels"):
            owner.labels = owner.labels or _labels(about)
        else:
            attribute = str(each.get("from_name"))
            film.kinds[attribute] = KINDS.get(kind, "text")
            owner.values[attribute] = _leaves(kind, about.get(VALUES.get(kind, kind)))
    film.regions = list(by_id.values())
    return film


def _min(place: int, entry: dict[str, Any]) -> _Film:
    """Read a task of JSON-MIN, which does not say to which region a choice belongs."""
    film = _Film(f"task {entry.get('id', place)}", _video(entry), [])
    for key, found in entry.items():
        values = [each for each in _list(found) if isinstance(each, dict)]
        boxes = [each for each in values if "sequence" in each]
        film.regions += [_Region(f"{key} {n}", _labels(each), each) for n, each in enumerate(boxes, start=1)]
    given = _between(list(entry), "id", "annotator")
    for key, found in entry.items():
        parts: list[Any] = [found, *_list(found)]
        whole = any(isinstance(each, dict) and "sequence" not in each and each.keys() & KINDS.keys() for each in parts)
        # In JSON-MIN a choice of one option is a plain text, like the columns of a task, which come before its id.
        bare = [each for each in parts if isinstance(each, str) and each and not _path(each).lower().endswith(MEDIA)]
        if whole or (bare and (key in given if given else isinstance(found, list))):
            film.lost.append(key)
    return film


def _between(keys: list[str], first: str, last: str) -> list[str]:
    """Return the keys between two others, where JSON-MIN writes annotations; empty if they come in another order."""
    return keys[keys.index(first) + 1 : keys.index(last)] if first in keys and last in keys else []


def _attributes(films: Sequence[_Film]) -> list[Attribute]:
    options: dict[str, set[str]] = {}
    labels: dict[str, set[str]] = {}
    kinds: dict[str, str] = {}
    for film in films:
        kinds |= film.kinds
        for region in film.regions:
            for key, value in region.values.items():
                options.setdefault(key, set()).update(values_of(value))
                labels.setdefault(key, set()).update(region.labels)
    return [typed(key, kinds[key], sorted(options[key]), frozenset(labels[key])) for key in sorted(options)]


def _task(path: Path, film: _Film, listed: dict[str, Listed], keys: frozenset[str]) -> AnnotationTask:
    where = f"{path}: {film.place}"
    video_id = _video_id(where, film.video, listed)
    values = [each.value for each in film.regions]
    rate = next((found for each in values if (found := _rate(each))), None)
    clock = frame_clock(video_id, listed, rate, where)
    size = listed.get(video_id, Listed()).size
    faults: list[Draft] = []
    tracks = []
    for index, region in enumerate(film.regions):
        boxes = _boxes(f"{film.place}, region {region.id}", region, clock, rate or clock.fps, size or (100.0, 100.0))
        faults += [Draft(each.place, video_id, fault=each.fault) for each in boxes if isinstance(each, Draft)]
        good = [each for each in boxes if isinstance(each, Box)]
        if size is None and any(each.degrees for each in good):
            raise InputError(
                f"{where}: boxes are turned, which takes the shape of the film: expected a videos.csv with the columns "
                "video_id,width,height"
            )
        if good:
            told = {key: value for key, value in region.values.items() if key in keys}
            tracks.append(Track(region.id, region.labels, told, good, person=index))
    lengths = [_number(each.get("duration")) or 0.0 for each in values]
    lengths += [(_number(each.get("framesCount")) or 0.0) / rate for each in values if rate]
    last = max([clock.frame(max(lengths) - 1e-6) if max(lengths) > 0 else 0, *(t.boxes[-1].frame for t in tracks)])
    if last >= MOST_FRAMES:
        raise InputError(f"{where}: the film has {last} frames, expected fewer than {MOST_FRAMES}")
    return AnnotationTask(
        name=path.name,
        where=where,
        format=FORMAT,
        video_id=video_id,
        frames=range(last + 1),
        step=1,
        own_times=False,
        size=size or (100.0, 100.0),
        size_is_own=False,
        fps=rate,
        tracks=tracks,
        faults=faults,
    )


def _boxes(place: str, region: _Region, clock: Clock, rate: float, size: tuple[float, float]) -> list[Box | Draft]:
    """Return the boxes of a region in pixels, or faults; each last box is followed by an `outside` one."""
    found: dict[int, tuple[Box, bool]] = {}
    faults: list[Box | Draft] = []
    for number, item in enumerate(_list(region.value.get("sequence")), start=1):
        item = item if isinstance(item, dict) else {}
        sides = [_number(item.get(key)) for key in SIDES]
        seconds = _seconds(item, rate)
        degrees = _number(item.get("rotation", 0.0))
        if seconds is None or degrees is None or None in sides or not 0 <= seconds < 1e6:
            told = ", ".join(f"{key} {item.get(key)!r}" for key in ("frame", "time", *SIDES, "rotation"))
            faults.append(
                Draft(f"{place}, box {number}", "", fault=Fault(told, "frame or time, and x, y, width, height"))
            )
            continue
        x, y, width, height = (float(each or 0) / 100 * side for each, side in zip(sides, (*size, *size), strict=True))
        frame = clock.frame(seconds + 1e-4)
        found[frame] = (_about_corner(frame, (x, y, width, height), degrees), item.get("enabled") is not False)
    boxes: list[Box | Draft] = []
    for frame in sorted(found):
        box, enabled = found[frame]
        boxes.append(box)
        if not enabled and frame + 1 not in found:
            boxes.append(Box(frame + 1, box.sides, outside=True))
    return [*boxes, *faults]


def _about_corner(frame: int, box: tuple[float, float, float, float], degrees: float) -> Box:
    """Convert a box that is rotated about its upper left corner to one that is rotated about its centre."""
    x, y, width, height = box
    if degrees % 360 == 0:
        return Box(frame, (x, y, x + width, y + height))
    cos, sin = cos_sin(degrees)
    left = x + (width * cos - height * sin) / 2 - width / 2
    top = y + (width * sin + height * cos) / 2 - height / 2
    return Box(frame, (left, top, left + width, top + height), degrees=degrees)


def _seconds(item: dict[str, Any], rate: float) -> float | None:
    """Return the time of a box: by its frame number if the stored time agrees up to rounding, else the stored time."""
    time, frame = _number(item.get("time")), _number(item.get("frame"))
    if frame is None:
        return time
    counted = [frame / rate, max(frame - 1, 0) / rate]  # the editor counts from 1, or showed the picture behind
    if time is None:
        return counted[1]
    near = min(counted, key=lambda each: abs(each - time))
    return near if abs(near - time) <= TIME_ROUNDING else time


def _rate(value: dict[str, Any]) -> float | None:
    """Return the frame rate in which a region counts frames; None if the region does not give it."""
    count, duration = _number(value.get("framesCount")), _number(value.get("duration"))
    rate = count / duration if count and duration and count > 0 and duration > 0 else None
    if rate is None:
        for item in _list(value.get("sequence")):
            frame, time = (_number(item.get(key)) if isinstance(item, dict) else None for key in ("frame", "time"))
            if frame and time and frame > 0 and time > 0:
                rate = frame / time
    return rate if rate is not None and 0.01 <= rate <= 10000 else None


def _video_id(where: str, video: str, listed: dict[str, Listed]) -> str:
    stem = media_stem(video)
    match = _UPLOADED.fullmatch(stem)
    stem = match[1] if match and stem not in listed else stem
    if not stem:
        raise InputError(f"{where}: names no film, expected the path of a film in its data")
    return stem


def _video(data: Any) -> str:
    """Return the film's name or address: the text of the data with a film's ending, else the one called video."""
    texts = {key: value for key, value in data.items() if isinstance(value, str)} if isinstance(data, dict) else {}
    paths = {key: _path(value) for key, value in texts.items()}
    named = [path for path in paths.values() if path.lower().endswith(MEDIA)]
    return named[0] if named else paths.get("video", "")


def _path(address: str) -> str:
    """Return the path in an address; for local files it follows `?d=`."""
    try:
        parts = urlsplit(address)
        local = parse_qs(parts.query).get("d")
    except ValueError:
        return address
    return local[0] if local else unquote(parts.path)


def _labels(value: Any) -> tuple[str, ...]:
    found = value.get("labels") if isinstance(value, dict) else None
    return tuple(each for each in _list(found) if isinstance(each, str))


def _leaves(kind: str, value: Any) -> Any:
    """Return the last name of each path of a taxonomy."""
    if kind == "taxonomy":
        return [str(each[-1]) for each in _list(value) if isinstance(each, list) and each]
    return value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any) -> float | None:
    return float(value) if is_number(value) else None
