"""Change the structure of a file's content at random, by a seed; consecutive changes differ."""

import copy
import csv
import io
import random
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import numpy as np

NUMBERS = (0, -1, 1, 2, 7, 0.5, -0.5, 1e9, 1e300, -1e300, 2**31, 2**63, 2**64, 10**30, 10**400, 1e-300, 1e-12)
NOT_FINITE = (float("nan"), float("inf"), float("-inf"))
TEXTS = (
    *("", " ", "a", "nan", "NaN", "inf", "-1", "0", "1e300", "1e400", "9" * 5000, "a/b", "../x", "x" * 300, "\u0000"),
    *("ü\u2028", "\ud800", ",", '"', "[", "{}", "None", "true", "1.5.2", "+5", "0x10", "\uff11", "²", "1_000", "label"),
)
ENCODINGS = (
    *("utf-8",) * 12,
    *("utf-16", "utf-7", "latin-1", "ascii", "utf-32", "cp037", "shift_jis", "rot13", "no-such", "hex"),
)


DEEP = "@deep@"
"Stands for lists that are nested too deeply for Python to write them."


def deep(depth: int) -> Any:
    """Lists in lists."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def odd_value(rng: random.Random) -> Any:
    """A value that no format expects in most places."""
    kinds: tuple[Callable[[], Any], ...] = (
        lambda: rng.choice(NUMBERS),
        lambda: rng.choice(NOT_FINITE),
        lambda: rng.choice(TEXTS),
        lambda: rng.choice((None, True, False)),
        lambda: rng.choice(([], {}, [[]], [None], {"a": 1}, [1, 2, 3, 4], [{}], {"id": 1}, [[1, 2], [3]])),
        lambda: rng.choice((DEEP, deep(5), deep(40))),
    )
    return rng.choice(kinds)()


def odd_array(rng: random.Random) -> Any:
    """An array as a pickle may hold it."""
    shape = rng.choice(((), (0,), (1,), (5,), (0, 5), (1, 5), (2, 5), (2, 4), (2, 6), (1, 2, 5), (3, 0)))
    kind = rng.choice(("f4", "f8", "f2", "i8", "u1", "?", ">f4", ">i4"))
    array = np.zeros(shape, np.float64)
    if array.size and rng.random() < 0.5:
        array.flat[rng.randrange(array.size)] = rng.choice((1e300, -1.0, 0.5, 2.0, float("nan"), float("inf")))
    with np.errstate(all="ignore"):
        return array.astype(kind)


def _places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every container with every key of it."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            found.append((value, key))
            _places(value[key], found)
    return found


def change_value(value: Any, rng: random.Random, *, arrays: bool = False) -> Any:
    """One to three changes at any place of nested dicts and lists."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = _places(value, [])
        if not places or rng.random() < 0.02:
            value = odd_value(rng)
            continue
        owner, key = rng.choice(places)
        change = rng.randrange(8)
        if change == 0:
            del owner[key]
        elif change == 1 and isinstance(owner, list):
            owner.insert(key, copy.deepcopy(owner[key]))
        elif change == 2:
            other_owner, other = rng.choice(places)
            if not any(id(owner[key]) == id(each) for each, _ in _places(other_owner[other], [])):
                owner[key] = copy.deepcopy(other_owner[other])
        elif change == 3 and isinstance(owner, dict):
            owner[rng.choice((*TEXTS, 1, 2.5, None, True) if arrays else TEXTS)] = owner.pop(key)
        elif change == 4:
            owner[key] = [owner[key]] if rng.random() < 0.5 else {"a": owner[key]}
        elif change == 5 and isinstance(owner[key], str):
            at = rng.randrange(len(owner[key]) + 1)
            owner[key] = owner[key][:at] + rng.choice(TEXTS) + owner[key][at:]
        elif arrays and rng.random() < 0.5:
            owner[key] = odd_array(rng)
        else:
            owner[key] = odd_value(rng)
    return value


def change_table(text: str, rng: random.Random, *, quoted: bool = False) -> str:
    """Changes of cells, rows and the separator of a CSV."""
    rows = list(csv.reader(text.splitlines())) if quoted else [line.split(",") for line in text.splitlines()]
    for _ in range(rng.choice((1, 1, 2, 4))):
        row = rng.randrange(len(rows)) if rows else 0
        change = rng.randrange(9)
        if not rows:
            break
        if change == 0:
            del rows[row]
        elif change == 1:
            rows.insert(row, list(rows[rng.randrange(len(rows))]))
        elif change == 2 and rows[row]:
            del rows[row][rng.randrange(len(rows[row]))]
        elif change == 3:
            rows[row].insert(rng.randrange(len(rows[row]) + 1), str(odd_value(rng))[:9000])
        elif change == 4:
            rng.shuffle(rows[row])
        elif change == 5:
            rows[row] = []
        elif rows[row]:
            cell = rng.randrange(len(rows[row]))
            old = rows[row][cell]
            value = rng.choice((*NUMBERS, *NOT_FINITE, *TEXTS, old + old, "-" + old, old[1:]))
            rows[row][cell] = "9" * 5000 if value == 10**400 else str(value)
    if quoted:
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(rows)
        return out.getvalue()
    return "\n".join(rng.choice((",", ",", ",", ",", ";", "\t")) .join(row) if rng.random() < 0.05 else ",".join(row)
                     for row in rows) + rng.choice(("\n", "", "\r\n"))  # fmt: skip


def change_xml(text: str, rng: random.Random) -> bytes:
    """Changes of elements, attributes and texts, and now and then another encoding."""
    root = ET.fromstring(text)
    parents = {child: parent for parent in root.iter() for child in parent}
    for _ in range(rng.choice((1, 1, 2, 3))):
        each = rng.choice(list(root.iter()))
        parent = parents.get(each)
        change = rng.randrange(8)
        if change == 0 and parent is not None and each in list(parent):
            parent.remove(each)
        elif change == 1 and parent is not None:
            parent.append(copy.deepcopy(each))
        elif change == 2:
            each.text = _xml_text(rng)
        elif change in (3, 4) and each.attrib:
            each.set(rng.choice(sorted(each.attrib)), _xml_text(rng))
        elif change == 5 and each.attrib:
            del each.attrib[rng.choice(sorted(each.attrib))]
        elif change == 6:
            each.tag = rng.choice(("track", "box", "attribute", "meta", "task", "x", "image", "size", "fps"))
        else:
            inner = each
            for _ in range(rng.choice((1, 5, 70))):
                inner = ET.SubElement(inner, each.tag)
    body = ET.tostring(root, encoding="unicode")
    name = rng.choice(ENCODINGS)
    try:
        return f"<?xml version='1.0' encoding='{name}'?>{body}".encode(name, "replace")
    except (LookupError, AssertionError):
        return f"<?xml version='1.0' encoding='{name}'?>{body}".encode()


def _xml_text(rng: random.Random) -> str:
    value = rng.choice((*NUMBERS, *NOT_FINITE, *TEXTS))
    text = "9" * 5000 if value == 10**400 else str(value)
    return "".join(each for each in text if each not in "\u0000\ud800")


def change_text(text: str, rng: random.Random) -> str:
    """Changes of words, for files that are neither table nor tree."""
    words = text.split(" ")
    for _ in range(rng.choice((1, 2, 4))):
        at = rng.randrange(len(words))
        change = rng.randrange(4)
        if change == 0 and len(words) > 1:
            del words[at]
        elif change == 1:
            words.insert(at, words[rng.randrange(len(words))])
        else:
            words[at] = rng.choice((*TEXTS, *map(str, NUMBERS[:14]), "{", "}", ":", "\n", "item", "id:"))
    return " ".join(words)


def change_bytes(data: bytes, rng: random.Random) -> bytes:
    """Truncation, flips, repetitions, other encodings."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(changed) + 1)
        change = rng.randrange(7)
        if change == 0:
            del changed[at:]
        elif change == 1 and changed:
            changed[at % len(changed)] ^= 1 << rng.randrange(8)
        elif change == 2 and changed:
            changed[at % len(changed)] = rng.randrange(256)
        elif change == 3:
            changed[at:at] = bytes(rng.randrange(256) for _ in range(rng.choice((1, 4, 40))))
        elif change == 4:
            changed[at:at] = changed[rng.randrange(len(changed) + 1) :][: rng.choice((1, 10, 200))]
        elif change == 5:
            del changed[at : at + rng.choice((1, 3, 30))]
        else:
            changed[:0] = rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\n\n", b"#"))
    return bytes(changed)
