"""Read CSV of the VGG Image Annotator: VIA 3 (videos, or images of frames) and VIA 2 (images of frames).

VIA 3: lines of `#`, the last of them `# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,
spatial_coordinates,metadata`, one `# ATTRIBUTE = {...}` with the options; rows with one file, the time `[t]` and a
rectangle `[2,x,y,width,height]`. VIA 2: `filename,file_size,file_attributes,region_count,region_id,
region_shape_attributes,region_attributes`. Both count pixels of the file. An image is named `<video>_<number>`, where
the number of a frame counts from 1, as ffmpeg writes them.
"""

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from pipeline.annotations.attributes import (
    ActionAttributes,
    Attribute,
    Wanted,
    actions_of,
    choose,
    seen_attributes,
    typed,
)
from pipeline.annotations.class_ids import ClassNames, spelt
from pipeline.annotations.drafts import Draft, DraftsRead, draft_rows, pixel_box, with_empty
from pipeline.annotations.drawn_tracks import NO_INSIDE
from pipeline.annotations.listed import Listed, frame_clock, frame_size
from pipeline.annotations.notices import SHOWN, Notice, without_action
from pipeline.annotations.outlines import Sides, around, clipped, ellipse
from pipeline.base.errors import InputError
from pipeline.base.problems import Fault, Problem, ProblemKind
from pipeline.tables.csv_rows import is_number, shown, video_id_fault
from pipeline.tables.timelines import Timeline

VIA3 = ["metadata_id", "file_list", "flags", "temporal_coordinates", "spatial_coordinates", "metadata"]
VIA2 = [
    "filename", "file_size", "file_attributes", "region_count", "region_id", "region_shape_attributes",
    "region_attributes",
]  # fmt: skip
IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
# The numbers of VIA 3's shapes.
RECTANGLE, CIRCLE, ELLIPSE, POLYGON = 2, 3, 4, 7
SHAPES = {1: "point", 5: "line", 6: "polyline", 8: "extreme rectangle", 9: "extreme circle"}
TEXT = "1"
"VIA 3's type for attributes without options."
PERSON = ("person id", "track id")
"Names of the attribute whose number says which person of the film a region shows."
_HEADER = re.compile(r"^\s*#\s*CSV_HEADER\s*=\s*(.*?)[\s,]*$")
_ATTRIBUTE = re.compile(r"^\s*#\s*ATTRIBUTES?\s*=\s*(\{.*\})[\s,]*$")
_FRAME = re.compile(r"(.+)_([0-9]{1,9})")


@dataclass(frozen=True)
class Region:
    """One row; `box` is None if the image or time shows no person."""

    place: str
    file: str
    seconds: float | None
    "None for an image, whose name gives the frame number."
    box: tuple[float, ...] | None
    size: tuple[float, float] | None
    values: Mapping[str, Any]
    "Attribute values: a text that may hold several actions, or names of options, which may contain commas."
    is_rectangle: bool = True
    fault: Fault | None = None


@dataclass(frozen=True)
class ViaFile:
    """One file."""

    path: Path
    format: str
    chosen: ActionAttributes
    "The class names are the options that the project lists, in their order."
    regions: list[Region]
    ignored: int
    "Number of rows that label a stretch of time without a box."


def via_header(text: str) -> list[str] | None:
    """Return the header row of VIA 3 or VIA 2 if the text starts with it; None for other files."""
    for line in text.lstrip("\ufeff").splitlines():
        if match := _HEADER.match(line):
            names = [name.strip() for name in match[1].split(",")]
            return VIA3 if names == VIA3 else None
        if not line.startswith("#") or line.lstrip("#").startswith("filename,"):
            return VIA2 if [name.strip() for name in line.lstrip("#").strip().split(",")] == VIA2 else None
    return None


def read_via(path: Path, wanted: Wanted, known: ClassNames | None = None) -> ViaFile:
    """Read an export.

    Args:
        path: the export.
        wanted: `dataset.action_attribute`.
        known: the classes of a label map, if there is one.

    Raises:
        InputError: see `choose`; or the file is not text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text, expected the CSV of VIA") from None
    if via_header(text) == VIA2:
        regions = [_via2(*row) for row in _rows(path, text, VIA2)]
        seen = seen_attributes([each.values for each in regions if each.box])
        attributes = [each for each in seen if spelt(each.name) not in PERSON]
        chosen = choose(str(path), attributes, [], wanted, known)
        if any(isinstance(each.values.get(key), str) for each in regions for key in chosen.attribute_names):
            # Texts have no listed options, and typed text may contain mistakes or several actions.
            chosen = replace(chosen, names=())
        return ViaFile(path, "VIA 2 CSV", chosen, regions, 0)
    rows = list(_rows(path, text, VIA3))
    keys, attributes = _defined(text)
    if keys and not attributes:
        names = ", ".join(name for name, _ in keys.values())
        raise InputError(
            f"{path}: found the attributes {names}, which belong to stretches of time or to files, expected attributes "
            "of regions (anchor_id FILE1_Z1_XY1): an action needs the box of the person who does it"
        )
    chosen = choose(str(path), attributes, [], wanted, known)
    read = [_via3(place, row, keys) for place, row in rows]
    kept = [region for region in read if region is not None]
    return ViaFile(path, "VIA 3 CSV", chosen, kept, len(read) - len(kept))


def via_rows(
    via: ViaFile, names: ClassNames, listed: dict[str, Listed], *, classes: int, keyframe_seconds: float
) -> DraftsRead:
    """Return the labelled boxes. A labelled frame is a keyframe; its timestamp is in seconds from the film's start.

    Of several labelled frames within one stretch of `keyframe_seconds`, the one nearest to its middle is taken.

    Raises:
        InputError: a frame rate or a size is unknown.
    """
    where = str(via.path)
    stamps, seen = _sampled(via, listed, keyframe_seconds)
    drafts, keyframes, idle = [], [], []
    unsampled: list[str] = []
    for region, (video_id, stamp) in zip(via.regions, stamps, strict=True):
        if region.fault:
            drafts.append(Draft(region.place, video_id, stamp, fault=region.fault))
            continue
        if seen[video_id][stamp // keyframe_seconds] != stamp:
            unsampled.append(region.place)
            continue
        keyframes.append(Draft(region.place, video_id, stamp))
        if region.box is None:
            continue
        size = frame_size(video_id, listed, region.size, where)
        sides = pixel_box(region.box if region.is_rectangle else clipped(region.box, size), size)
        actions = actions_of(region.values, "", via.chosen, names)
        idle += [] if actions else [region.place]
        for action in actions:
            known = names.find(action)
            fault = None if known else Fault(f"action {shown(action)}", names.expected(action), "unknown-action")
            drafts.append(Draft(region.place, video_id, stamp, sides, known or 0, _person(region), fault))
    rows = draft_rows(via.path.name, with_empty(drafts, keyframes), classes=classes)
    told = (
        f"{via.path.name}: {via.format}: {len(seen)} videos, {sum(map(len, seen.values()))} keyframes; left out: "
        f"{len(unsampled)} rows of further frames of a keyframe's {keyframe_seconds:g} s, {via.ignored} rows without a "
        f"box; {via.chosen.told()}"
    )
    times = {each: Timeline("", 0.0, 0.0) for each in sorted(seen)}
    notices = [*via.chosen.notices(via.path.name), *without_action(via.path.name, idle)]
    notices += _unsampled(via.path.name, unsampled, keyframe_seconds)
    read = DraftsRead(via.format, [rows], times, [told], notices)
    good = [
        (region, video_id) for region, (video_id, _) in zip(via.regions, stamps, strict=True) if region.fault is None
    ]
    for region, video_id in good:
        if region.size:
            read.sizes.setdefault(video_id, set()).add(region.size)
    return replace(read, counted=frozenset(video_id for region, video_id in good if region.seconds is None))


def _person(region: Region) -> int | None:
    """Return the number of the person, of an attribute of `PERSON`; None where it has none."""
    told = next((str(value).strip() for name, value in region.values.items() if spelt(name) in PERSON), "")
    return int(told) if told.isascii() and told.isdecimal() and len(told) < 10 else None


def _sampled(
    via: ViaFile, listed: dict[str, Listed], keyframe_seconds: float
) -> tuple[list[tuple[str, float]], dict[str, dict[float, float]]]:
    """Return video and timestamp of each region, and by video the timestamp taken from each stretch of time."""
    seen: dict[str, dict[float, float]] = {}
    stamps: list[tuple[str, float]] = []
    for region in via.regions:
        video_id, stamp = _key(region, listed, str(via.path))
        stamps.append((video_id, stamp))
        if region.fault is None:
            number, middle = divmod(stamp, keyframe_seconds)
            best = seen.setdefault(video_id, {}).get(number)
            if best is None or (abs(middle - keyframe_seconds / 2), stamp) < (
                abs(best - (number + 0.5) * keyframe_seconds),
                best,
            ):
                seen[video_id][number] = stamp
    return stamps, seen


def _unsampled(file: str, places: Sequence[str], seconds: float) -> list[Notice]:
    """Return a notice of labelled frames that are not used, because another is the keyframe of their stretch."""
    if not places:
        return []
    where = ", ".join(places[:SHOWN]) + (", ..." if len(places) > SHOWN else "")
    found = f"{len(places)} rows of further frames of a keyframe's {seconds:g} s"
    expected = f"a labelled frame in {seconds:g} s (dataset.keyframe_seconds)"
    return [Notice("boxes-unmet", Problem(file, where, found, expected), len(places))]


def _rows(path: Path, text: str, header: list[str]) -> Iterator[tuple[str, list[str]]]:
    reader = csv.reader(text.splitlines())
    try:
        for row in reader:
            comment = not row or row[0].startswith("#") or [cell.strip() for cell in row] == header
            if not comment and any(cell.strip() for cell in row):
                yield f"row {reader.line_num}", [cell.strip() for cell in row]
    except csv.Error as error:
        raise InputError(f"{path}: row {reader.line_num}: not CSV: {error}") from None


def _defined(text: str) -> tuple[dict[str, tuple[str, dict[str, str]]], list[Attribute]]:
    """Return name and options by the keys of `metadata`, and the attributes of regions (not of files or times)."""
    found = next((match[1] for line in text.splitlines() if (match := _ATTRIBUTE.match(line))), "{}")
    attributes = _json(found.replace('""', '"') if '""' in found and not _json(found) else found)
    keys: dict[str, tuple[str, dict[str, str]]] = {}
    kept = []
    for key, each in (attributes if isinstance(attributes, dict) else {}).items():
        about = each if isinstance(each, dict) else {"aname": each}
        given = about.get("options")
        options = given if isinstance(given, dict) else {}
        keys[str(key)] = (str(about.get("aname")), {str(k): str(v) for k, v in options.items()})
        if "XY0" not in str(about.get("anchor_id")) and spelt(str(about.get("aname"))) not in PERSON:
            kind = "text" if str(about.get("type")) == TEXT or not options else "choice"
            kept.append(typed(str(about.get("aname")), kind, list(map(str, options.values()))))
    return keys, kept


def _via3(place: str, row: list[str], keys: Mapping[str, tuple[str, dict[str, str]]]) -> Region | None:
    row = row[: len(VIA3)] if not any(row[len(VIA3) :]) else row
    bad = Region(place, "", None, None, None, {})
    if len(row) != len(VIA3):
        return _faulty(bad, f"{len(row)} columns", ",".join(VIA3))
    files, times, box, metadata = (_json(row[index]) for index in (1, 3, 4, 5))
    if isinstance(files, str):
        files = [files]
    if not isinstance(files, list) or len(files) != 1 or not isinstance(files[0], str):
        return _faulty(bad, f"file_list {shown(row[1])}", "one file")
    if box == [] and isinstance(times, list) and len(times) == 2:
        return None
    is_image = PurePath(files[0]).suffix.lower() in IMAGES
    if not isinstance(times, list) or not all(map(is_number, times)) or not (is_image or len(times) == 1):
        return _faulty(bad, f"temporal_coordinates {shown(row[3])}", "one time [t] in seconds")
    if not isinstance(metadata, dict):
        return _faulty(bad, f"metadata {shown(row[5])}", "an object of attributes")
    sides = _sides3(box) if box != [] else None
    if sides is None and box != []:
        kind = SHAPES.get(box[0]) if isinstance(box, list) and isinstance(box[0], int) else None
        if kind:
            return _faulty(bad, f"a shape of {kind}", NO_INSIDE, "shape-not-read")
        return _faulty(bad, f"spatial_coordinates {shown(row[4])}", "a rectangle [2,x,y,width,height] in pixels")
    values: dict[str, Any] = {}
    for key, value in metadata.items():
        name, options = keys.get(str(key), (str(key), {}))
        parts = [each.strip() for each in str(value).split(",")]
        values[name] = [options.get(each, each) for each in parts] if options.keys() & set(parts) else str(value)
    seconds = None if is_image else float(times[0])
    return Region(place, files[0], seconds, sides, None, values, bool(box) and box[0] == RECTANGLE)


def _sides3(shape: Any) -> Sides | None:
    """Return the box around a shape of VIA 3; None if it has none."""
    if not isinstance(shape, list) or not shape or not all(map(is_number, shape)):
        return None
    kind, numbers = shape[0], [float(each) for each in shape[1:]]
    if kind == RECTANGLE and len(numbers) == 4:
        return numbers[0], numbers[1], numbers[0] + numbers[2], numbers[1] + numbers[3]
    if (kind, len(numbers)) in ((CIRCLE, 3), (ELLIPSE, 4)):
        return ellipse((numbers[0], numbers[1]), (numbers[2], numbers[-1]), 0.0)
    if kind == POLYGON and len(numbers) >= 6 and len(numbers) % 2 == 0:
        return around(list(zip(numbers[::2], numbers[1::2], strict=True)))
    return None


def _sides2(shape: Mapping[str, Any]) -> Sides | None:
    """Return the box around a shape of VIA 2; None if it has none."""
    kind = shape.get("name")
    if kind == "polygon":
        xs, ys = (each if isinstance(each := shape.get(f"all_points_{axis}"), list) else [] for axis in "xy")
        good = len(xs) == len(ys) >= 3 and all(map(is_number, [*xs, *ys]))
        return around(list(zip(xs, ys, strict=True))) if good else None
    keys = {"rect": ("x", "y", "width", "height"), "circle": ("cx", "cy", "r"), "ellipse": ("cx", "cy", "rx", "ry")}
    numbers: list[Any] = [shape.get(key) for key in keys.get(str(kind), ())]
    if not numbers or not all(map(is_number, numbers)):
        return None
    x, y, width, height = (*numbers, numbers[-1])[:4]
    if kind == "rect":
        return x, y, x + width, y + height
    theta: Any = shape.get("theta", 0.0)
    return ellipse((x, y), (width, height), math.degrees(theta) if is_number(theta) else 0.0)


def _via2(place: str, row: list[str]) -> Region:
    bad = Region(place, "", None, None, None, {})
    if len(row) != len(VIA2):
        return _faulty(bad, f"{len(row)} columns", ",".join(VIA2))
    about, shape, attributes = (_json(row[index] or "{}") for index in (2, 5, 6))
    if not all(isinstance(each, dict) for each in (about, shape, attributes)):
        return _faulty(bad, f"attributes {shown(row[5])}", "objects in JSON")
    size = (about.get("width"), about.get("height"))
    own = (float(size[0]), float(size[1])) if all(is_number(side) and side > 0 for side in size) else None
    if not shape:
        return Region(place, row[0], None, None, own, {})
    sides = _sides2(shape)
    if sides is None:
        if shape.get("name") in ("point", "polyline"):
            return _faulty(bad, f"a shape of {shape['name']}", NO_INSIDE, "shape-not-read")
        return _faulty(
            bad, f"region_shape_attributes {shown(row[5])}", "a rect, circle, ellipse or polygon with its numbers"
        )
    return Region(place, row[0], None, sides, own, attributes, shape.get("name") == "rect")


def _faulty(region: Region, found: str, expected: str, kind: ProblemKind = "unreadable") -> Region:
    return replace(region, fault=Fault(found, expected, kind))


def _key(region: Region, listed: dict[str, Listed], where: str) -> tuple[str, float]:
    """Return video and timestamp of a region."""
    if region.fault:
        return "-", 0.0
    stem = PurePath(region.file.replace("\\", "/")).stem
    if region.seconds is not None:
        return stem, round(region.seconds, 3)
    match = _FRAME.fullmatch(stem)
    if not match or video_id_fault(match[1]):
        raise InputError(f"{where}: {region.place}: image {shown(region.file)}, expected <video>_<number of the frame>")
    return match[1], round(frame_clock(match[1], listed, None, where).seconds(int(match[2]) - 1), 3)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # ValueError: also raised for an integer with thousands of digits
        return None
