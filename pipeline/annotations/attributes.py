"""Find the attributes of an annotation tool that name a person's actions (`dataset.action_attribute`).

A checkbox is one class, named after it. Every option of a choice (select, radio, dropdown, list) is a class. `auto`
takes an attribute called action (or activity); else the attributes that the label map knows; else all checkboxes and
choices that are not known to mean something else (occluded, id, gender). If it cannot decide, it raises an error:
otherwise the label of a track, mostly `person`, would become the class of persons whose actions are attributes.
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
"Configurations written before `auto` existed say `action`: if no attribute has that name, it means `auto`."
NAMED = ("action", "actions", "activity", "activities")
YES, NO = frozenset(("true", "yes", "1", "on", "checked")), frozenset(("false", "no", "0", "off", "unchecked"))
# Attributes that annotators and exporters add and that name no action.
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
    """One attribute of a file, as the file defines it or as its values suggest."""

    name: str
    type: Type
    options: tuple[str, ...] = ()
    "All options of a choice, in their order; for a text, the values that its definition lists."
    labels: frozenset[str] = frozenset()
    "Labels of the tracks that have the attribute; empty if the format has no labels."


@dataclass(frozen=True)
class ActionAttributes:
    """The attributes that name the actions of one file."""

    attributes: tuple[Attribute, ...] = ()
    "Empty if a person's label is the action."
    names: tuple[str, ...] = ()
    "Class names, in the order of the file."
    ignored: tuple[str, ...] = ()
    "Names of the attributes that are not read."
    settled: bool = False
    "True if the user's parameter chose the attributes, so that no notice is needed."

    @property
    def attribute_names(self) -> frozenset[str]:
        """Return the names of the attributes as the file writes them."""
        return frozenset(each.name for each in self.attributes)

    def notices(self, file: str) -> list[Notice]:
        """Return a notice of the attributes that are not read."""
        if not self.ignored or self.settled:
            return []
        read = ", ".join(each.name for each in self.attributes) or "the label"
        found = f"{', '.join(self.ignored)}, which are not read; actions are read from {read}"
        expected = "those that name actions in dataset.action_attribute"
        return [Notice("attribute-ignored", Problem(file, "attributes", found, expected), len(self.ignored))]

    def told(self) -> str:
        """Describe the choice, for the line that is printed for a file."""
        read = ", ".join(each.name for each in self.attributes) or "the label"
        return f"actions by {read}" + (f" (not read: {', '.join(self.ignored)})" if self.ignored else "")


def typed(name: str, type_: str, options: Sequence[str], labels: frozenset[str] = frozenset()) -> Attribute:
    """Build an attribute from its tool's type. A choice of yes and no is a checkbox, one of numbers is a number."""
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
    """Derive attributes from the values of persons, for formats that define none; names and options are sorted.

    Args:
        values: the attribute values of each person.
        labels: the labels of the same persons, if the format has labels.
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
            # A text that joins other options with commas is several of them, not an option of its own.
            several = {each for each in options if "," in each and options.issuperset(map(str.strip, each.split(",")))}
            attributes.append(typed(name, "choice", sorted(options - several), of))
    return attributes


def choose(
    where: str, attributes: Sequence[Attribute], labels: Sequence[str], wanted: Wanted, known: ClassNames | None
) -> ActionAttributes:
    """Choose what names the actions: attributes, or the labels of persons.

    Args:
        where: the file, for messages.
        attributes: all that the file has.
        labels: the labels of its persons, in the order of the file.
        wanted: `dataset.action_attribute`.
        known: the classes of a label map, if there is one.

    Raises:
        InputError: none of the file's attributes is a wanted one, or nothing tells which of them name actions.
    """
    if wanted == NONE or not attributes:
        ignored = tuple(dict.fromkeys(each.name for each in attributes))
        return ActionAttributes((), tuple(labels), ignored, settled=True)
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
    return ActionAttributes((), tuple(labels), tuple(dict.fromkeys(each.name for each in attributes)))


def _chosen(picked: Sequence[Attribute], attributes: Sequence[Attribute], *, settled: bool = False) -> ActionAttributes:
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
    return ActionAttributes(tuple(picked), tuple(dict.fromkeys(names)), tuple(ignored), settled)


def qualified(attribute: str, option: str) -> str:
    """Return the name of a class whose option occurs in two attributes: `hands: other`."""
    return f"{attribute}: {option}"


def actions_of(
    values: Mapping[str, Any], label: str | Sequence[str], chosen: ActionAttributes, names: ClassNames
) -> list[str]:
    """Return the names of a person's actions; a name that is not a class is returned as it was found.

    Args:
        values: the person's attribute values, by the attribute's name in the file.
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
    """Split a list, or a text with commas that is not itself a class, into names; drop those that mean no action."""
    if isinstance(found, str):
        is_class = names.find(found) or (attribute and names.find(qualified(attribute, found)))
        found = [found] if is_class else found.split(",")
    return [name for name in dict.fromkeys(map(str.strip, found)) if name.lower() not in NO_ACTION]


def values_of(value: Any) -> list[str]:
    """Return the texts of a value: the items of a list, or the keys of an object whose values are true."""
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
    """Turn a number attribute with the values 0 and 1 into a checkbox, as it is said to name an action."""
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
