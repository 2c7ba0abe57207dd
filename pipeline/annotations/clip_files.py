"""Read the label files of a data set of clips: Something-Something v1 and v2 as published, and MMAction2's lists.

A file's name says its split (a word train, val or validation, or test) or that it names the classes (a word label or
labels); its ending and content say its format:

* `.csv`: `id;label text` a line (v1); of the test split `id`.
* `.json`: a list of {id, label, template, placeholders} (v2); of the test split {id}.
* `.txt`: MMAction2's lists, whose lines are `<id> <frames> <label>` or `<id> <first frame> <frames> <label>` for
  folders of frames, and `<file> <label>` for videos.
"""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.annotations.clip_rows import (
    ClassIds,
    ClipRow,
    ReadClips,
    clip_id,
    filled,
    read_class_names,
    sentence,
    text_lines,
)
from pipeline.base.errors import InputError
from pipeline.base.files import parse_json, path_bytes, visible_files
from pipeline.tables.csv_rows import shown
from pipeline.tables.timelines import SPLITS, split_in

_CLASS_NAMES = re.compile(r"(?<![a-z])labels?(?![a-z])")
LISTS = {
    2: "<file> <label>",
    3: "<id> <frames> <label>",
    4: "<id> <first frame> <frames> <label>",
}
"Forms of the lines of MMAction2's lists, by their number of fields."
MOST_DIGITS = 9
EMPTY_FOLDER = "; MMAction2 writes a line without a number for an empty folder"


def read_clip_files(folder: Path) -> tuple[ClassIds, ReadClips]:
    """Read all label files of a folder.

    Raises:
        InputError: the folder is absent, holds no labels or no names of classes, or a file has a wrong form.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of labels (recognition.dataset.labels)")
    paths = [path for path in sorted(visible_files(folder)) if path.suffix.lower() in _READERS]
    named = [path for path in paths if _CLASS_NAMES.search(path.stem.lower())]
    splits = {path: split_in(path.stem) for path in paths if path not in named}
    if len(named) != 1:
        found = " and ".join(path.name for path in named) or "none"
        raise InputError(
            f"{folder}: found {found}, expected one file that names the classes: *labels.csv or *label_map.txt (a name "
            "a line) or *labels.json ({name: id})"
        )
    if not any(splits.values()):
        raise InputError(
            f"{folder}: no file of labels, expected names with a word of {', '.join(SPLITS)}: *-train.csv (id;label), "
            "*-train.json (id, template) or *_train_list_*.txt (MMAction2's lists)"
        )
    classes, read = read_class_names(named[0]), ReadClips()
    for path, split in splits.items():
        if split:
            _READERS[path.suffix.lower()](path, split, classes, read)
    return classes, read


def read_sentences(path: Path, split: str, classes: ClassIds, read: ReadClips) -> None:
    """Read a CSV of Something-Something v1: `id;label text`, and `id` alone where the split publishes no labels."""
    for number, line in text_lines(path):
        read.total += 1
        item = f"line {number}"
        name, separator, text = (each.strip() for each in line.partition(";"))
        label = classes.find(text) if separator else None
        if not separator and split != "test":
            read.refuse(path.name, item, shown(line), "id;label text")
        elif separator and label is None:
            read.refuse(path.name, item, f"the label {shown(text)}", "one of the classes", "unknown-action")
        else:
            read.add(ClipRow(clip_id(name), split, label, text or None, path.name, item))


def read_templates(path: Path, split: str, classes: ClassIds, read: ReadClips) -> None:
    """Read a JSON of Something-Something v2: a list of {id, label, template, placeholders}.

    Raises:
        InputError: the file is no list.
    """
    content = parse_json(path_bytes(path), str(path))
    if not isinstance(content, list):
        raise InputError(f"{path}: expected a JSON list of clips: id, label, template, placeholders")
    for number, entry in enumerate(content):
        read.total += 1
        item = f"entry {number}"
        name = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(name, str | int) or isinstance(name, bool):
            read.refuse(path.name, item, shown(str(entry)), "an object with id and template")
        else:
            _template_row(path.name, f"{item} (id {name})", ClipRow(clip_id(str(name)), split, None, None, "", ""),
                          entry, classes, read)  # fmt: skip


def _template_row(
    file: str, item: str, row: ClipRow, entry: dict[str, Any], classes: ClassIds, read: ReadClips
) -> None:
    template, text = entry.get("template"), entry.get("label")
    if template is None and row.split == "test":
        read.add(ClipRow(row.video_id, row.split, None, None, file, item))
        return
    if not isinstance(template, str):
        read.refuse(file, item, f"template {shown(str(template))}", "a text with [placeholders]")
        return
    name, count = filled(template)
    label = classes.find(name)
    if label is None:
        read.refuse(file, item, f"the template {shown(template)}", "one of the classes in [brackets]", "unknown-action")
        return
    words = entry.get("placeholders")
    fits = isinstance(words, list) and len(words) == count and all(isinstance(each, str) for each in words)
    if words is not None and not fits:
        found = f"{len(words)} placeholders" if isinstance(words, list) else f"placeholders {shown(str(words))}"
        read.note(file, item, f"{found} for the template {shown(template)}", f"{count} texts")
    if not isinstance(text, str):
        text = sentence(template, words) if words is not None and fits else name
    read.add(ClipRow(row.video_id, row.split, label, text, file, item))


def read_list(path: Path, split: str, classes: ClassIds, read: ReadClips) -> None:
    """Read one of MMAction2's lists; the form that most of its lines have is that of all.

    A name may hold blanks: fields are counted from the right.
    """
    lines = [(number, line, line.split()) for number, line in text_lines(path)]
    width = _fields(lines)
    for number, line, fields in lines:
        read.total += 1
        item = f"line {number}"
        numbers = fields[max(1, len(fields) - width + 1) :]
        if len(fields) < width or not all(map(_is_number, numbers)):
            note = EMPTY_FOLDER if len(fields) == 2 and width > 2 else ""
            read.refuse(path.name, item, shown(line), LISTS[width] + note)
            continue
        label = int(numbers[-1])
        if label >= len(classes) or not classes.names[label]:
            read.refuse(path.name, item, f"label {label}", f"an id of the {len(classes)} classes", "unknown-action")
            continue
        frames = int(numbers[-2]) if width > 2 else None
        first = int(numbers[0]) if width == 4 else 0
        name = line
        for each in reversed(numbers):
            name = name.removesuffix(each).rstrip()
        read.add(ClipRow(clip_id(name), split, label, classes.names[label], path.name, item, first, frames))


def _fields(lines: list[tuple[int, str, list[str]]]) -> int:
    """Return the number of fields of a list's lines: the number of integers at the end of most lines, and the name."""
    counts = Counter(min(1 + _trailing_numbers(fields), max(LISTS)) for _, _, fields in lines)
    known = {width: count for width, count in counts.items() if width in LISTS}
    return max(known, key=lambda width: (known[width], width)) if known else min(LISTS)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def _trailing_numbers(fields: list[str]) -> int:
    count = 0
    for each in reversed(fields[1:]):
        if not _is_number(each):
            break
        count += 1
    return count


_READERS: dict[str, Callable[[Path, str, ClassIds, ReadClips], None]] = {
    ".csv": read_sentences,
    ".json": read_templates,
    ".txt": read_list,
}
