"""Write films as VIA 3 (the VGG Image Annotator): the project that it opens, and the CSV that it exports.

VIA opens projects (JSON) and no CSV; the CSV is what its export of this project would be, and what `new-dataset` reads.
A box stands at one time, in pixels with three decimals. All classes are options of one attribute `action` with
checkboxes; an exclusive group is an attribute of its own, a choice of one. The person is a text, `person_id`.
"""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from pipeline.annotations.attributes import NAMED
from pipeline.annotations.class_ids import spelt
from pipeline.predict.marks import Classes, Mark, MarkedFilm
from pipeline.predict.write_cvat import NONE

# VIA's numbers of types and shapes.
TEXT, CHECKBOX, RADIO, RECTANGLE, VIDEO, LOCAL = 1, 2, 3, 2, 4, 1
ANCHOR = "FILE1_Z1_XY1"
PERSON_ID = "person_id"
PLACEHOLDER = "__VIA_PROJECT_{}__"
"VIA fills these in when a project is shared."


def via_csv_text(films: Sequence[MarkedFilm], classes: Classes) -> str:
    """Return the CSV that VIA 3 exports."""
    attributes = _attributes(classes)
    text = io.StringIO()
    text.write("# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)\n")
    text.write('# SHAPE_ID = {"POINT":1,"RECTANGLE":2}\n')
    text.write(f"# ATTRIBUTE = {_json(attributes)}\n")
    text.write("# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata\n")
    rows = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    for place, film in enumerate(films, start=1):
        for number, mark in enumerate(film.marks, start=1):
            values = _json(_values(mark, attributes, classes))
            where = _json([_time(mark)]), _json([RECTANGLE, *_rectangle(mark, film)])
            rows.writerow([_id(place, number), _json([film.file]), 0, *where, values])
    return text.getvalue()


def via_project(films: Sequence[MarkedFilm], classes: Classes, name: str) -> dict[str, Any]:
    """Return the project that VIA 3 opens; it asks for each film's file.

    Args:
        films: in the order of the project.
        classes: what the attributes are made of.
        name: of the project.
    """
    attributes = _attributes(classes)
    places = [str(place) for place in range(1, len(films) + 1)]
    metadata = {}
    for place, film in zip(places, films, strict=True):
        for number, mark in enumerate(film.marks, start=1):
            metadata[_id(int(place), number)] = {
                "vid": place, "flg": 0, "z": [_time(mark)], "xy": [RECTANGLE, *_rectangle(mark, film)],
                "av": _values(mark, attributes, classes),
            }  # fmt: skip
    project = {
        "pid": PLACEHOLDER.format("ID"), "rev": PLACEHOLDER.format("REV_ID"),
        "rev_timestamp": PLACEHOLDER.format("REV_TIMESTAMP"), "pname": name, "creator": "", "created": 0,
        "data_format_version": "3.1.1", "vid_list": places,
    }  # fmt: skip
    interface = {
        "file_content_align": "center", "file_metadata_editor_visible": True, "spatial_metadata_editor_visible": True,
        "temporal_segment_metadata_editor_visible": True, "spatial_region_label_attribute_id": "",
        "gtimeline_visible_row_count": "4",
    }  # fmt: skip
    return {
        "project": project,
        "config": {"file": {"loc_prefix": {"1": "", "2": "", "3": "", "4": ""}}, "ui": interface},
        "attribute": attributes,
        "file": {
            place: {"fid": place, "fname": film.file, "type": VIDEO, "loc": LOCAL, "src": ""}
            for place, film in zip(places, films, strict=True)
        },
        "view": {place: {"fid_list": [place]} for place in places},
        "metadata": metadata,
    }


def _attributes(classes: Classes) -> dict[str, dict[str, Any]]:
    """Return VIA's attributes by their ids, from "1" on."""
    kinds: list[tuple[str, int, Sequence[str]]] = []
    if classes.any_of:
        name = "actions of any number" if classes.exclusive else "action"
        kinds.append((name, CHECKBOX, [label.name for label in classes.any_of]))
    for group, labels in classes.exclusive.items():
        one = f"one {group}" if spelt(group) in NAMED and len(classes.exclusive) + len(classes.any_of) > 1 else group
        kinds.append((one, RADIO, [NONE, *(label.name for label in labels)]))
    kinds.append((PERSON_ID, TEXT, ()))
    return {
        str(place): {
            "aname": name, "anchor_id": ANCHOR, "type": kind, "desc": "",
            "options": {str(number): option for number, option in enumerate(options)}, "default_option_id": "",
        }
        for place, (name, kind, options) in enumerate(kinds, start=1)
    }  # fmt: skip


def _values(mark: Mark, attributes: dict[str, dict[str, Any]], classes: Classes) -> dict[str, str]:
    done = {label.name for label in classes.labels if label.id in mark.actions}
    values = {}
    for key, each in attributes.items():
        ids = [number for number, option in each["options"].items() if option in done]
        if each["type"] == RADIO:
            ids = ids or ["0"]
        values[key] = str(mark.person) if each["type"] == TEXT else ",".join(ids)
    return values


def _id(place: int, number: int) -> str:
    return f"{place}_{number:08d}"


def _time(mark: Mark) -> float:
    return round(mark.time_seconds, 3)


def _rectangle(mark: Mark, film: MarkedFilm) -> list[float]:
    """Return x, y, width and height in pixels."""
    width, height = film.size
    x1, y1, x2, y2 = (round(side * full, 3) for side, full in zip(mark.box, (width, height) * 2, strict=True))
    return [x1, y1, round(x2 - x1, 3), round(y2 - y1, 3)]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
