"""Write a film's boxes as CVAT for video 1.1, as CVAT's own importer wants them.

Each box that is meant has `keyframe="1"` (CVAT drops the others) and every attribute that its label declares; no box
stands behind the last frame. Sides have the two decimals that CVAT's exports have.

There are two forms. `tracks`: from second to second the boxes are joined, as people draw them, and CVAT interpolates
between. Where a person has no box at the next second, the track is `outside` half a second after the last. Read again,
the keyframes are the middles of all seconds. `single`: each box is seen on one frame. Read again, these frames are the
keyframes, and nothing else is one.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal
from xml.sax.saxutils import escape, quoteattr

from pipeline.annotations.attributes import NAMED
from pipeline.annotations.class_ids import spelt
from pipeline.base.errors import InputError
from pipeline.predict.marks import Classes, Mark, MarkedFilm

PERSON, NONE = "person", "none"
# What CVAT's data base holds of the name of an attribute.
LONGEST_NAME = 64
SECOND = 1.0
TICK = 1e-3
Form = Literal["tracks", "single"]


def form_of(film: MarkedFilm, *, every_second: bool) -> Form:
    """Return `tracks` where the middles of all seconds, which are read again from tracks, were the scored times.

    Args:
        film: its boxes must lie in the middles of seconds.
        every_second: whether a second without a box is one that shows nobody; else each must have one.
    """
    frames = {film.clock.frame(mark.time_seconds) for mark in film.marks}
    seconds = math.ceil(film.clock.seconds(film.frames) / SECOND) + 1
    middles = [film.clock.frame((number + 0.5) * SECOND) for number in range(seconds)]
    middles = [frame for frame in middles if frame < film.frames]
    distinct = len({*middles}) == len(middles)
    return "tracks" if distinct and (frames <= {*middles} if every_second else frames == {*middles}) else "single"


def attributes_of(classes: Classes) -> list[tuple[str, list[str]]]:
    """Return the attributes of a person: names, and the options of a select; a checkbox has none.

    Raises:
        InputError: a name is too long for CVAT, or would be read as the one attribute that names all actions.
    """
    several = len(classes.any_of) + len(classes.exclusive) > 1
    for label in classes.labels:
        if len(label.name) > LONGEST_NAME:
            raise InputError(
                f"class {label.name!r}: the name has {len(label.name)} characters, CVAT takes at most {LONGEST_NAME}"
            )
    for label in classes.any_of:
        if several and spelt(label.name) in NAMED:
            raise InputError(
                f"class {label.name!r}: a checkbox of this name would be read as the one attribute of all actions; "
                "expected another name, or --format via"
            )
    taken = {spelt(label.name) for label in classes.labels} | ({*NAMED} if several else set())
    selects = [
        (f"one {name}" if spelt(name) in taken else name, [NONE, *(label.name for label in labels)])
        for name, labels in classes.exclusive.items()
    ]
    return [*selects, *((label.name, []) for label in classes.any_of)]


def label_definition(classes: Classes) -> list[dict[str, object]]:
    """Return the label of a CVAT task as its raw editor of labels takes it."""
    attributes = []
    for name, options in attributes_of(classes):
        kind = "select" if options else "checkbox"
        values = options or ["false"]
        attributes.append(
            {"name": name, "input_type": kind, "mutable": True, "values": values, "default_value": values[0]}
        )
    return [{"name": PERSON, "attributes": attributes}]


def cvat_text(film: MarkedFilm, classes: Classes, form: Form) -> str:
    """Return the XML of one film's task.

    Args:
        film: the film; its marks are ascending by time.
        classes: what the attributes are made of.
        form: see above.

    Raises:
        InputError: see `attributes_of`.
    """
    persons: dict[int, list[Mark]] = {}
    for mark in film.marks:
        persons.setdefault(mark.person, []).append(mark)
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "  <version>1.1</version>"]
    lines += [*_meta(film, classes)]
    attributes, names = attributes_of(classes), {label.id: label.name for label in classes.labels}
    for person in sorted(persons):
        lines.append(f'  <track id="{person}" label="{PERSON}" source="auto">')
        for mark, frame, outside in _shapes(persons[person], film, form):
            lines += _box(mark, frame, outside, film.size, _values(mark, attributes, names))
        lines.append("  </track>")
    return "\n".join([*lines, "</annotations>", ""])


def _meta(film: MarkedFilm, classes: Classes) -> Iterator[str]:
    yield f"  <meta>\n    <task>\n      <name>{escape(film.video_id)}</name>\n      <size>{film.frames}</size>"
    yield "      <mode>interpolation</mode>\n      <overlap>0</overlap>"
    yield f"      <start_frame>0</start_frame>\n      <stop_frame>{film.frames - 1}</stop_frame>"
    yield "      <frame_filter></frame_filter>\n      <labels>\n        <label>"
    yield f"          <name>{PERSON}</name>\n          <attributes>"
    for name, options in attributes_of(classes):
        kind, values = ("select", options) if options else ("checkbox", ["false"])
        yield f"            <attribute>\n              <name>{escape(name)}</name>"
        yield f"              <mutable>True</mutable>\n              <input_type>{kind}</input_type>"
        yield f"              <default_value>{escape(values[0])}</default_value>"
        yield f"              <values>{escape(chr(10).join(values))}</values>\n            </attribute>"
    yield "          </attributes>\n        </label>\n      </labels>"
    last = film.frames - 1
    yield f"      <segments><segment><id>0</id><start>0</start><stop>{last}</stop></segment></segments>"
    width, height = film.size
    yield f"      <original_size><width>{width}</width><height>{height}</height></original_size>"
    yield f"      <source>{escape(film.file)}</source>\n    </task>\n  </meta>"


def _shapes(marks: Sequence[Mark], film: MarkedFilm, form: Form) -> Iterator[tuple[Mark, int, bool]]:
    """Yield mark, frame and `outside` of each box of one person; of two marks on one frame the first."""
    last = film.frames - 1
    by_frame: dict[int, Mark] = {}
    for mark in marks:
        by_frame.setdefault(min(film.clock.frame(mark.time_seconds), last), mark)
    frames = sorted(by_frame)
    for frame, following in zip(frames, [*frames[1:], None], strict=True):
        mark = by_frame[frame]
        yield mark, frame, False
        time = mark.time_seconds
        joined = form == "tracks" and following is not None
        if joined and by_frame[following or 0].time_seconds - time <= SECOND + TICK:
            continue
        end = frame + 1 if form == "single" else max(film.clock.frame(time + SECOND / 2), frame + 1)
        if frame < last and end != following:
            yield mark, min(end, last), True


def _values(mark: Mark, attributes: Sequence[tuple[str, list[str]]], names: Mapping[int, str]) -> list[tuple[str, str]]:
    done = {names[each] for each in mark.actions}
    return [
        (name, next((each for each in options if each in done), NONE) if options else str(name in done).lower())
        for name, options in attributes
    ]


def _box(
    mark: Mark, frame: int, outside: bool, size: tuple[int, int], values: Sequence[tuple[str, str]]
) -> Iterator[str]:
    pixels = [min(max(side * full, 0.0), full) for side, full in zip(mark.box, (*size, *size), strict=True)]
    sides = " ".join(f'{name}="{each:.2f}"' for name, each in zip(("xtl", "ytl", "xbr", "ybr"), pixels, strict=True))
    flags = f'outside="{int(outside)}" occluded="0" keyframe="1"'
    yield f'    <box frame="{frame}" {flags} {sides} z_order="0">'
    for name, value in values:
        yield f"      <attribute name={quoteattr(name)}>{escape(value)}</attribute>"
    yield "    </box>"
