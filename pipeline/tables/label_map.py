"""Classes: their ids, names and groups, and how label maps are read."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.base.checksums import read_sealed_json, write_sealed_json
from pipeline.base.errors import InputError
from pipeline.base.files import refuse_special

# Every id up to the largest has a column, with or without a name.
MAX_CLASS_ID = 100_000
AVA_GROUPS = ("person_movement", "object_manipulation", "person_interaction")
# A value of pbtxt (quoted or bare), a brace or a colon; everything else except space and comments is an error.
_TOKEN = re.compile(r'\s+|#[^\n]*|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|[{}:]|[^\s{}:"\'#]+')
_FORMS = "'item {', a header 'id,name' or lines 'id: name'"
_PBTXT_FIELDS = {
    "id": "id", "label_id": "id", "name": "name", "group": "group", "label_type": "group",
    "display_name": "",  # accepted, but not used
}  # fmt: skip


@dataclass(frozen=True)
class Label:
    """One class of actions."""

    id: int
    "The source's id, from 1 on."
    name: str
    group: str
    "Reports average the classes of each group."


def ava_group(class_id: int) -> str:
    """Return AVA's group of an id: 1-14 person movement, 15-63 object manipulation, 64-80 person interaction."""
    return AVA_GROUPS[(class_id > 14) + (class_id > 63)]


def read_label_map(path: Path, *, first_id: int = 1) -> list[Label]:
    """Read a label map, sorted by id.

    The content decides the form: AVA's pbtxt (`item { name: "..." id: 1 }`, optionally with `group: "..."`, or
    `label { name: "..." label_id: 1 label_type: ... }`), a CSV with the header `id,name[,group]`, lines
    `id: name`, or our own `labels.json`. A class without a group gets AVA's group of its id.

    Args:
        path: the file.
        first_id: the smallest id that is accepted, 1 or 0.

    Raises:
        InputError: the file is absent, a line is bad, an id is below `first_id` or repeated, or there is no class.
    """
    refuse_special(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text, expected a label map") from None
    first = next((line for line in text.splitlines() if line.strip()), "")
    if first.lstrip().startswith("{"):
        return read_labels(path)
    if "," in first and first.split(",")[0].strip().lower() == "id":
        entries = _csv_entries(path, text)
    elif re.match(r"\s*\d+\s*:", first):
        entries = _line_entries(path, text)
    else:
        entries = _with_zero(_pbtxt_entries(path, text)) if first_id == 0 else _pbtxt_entries(path, text)
    return _labels(path, entries, first_id)


def write_labels(path: Path, labels: Sequence[Label]) -> None:
    """Write `labels.json`: {"classes": [{"id", "name", "group"}, ...]}, sorted by id."""
    write_sealed_json(path, {"classes": [asdict(label) for label in sorted(labels, key=lambda label: label.id)]})


def read_labels(path: Path) -> list[Label]:
    """Read `labels.json`.

    Raises:
        InputError: the file is absent or of another form.
    """
    content = read_sealed_json(path)
    classes = content.get("classes") if isinstance(content, dict) else None
    if not isinstance(classes, list):
        raise InputError(f'{path}: expected {{"classes": [{{"id", "name", "group"}}, ...]}}')
    entries = []
    for index, each in enumerate(classes, start=1):
        if not isinstance(each, dict) or sorted(each) != ["group", "id", "name"]:
            raise InputError(f"{path}: class {index}: expected the keys id, name and group")
        entries.append((f"class {index}", {key: str(value) for key, value in each.items()}))
    return _labels(path, entries)


_Entry = tuple[str, dict[str, str]]  # its place in the file, and its fields id, name and group as text


def _labels(path: Path, entries: Sequence[_Entry], first_id: int = 1) -> list[Label]:
    labels: dict[int, Label] = {}
    for place, fields in entries:
        text, name = fields.get("id", "").strip(), fields.get("name", "").strip()
        if not re.fullmatch("[0-9]{1,9}", text) or int(text) < first_id:
            raise InputError(f"{path}: {place}: id is '{text}', expected an integer from {first_id} on")
        if int(text) > MAX_CLASS_ID:
            raise InputError(f"{path}: {place}: id is '{text}', expected at most {MAX_CLASS_ID}")
        if not name:
            raise InputError(f"{path}: {place}: class {text} has no name")
        if int(text) in labels:
            raise InputError(f"{path}: {place}: id {text} comes a second time")
        group = "_".join(fields.get("group", "").lower().split())
        labels[int(text)] = Label(int(text), name, group or ava_group(int(text)))
    if not labels:
        raise InputError(f"{path}: found no class, expected a label map")
    return [labels[class_id] for class_id in sorted(labels)]


def _with_zero(entries: Sequence[_Entry]) -> list[_Entry]:
    """Add the id 0 if one entry has no id and the others have the ids from 1 on.

    Protobuf's text format omits a field whose value is 0.
    """
    rest = sorted(fields["id"].strip().zfill(9) for _, fields in entries if "id" in fields)
    if len(rest) != len(entries) - 1 or rest != [str(each).zfill(9) for each in range(1, len(entries))]:
        return list(entries)
    return [(place, {"id": "0", **fields}) for place, fields in entries]


def _csv_entries(path: Path, text: str) -> list[_Entry]:
    reader = csv.reader(text.splitlines())
    header = [cell.strip().lower() for cell in next(row for row in reader if row)]
    if "name" not in header:
        raise InputError(f"{path}: header is {','.join(header)}, expected id,name or id,name,group")
    entries = []
    for row in filter(None, reader):
        place = f"line {reader.line_num}"
        if len(row) != len(header):
            raise InputError(f"{path}: {place}: found {len(row)} columns, expected {len(header)}")
        entries.append((place, dict(zip(header, row, strict=True))))
    return entries


def _line_entries(path: Path, text: str) -> list[_Entry]:
    entries = []
    for number, line in enumerate(text.splitlines(), start=1):
        class_id, colon, name = line.partition(":")
        if line.strip() and not colon:
            raise InputError(f"{path}: line {number}: found '{line.strip()}', expected 'id: name'")
        if line.strip():
            entries.append((f"line {number}", {"id": class_id, "name": name}))
    return entries


def _pbtxt_entries(path: Path, text: str) -> list[_Entry]:
    entries = []
    tokens = _tokens(path, text)
    for line, token in tokens:
        if token not in ("item", "label"):
            raise InputError(f"{path}: line {line}: found '{token}', expected {_FORMS}")
        _expect(path, tokens, "{")
        fields: dict[str, str] = {}
        for field_line, name in tokens:
            if name == "}":
                break
            if name not in _PBTXT_FIELDS:
                raise InputError(
                    f"{path}: line {field_line}: field is '{name}', expected one of {', '.join(_PBTXT_FIELDS)}"
                )
            _expect(path, tokens, ":")
            value_line, value = next(tokens, (field_line, "}"))
            if value in ("{", "}", ":"):
                raise InputError(f"{path}: line {value_line}: found '{value}', expected a value of '{name}'")
            quoted = value[0] in "\"'"
            fields[_PBTXT_FIELDS[name]] = re.sub(r"\\(.)", r"\1", value[1:-1]) if quoted else value
        else:
            raise InputError(f"{path}: line {line}: '{token}' does not end, expected '}}'")
        entries.append((f"line {line}", fields))
    return entries


def _tokens(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """Yield the (line, token) pairs of a pbtxt."""
    position, line = 0, 1
    while position < len(text):
        found = _TOKEN.match(text, position)
        if not found:
            raise InputError(f"{path}: line {line}: a quotation does not end")
        if not found[0].isspace() and not found[0].startswith("#"):
            yield line, found[0]
        position, line = found.end(), line + found[0].count("\n")


def _expect(path: Path, tokens: Iterator[tuple[int, str]], wanted: str) -> None:
    line, token = next(tokens, (0, ""))
    if token != wanted:
        place = f"line {line}: found '{token}'" if line else "the file ends"
        raise InputError(f"{path}: {place}, expected '{wanted}'")


def _evaluated(lines: str) -> tuple[Label, ...]:
    pairs = [line.split(": ", 1) for line in lines.strip().splitlines()]
    return tuple(Label(int(class_id), name, ava_group(int(class_id))) for class_id, name in pairs)


# The 60 of AVA's 80 classes that its evaluation counts: those with at least 25 instances in validation and in test.
AVA_EVALUATED = _evaluated("""
1: bend/bow (at the waist)
3: crouch/kneel
4: dance
5: fall down
6: get up
7: jump/leap
8: lie/sleep
9: martial art
10: run/jog
11: sit
12: stand
13: swim
14: walk
15: answer phone
17: carry/hold (an object)
20: climb (e.g., a mountain)
22: close (e.g., a door, a box)
24: cut
26: dress/put on clothing
27: drink
28: drive (e.g., a car, a truck)
29: eat
30: enter
34: hit (an object)
36: lift/pick up
37: listen (e.g., to music)
38: open (e.g., a window, a car door)
41: play musical instrument
43: point to (an object)
45: pull (an object)
46: push (an object)
47: put down
48: read
49: ride (e.g., a bike, a car, a horse)
51: sail boat
52: shoot
54: smoke
56: take a photo
57: text on/look at a cellphone
58: throw
59: touch (an object)
60: turn (e.g., a screwdriver)
61: watch (e.g., TV)
62: work on a computer
63: write
64: fight/hit (a person)
65: give/serve (an object) to (a person)
66: grab (a person)
67: hand clap
68: hand shake
69: hand wave
70: hug (a person)
72: kiss (a person)
73: lift (a person)
74: listen to (a person)
76: push (another person)
77: sing to (e.g., self, a person, a group)
78: take (an object) from (a person)
79: talk to (e.g., self, a person, a group)
80: watch (a person)
""")
