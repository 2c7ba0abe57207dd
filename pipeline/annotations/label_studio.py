"""Label Studio's JSON and JSON-MIN of videos: regions of type `videorectangle`.

`sequence` holds the boxes that somebody set: percent of the frame, a number of the frame that begins with 1 (or 0, as
the editor is set) and its time. `enabled: false` is the last frame at which the person is seen. Between two of them the
sides move linearly, and the last one stays to the end. The frame rate of a project is set there and is not the film's,
so that times tell the frames. Per-region choices and taxonomies are attributes (`attributes.py`).
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
"Types of results that say something of a region, and of what kind an attribute of them is."
VALUES = {"textarea": "text"}
"Where the key of the value is not the type."
# Label Studio puts eight digits before the name of a file that is uploaded.
_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")
# Times of boxes that its export fills in are rounded to a hundredth.
TIME_ROUNDING = 0.0051
SIDES = ("x", "y", "width", "height")


@dataclass
class _Region:
    """A person."""

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
    "Kind of each attribute."
    without_box: int = 0
    lost: list[str] = field(default_factory=list)
    "Choices that JSON-MIN parts from their boxes."
    notices: list[Notice] = field(default_factory=list)


def is_label_studio(content: Any) -> bool:
    """Whether JSON is an export of Label Studio, of whatever it labels."""
    entries = [each for each in content if isinstance(each, dict)] if isinstance(content, list) else []
    whole = [
        each for each in entries if isinstance(each.get("annotations"), list) and isinstance(each.get("data"), dict)
    ]
    return bool(whole) or any("annotation_id" in each and "lead_time" in each for each in entries)


def has_boxes(content: Any) -> bool:
    """Whether an export holds boxes in videos."""
    return any(film.regions for film in _films("", content))


def read_films(
    path: Path, content: Any, listed: dict[str, Listed], wanted: Wanted, known: ClassNames | None = None
) -> list[AnnotationTask]:
    """The films of an export.

    Args:
        path: the file, for messages.
        content: its JSON.
        listed: what is said of each video; sizes are needed where boxes are turned.
        wanted: `dataset.action_attribute`.
        known: the classes of a label map, if there is one.

    Raises:
        InputError: see `choose`; or a film has no name, or nothing tells its frame rate or, of turned boxes, its size.
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
    """A task of JSON. Of several annotations the ground truth is taken, else the first."""
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
    """A task of JSON-MIN, which does not say which region a choice belongs to."""
    film = _Film(f"task {entry.get('id', place)}", _video(entry), [])
    for key, found in entry.items():
        values = [each for each in _list(found) if isinstance(each, dict)]
        boxes = [each for each in values if "sequence" in each]
        film.regions += [_Region(f"{key} {n}", _labels(each), each) for n, each in enumerate(boxes, start=1)]
    given = _between(list(entry), "id", "annotator")
    for key, found in entry.items():
        parts: list[Any] = [found, *_list(found)]
        whole = any(isinstance(each, dict) and "sequence" not in each and each.keys() & KINDS.keys() for each in parts)
        # A choice of one option is a bare text there, as are the columns of a task, which stand before its id.
        bare = [each for each in parts if isinstance(each, str) and each and not _path(each).lower().endswith(MEDIA)]
        if whole or (bare and (key in given if given else isinstance(found, list))):
            film.lost.append(key)
    return film


def _between(keys: list[str], first: str, last: str) -> list[str]:
    """The keys between two others, which is where JSON-MIN writes what somebody annotated; none in another order."""
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
    """The boxes of a region in pixels, each that is its last followed by an `outside` one; faults among them."""
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
    """A box that is turned about its upper left corner, as one that is turned about its centre."""
    x, y, width, height = box
    if degrees % 360 == 0:
        return Box(frame, (x, y, x + width, y + height))
    cos, sin = cos_sin(degrees)
    left = x + (width * cos - height * sin) / 2 - width / 2
    top = y + (width * sin + height * cos) / 2 - height / 2
    return Box(frame, (left, top, left + width, top + height), degrees=degrees)


def _seconds(item: dict[str, Any], rate: float) -> float | None:
    """The time of a box: as it says, where that is not rounded; else by the number of its frame."""
    time, frame = _number(item.get("time")), _number(item.get("frame"))
    if frame is None:
        return time
    counted = [frame / rate, max(frame - 1, 0) / rate]  # the editor counts from 1, or showed the picture behind
    if time is None:
        return counted[1]
    near = min(counted, key=lambda each: abs(each - time))
    return near if abs(near - time) <= TIME_ROUNDING else time


def _rate(value: dict[str, Any]) -> float | None:
    """Frames a second in which a region counts; None where it does not tell."""
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
    """The film's name or address: the text of the data that ends as films do; else what is called video."""
    texts = {key: value for key, value in data.items() if isinstance(value, str)} if isinstance(data, dict) else {}
    paths = {key: _path(value) for key, value in texts.items()}
    named = [path for path in paths.values() if path.lower().endswith(MEDIA)]
    return named[0] if named else paths.get("video", "")


def _path(address: str) -> str:
    """The path in an address; of local files it stands behind `?d=`."""
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
    """Of a taxonomy the last name of each path."""
    if kind == "taxonomy":
        return [str(each[-1]) for each in _list(value) if isinstance(each, list) and each]
    return value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any) -> float | None:
    return float(value) if is_number(value) else None
