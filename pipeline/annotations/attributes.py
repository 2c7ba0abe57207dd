"""Which attributes of an annotation tool name a person's actions: `dataset.action_attribute`, or found.

A checkbox is one class, named after it. Of a choice (select, radio, dropdown, a list) every option is a class. `auto`
takes an attribute called action (or activity); else those that a label map knows; else all checkboxes and choices that
are not known to be something else (occluded, id, gender). It stops where that cannot be told, so that the label of a
track, mostly `person`, never becomes the class of persons whose actions stand in attributes.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pipeline.annotations.class_ids import NO_ACTION, ClassNames, spelt
from pipeline.annotations.notices import Notice
from pipeline.base.errors import InputError
from pipeline.base.problems import Problem
from pipeline.tables.csv_rows import NUMBER

Wanted = str | Sequence[str]
Type = Literal["checkbox", "choice", "text", "number"]
AUTO, NONE, DEFAULT = "auto", "none", "action"
"`action` stood in every configuration before `auto` did: where no attribute is called so, it means `auto`."
NAMED = ("action", "actions", "activity", "activities")
YES, NO = frozenset(("true", "yes", "1", "on", "checked")), frozenset(("false", "no", "0", "off", "unchecked"))
# Checkboxes and choices that annotators and exporters have beside the actions.
OTHER = frozenset((
    "age", "age group", "blur", "blurred", "blurry", "checked", "clothes", "clothing", "color", "colour",
    "comment", "confidence", "crowd", "difficult", "difficulty", "gender", "group", "group id", "id", "identity",
    "ignore", "ignored", "image quality", "interpolated", "is crowd", "iscrowd", "keyframe", "name", "note",
    "notes", "occluded", "occlusion", "outside", "person id", "quality", "reviewed", "rotation", "score", "sex",
    "source", "track id", "truncated", "truncation", "uncertain", "unsure", "verified", "visibility", "visible",
    "z order",
))  # fmt: skip
REMEDY = (
    "set dataset.action_attribute to those that name actions (a list where there are several), or to none where the "
    "label is the action"
)


@dataclass(frozen=True)
class Attribute:
    """One attribute of a file, as it is defined there or as its values look."""

    name: str
    type: Type
    options: tuple[str, ...] = ()
    "Of a choice all of them, in their order; of a text what its definition lists."
    labels: frozenset[str] = frozenset()
    "Labels of tracks that have it; empty where the format has no labels."


@dataclass(frozen=True)
class Chosen:
    """What names the actions of one file."""

    attributes: tuple[Attribute, ...] = ()
    "None: a person's label is the action."
    names: tuple[str, ...] = ()
    "Classes, in the order of the file."
    ignored: tuple[str, ...] = ()
    "Attributes that are not read."
    settled: bool = False
    "The parameter named them, so that nothing has to be said."

    @property
    def attribute_names(self) -> frozenset[str]:
        """The names of the attributes as they stand in the file."""
        return frozenset(each.name for each in self.attributes)

    def notices(self, file: str) -> list[Notice]:
        """What is to be said of attributes that are not read."""
        if not self.ignored or self.settled:
            return []
        read = ", ".join(each.name for each in self.attributes) or "the label"
        found = f"{', '.join(self.ignored)}, which are not read; actions are read from {read}"
        expected = "those that name actions in dataset.action_attribute"
        return [Notice("attribute-ignored", Problem(file, "attributes", found, expected), len(self.ignored))]

    def told(self) -> str:
        """For the line that says what was found in a file."""
        read = ", ".join(each.name for each in self.attributes) or "the label"
        return f"actions by {read}" + (f" (not read: {', '.join(self.ignored)})" if self.ignored else "")


def typed(name: str, type_: str, options: Sequence[str], labels: frozenset[str] = frozenset()) -> Attribute:
    """An attribute by the words of its tool: a choice between yes and no is a checkbox, one of numbers a number."""
    kept = tuple(dict.fromkeys(each.strip() for each in options if each.strip()))
    meant = {each.lower() for each in kept} - NO_ACTION
    kind: Type = "choice"
    if type_ in ("text", "number", "checkbox"):
        kind = type_  # type: ignore[assignment]
    elif meant and meant <= YES | NO:
        kind = "checkbox"
    elif meant and all(re.match(NUMBER, each) for each in meant):
        kind = "number"
    return Attribute(name, kind, () if kind == "checkbox" else kept, labels)


def seen_attributes(values: Sequence[Mapping[str, Any]], labels: Sequence[str] = ()) -> list[Attribute]:
    """Attributes by the values that persons have, where a format defines none; names and options are sorted.

    Args:
        values: of each person.
        labels: of the same persons, where the format has labels.
    """
    found: dict[str, list[Any]] = {}
    owners: dict[str, set[str]] = {}
    for place, each in enumerate(values):
        for name, value in each.items():
            found.setdefault(name, []).append(value)
            owners.setdefault(name, set()).update(labels[place : place + 1])
    attributes = []
    for name in sorted(found):
        there = [each for each in found[name] if each is not None]
        of = frozenset(owners[name])
        if there and all(isinstance(each, bool) for each in there):
            attributes.append(Attribute(name, "checkbox", (), of))
        elif any(isinstance(each, int | float) and not isinstance(each, bool) for each in there):
            flags = ("0", "1") if all(each in (0, 1) for each in there if not isinstance(each, list | dict)) else ()
            attributes.append(Attribute(name, "number", flags, of))
        else:
            options = {option.strip() for each in there for option in values_of(each)}
            # A text that parts others by commas holds several of them.
            several = {each for each in options if "," in each and options.issuperset(map(str.strip, each.split(",")))}
            attributes.append(typed(name, "choice", sorted(options - several), of))
    return attributes


def choose(
    where: str, attributes: Sequence[Attribute], labels: Sequence[str], wanted: Wanted, known: ClassNames | None
) -> Chosen:
    """What names the actions.

    Args:
        where: the file, for messages.
        attributes: all that the file has.
        labels: the labels of its persons, in the order of the file.
        wanted: `dataset.action_attribute`.
        known: the classes of a label map, if there is one.

    Raises:
        InputError: the file has attributes, and none of those that are wanted; or it cannot be told what they are.
    """
    if wanted == NONE or not attributes:
        ignored = tuple(dict.fromkeys(each.name for each in attributes))
        return Chosen((), tuple(labels), ignored, settled=True)
    if wanted != AUTO:
        names = [wanted] if isinstance(wanted, str) else list(wanted)
        exact = {each.name for each in attributes}.intersection(names)
        alike = {spelt(each) for each in names if each not in exact}
        picked = [_as_flag(each) for each in attributes if each.name in exact or spelt(each.name) in alike]
        if not picked and wanted != DEFAULT:
            raise InputError(
                f"{where}: found the attributes {_listed(attributes)}, expected {_quoted(names)} "
                f"(dataset.action_attribute); {REMEDY}"
            )
        if picked:
            return _chosen(picked, attributes, settled=wanted != DEFAULT)
    picked = [each for each in attributes if spelt(each.name) in NAMED and each.type != "number"]
    if not picked and known is not None:
        picked = [each for each in map(_as_flag, attributes) if _is_known(each, known)]
    if picked:
        return _chosen(picked, attributes)
    picked = [each for each in attributes if each.type in ("checkbox", "choice") and not _is_other(each)]
    of_labels = sorted(frozenset().union(*(each.labels for each in picked)) & {*labels}) if picked else []
    if len(of_labels) > 1:
        raise InputError(
            f"{where}: found the labels {', '.join(of_labels)} and their attributes {_listed(picked)}, and nothing "
            f"tells whether a label or an attribute is an action: {REMEDY}"
        )
    if picked:
        return _chosen(picked, attributes)
    by_label = known is not None and any(known.find(each) for each in labels)
    if len(labels) < 2 and not by_label:
        label = f" and the label {labels[0]}" if labels else ""
        raise InputError(
            f"{where}: found the attributes {_listed(attributes)}{label}, and nothing tells which of them names "
            f"actions: {REMEDY}"
        )
    return Chosen((), tuple(labels), tuple(dict.fromkeys(each.name for each in attributes)))


def _chosen(picked: Sequence[Attribute], attributes: Sequence[Attribute], *, settled: bool = False) -> Chosen:
    options = [(each, option) for each in picked if each.type != "checkbox" for option in each.options]
    meant = [(each, option) for each, option in options if option.lower() not in NO_ACTION]
    shared: dict[str, set[str]] = {}
    for each, option in meant:
        shared.setdefault(spelt(option), set()).add(each.name)
    for each in picked:
        if each.type == "checkbox":
            shared.setdefault(spelt(each.name), set()).add(each.name)
    names: list[str] = []
    for each in picked:
        if each.type == "checkbox":
            names.append(each.name)
            continue
        for option in (option for one, option in meant if one is each):
            names.append(qualified(each.name, option) if len(shared[spelt(option)]) > 1 else option)
    kept = {each.name for each in picked}
    ignored = dict.fromkeys(each.name for each in attributes if each.name not in kept)
    return Chosen(tuple(picked), tuple(dict.fromkeys(names)), tuple(ignored), settled)


def qualified(attribute: str, option: str) -> str:
    """The name of a class whose option stands in two attributes: `hands: other`."""
    return f"{attribute}: {option}"


def actions_of(values: Mapping[str, Any], label: str | Sequence[str], chosen: Chosen, names: ClassNames) -> list[str]:
    """The actions of a person, by name; one that is no class stands there as it was found.

    Args:
        values: the person's attributes, by the names of the file.
        label: the person's label, or labels.
        chosen: what names actions.
        names: the classes.
    """
    if not chosen.attributes:
        return split_actions(label, names)
    found: list[str] = []
    for each in chosen.attributes:
        value = values.get(each.name)
        if each.type == "checkbox":
            found += _ticked(each.name, value)
            continue
        for option in split_actions(value if isinstance(value, str) else values_of(value), names, each.name):
            longer = qualified(each.name, option)
            found.append(longer if names.find(longer) else option)
    return list(dict.fromkeys(found))


def split_actions(found: str | Sequence[str], names: ClassNames, attribute: str = "") -> list[str]:
    """The names in a list, or in a text parted by commas that is no class itself; without what stands for none."""
    if isinstance(found, str):
        is_class = names.find(found) or (attribute and names.find(qualified(attribute, found)))
        found = [found] if is_class else found.split(",")
    return [name for name in dict.fromkeys(map(str.strip, found)) if name.lower() not in NO_ACTION]


def values_of(value: Any) -> list[str]:
    """The texts of a value: of a list its items, of an object the keys that are set."""
    if value is None:
        return []
    if isinstance(value, dict):
        return [str(key) for key, on in value.items() if on and str(on).lower() not in NO]
    if isinstance(value, float) and value.is_integer():
        return [str(int(value))]
    return [str(each) for each in value] if isinstance(value, list | tuple) else [str(value)]


def _ticked(name: str, value: Any) -> list[str]:
    texts = [each.strip() for each in values_of(value)]
    meant = [each for each in texts if each.lower() not in NO | NO_ACTION]
    return [name if each.lower() in YES or spelt(each) == spelt(name) else f"{name}: {each}" for each in meant]


def _as_flag(attribute: Attribute) -> Attribute:
    """Of an attribute that is said to name actions, the numbers 0 and 1 are a checkbox."""
    is_flag = attribute.type == "number" and attribute.options and {*attribute.options} <= {"0", "1"}
    return replace(attribute, type="checkbox", options=()) if is_flag else attribute


def _is_known(attribute: Attribute, known: ClassNames) -> bool:
    if attribute.type == "checkbox":
        return known.find(attribute.name) is not None
    return any(known.find(each) or known.find(qualified(attribute.name, each)) for each in attribute.options)


def _is_other(attribute: Attribute) -> bool:
    return spelt(attribute.name).removeprefix("is ") in OTHER


def _listed(attributes: Sequence[Attribute]) -> str:
    return ", ".join(dict.fromkeys(each.name for each in attributes))


def _quoted(names: Sequence[str]) -> str:
    return " or ".join(repr(each) for each in names)
