"""CSV of the VGG Image Annotator: VIA 3 (videos, or images of frames) and VIA 2 (images of frames).

VIA 3: lines of `#`, the last of them `# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,
spatial_coordinates,metadata`, one `# ATTRIBUTE = {...}` with the options; rows with one file, the time `[t]` and a
rectangle `[2,x,y,width,height]`. VIA 2: `filename,file_size,file_attributes,region_count,region_id,
region_shape_attributes,region_attributes`. Both count pixels of the file. An image is named `<video>_<number>`, where
the number of a frame counts from 1, as ffmpeg writes them.
"""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from pipeline.datasets.class_ids import NO_ACTION, ClassNames
from pipeline.datasets.csv_rows import shown, video_id_fault
from pipeline.datasets.cvat import split_actions
from pipeline.datasets.drafts import Draft, Read, draft_rows, pixel_box, with_empty
from pipeline.datasets.listed import Listed, frame_rate, frame_size
from pipeline.datasets.timelines import Timeline
from pipeline.errors import InputError

VIA3 = ["metadata_id", "file_list", "flags", "temporal_coordinates", "spatial_coordinates", "metadata"]
VIA2 = [
    "filename", "file_size", "file_attributes", "region_count", "region_id", "region_shape_attributes",
    "region_attributes",
]  # fmt: skip
IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
RECTANGLE = 2
_HEADER = re.compile(r"^\s*#\s*CSV_HEADER\s*=\s*(.*?)[\s,]*$")
_ATTRIBUTE = re.compile(r"^\s*#\s*ATTRIBUTES?\s*=\s*(\{.*\})[\s,]*$")
_FRAME = re.compile(r"(.+)_([0-9]{1,9})")


@dataclass(frozen=True)
class Region:
    """One row; `box` is None for an image or a time without a person."""

    place: str
    file: str
    seconds: float | None
    "None for an image, whose name has the number of the frame."
    box: tuple[float, ...] | None
    size: tuple[float, float] | None
    actions: str | Sequence[str]
    "A text that may hold several, or names of options, which hold commas of their own."
    fault: tuple[str, str] | None = None


@dataclass(frozen=True)
class ViaFile:
    """One file."""

    path: Path
    format: str
    names: list[str]
    "Actions that the project's options list, in their order."
    regions: list[Region]
    ignored: int
    "Rows of stretches of time without a box."


def via_header(text: str) -> list[str] | None:
    """VIA3 or VIA2 where the text begins so; None for other files."""
    for line in text.lstrip("\ufeff").splitlines():
        if match := _HEADER.match(line):
            names = [name.strip() for name in match[1].split(",")]
            return VIA3 if names == VIA3 else None
        if not line.startswith("#") or line.lstrip("#").startswith("filename,"):
            return VIA2 if [name.strip() for name in line.lstrip("#").strip().split(",")] == VIA2 else None
    return None


def read_via(path: Path, attribute: str) -> ViaFile:
    """Read a file.

    Args:
        path: the export.
        attribute: name of the attribute that holds a person's actions. In VIA 3 the only one with options is taken
            where none has this name.

    Raises:
        InputError: the file is not text, or its project has no such attribute.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text, expected the CSV of VIA") from None
    if via_header(text) == VIA2:
        return ViaFile(path, "VIA 2 CSV", [], [_via2(*row, attribute) for row in _rows(path, text, VIA2)], 0)
    key, options = _options(path, text, attribute)
    regions = [_via3(place, row, key, options) for place, row in _rows(path, text, VIA3)]
    kept = [region for region in regions if region is not None]
    names = [name for name in dict.fromkeys(options.values()) if name.lower() not in NO_ACTION]
    return ViaFile(path, "VIA 3 CSV", names, kept, len(regions) - len(kept))


def via_rows(
    via: ViaFile, names: ClassNames, listed: dict[str, Listed], *, classes: int, keyframe_seconds: float
) -> Read:
    """The labelled boxes. A labelled frame is a keyframe, and its timestamp the seconds from the start of the film.

    Of several labelled frames within one stretch of `keyframe_seconds` the one next to its middle is taken.

    Raises:
        InputError: a frame rate or a size is unknown.
    """
    where = str(via.path)
    seen: dict[str, dict[float, float]] = {}
    stamps: list[tuple[str, float]] = []
    for region in via.regions:
        video_id, stamp = _key(region, listed, where)
        stamps.append((video_id, stamp))
        if region.fault is None:
            number, middle = divmod(stamp, keyframe_seconds)
            best = seen.setdefault(video_id, {}).get(number)
            if best is None or (abs(middle - keyframe_seconds / 2), stamp) < (
                abs(best - (number + 0.5) * keyframe_seconds),
                best,
            ):
                seen[video_id][number] = stamp
    drafts, keyframes, unsampled = [], [], 0
    for region, (video_id, stamp) in zip(via.regions, stamps, strict=True):
        if region.fault:
            drafts.append(Draft(region.place, video_id, stamp, fault=region.fault))
            continue
        if seen[video_id][stamp // keyframe_seconds] != stamp:
            unsampled += 1
            continue
        keyframes.append(Draft(region.place, video_id, stamp))
        if region.box is None:
            continue
        sides = pixel_box(region.box, frame_size(video_id, listed, region.size, where))
        for action in split_actions(region.actions, names):
            known = names.find(action)
            fault = None if known else (f"action {shown(action)}", names.expected(action))
            drafts.append(Draft(region.place, video_id, stamp, sides, known or 0, None, fault))
    rows = draft_rows(via.path.name, with_empty(drafts, keyframes), classes=classes)
    told = (
        f"{via.path.name}: {via.format}: {len(seen)} videos, {sum(map(len, seen.values()))} keyframes; left out: "
        f"{unsampled} rows of further frames of a keyframe's {keyframe_seconds:g} s, {via.ignored} rows without a box"
    )
    return Read(via.format, [rows], {each: Timeline("", 0.0, 0.0) for each in sorted(seen)}, [told])


def _rows(path: Path, text: str, header: list[str]) -> Iterator[tuple[str, list[str]]]:
    reader = csv.reader(text.splitlines())
    try:
        for row in reader:
            comment = not row or row[0].startswith("#") or [cell.strip() for cell in row] == header
            if not comment and any(cell.strip() for cell in row):
                yield f"row {reader.line_num}", [cell.strip() for cell in row]
    except csv.Error as error:
        raise InputError(f"{path}: row {reader.line_num}: not CSV: {error}") from None


def _options(path: Path, text: str, attribute: str) -> tuple[str, dict[str, str]]:
    """Key of the attribute in `metadata`, and its options by id."""
    found = next((match[1] for line in text.splitlines() if (match := _ATTRIBUTE.match(line))), "{}")
    attributes = _json(found.replace('""', '"') if '""' in found and not _json(found) else found)
    known = {
        str(key): each if isinstance(each, dict) else {"aname": each}
        for key, each in (attributes if isinstance(attributes, dict) else {}).items()
    }
    chosen = [key for key, each in known.items() if each.get("aname") == attribute]
    with_options = [key for key, each in known.items() if each.get("options")]
    if not chosen and len(with_options) == 1:
        chosen = with_options
    if not chosen:
        names = ", ".join(str(each.get("aname")) for each in known.values()) or "none"
        raise InputError(f"{path}: found the attributes {names}, expected {attribute!r} (dataset.action_attribute)")
    options = known[chosen[0]].get("options")
    return chosen[0], {str(k): str(v) for k, v in options.items()} if isinstance(options, dict) else {}


def _via3(place: str, row: list[str], key: str, options: dict[str, str]) -> Region | None:
    row = row[: len(VIA3)] if not any(row[len(VIA3) :]) else row
    bad = Region(place, "", None, None, None, "", ("", ""))
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
    if not isinstance(times, list) or not all(map(_is_number, times)) or not (is_image or len(times) == 1):
        return _faulty(bad, f"temporal_coordinates {shown(row[3])}", "one time [t] in seconds")
    if not isinstance(box, list) or (box and (len(box) != 5 or box[0] != RECTANGLE or not all(map(_is_number, box)))):
        return _faulty(bad, f"spatial_coordinates {shown(row[4])}", "a rectangle [2,x,y,width,height] in pixels")
    if not isinstance(metadata, dict):
        return _faulty(bad, f"metadata {shown(row[5])}", "an object of attributes")
    actions: str | list[str] = str(metadata.get(key, ""))
    parts = [each.strip() for each in str(actions).split(",")]
    if any(each in options for each in parts):
        actions = [options.get(each, each) for each in parts]
    sides = (box[1], box[2], box[1] + box[3], box[2] + box[4]) if box else None
    return Region(place, files[0], None if is_image else float(times[0]), sides, None, actions)


def _via2(place: str, row: list[str], attribute: str) -> Region:
    bad = Region(place, "", None, None, None, "", ("", ""))
    if len(row) != len(VIA2):
        return _faulty(bad, f"{len(row)} columns", ",".join(VIA2))
    about, shape, attributes = (_json(row[index] or "{}") for index in (2, 5, 6))
    if not all(isinstance(each, dict) for each in (about, shape, attributes)):
        return _faulty(bad, f"attributes {shown(row[5])}", "objects in JSON")
    size = (about.get("width"), about.get("height"))
    own = (float(size[0]), float(size[1])) if all(_is_number(side) and side > 0 for side in size) else None
    if not shape:
        return Region(place, row[0], None, None, own, "")
    sides = [shape.get(side) for side in ("x", "y", "width", "height")]
    if shape.get("name") != "rect" or not all(map(_is_number, sides)):
        return _faulty(bad, f"region_shape_attributes {shown(row[5])}", "a rect with x, y, width and height")
    chosen: Any = attributes.get(attribute, "")
    is_checkbox = isinstance(chosen, dict)
    actions = [name for name, on in chosen.items() if on] if is_checkbox else str(chosen)
    x, y, width, height = sides
    return Region(place, row[0], None, (x, y, x + width, y + height), own, actions)


def _faulty(region: Region, found: str, expected: str) -> Region:
    return Region(region.place, region.file, None, None, None, "", (found, expected))


def _key(region: Region, listed: dict[str, Listed], where: str) -> tuple[str, float]:
    """Video and timestamp of a region."""
    if region.fault:
        return "-", 0.0
    stem = PurePath(region.file.replace("\\", "/")).stem
    if region.seconds is not None:
        return stem, round(region.seconds, 3)
    match = _FRAME.fullmatch(stem)
    if not match or video_id_fault(match[1]):
        raise InputError(f"{where}: {region.place}: image {shown(region.file)}, expected <video>_<number of the frame>")
    return match[1], round((int(match[2]) - 1) / frame_rate(match[1], listed, None, where), 3)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # ValueError: also a whole number of thousands of digits
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
