"""Messages name parameters by their whole dotted keys, which exist: `baseline.augmentation.crop`, not `crop`."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from pipeline.project.compose import compose_params
from tests.end_to_end.harness import REPOSITORY

ENDINGS = ("arrow", "csv", "html", "jpg", "json", "jsonl", "md", "mp4", "npy", "parquet", "pbtxt", "pkl", "py", "pth",
           "safetensors", "tsv", "txt", "xml", "yaml", "zarr", "zip")  # fmt: skip
# What is said to a user.
SAID = ("InputError", "NothingReadError", "ValueError", "Problem", "Notice", "findings_of", "print")
# Words of their own that are also the last part of a key: columns and keys of files, and provenance of a bank.
WORDS = {"class_map", "action_threshold"}
FILES = sorted(path for folder in ("pipeline", "stages") for path in (REPOSITORY / folder).rglob("*.py"))


@cache
def keys() -> frozenset[str]:
    """The dotted keys of the parameters, blocks included, of some choices that together have all of them."""
    found: set[str] = set()
    frozen = ["backbone=transformers", "backbone.folder=x", "frames.allow_smaller=true"]
    heads = (["scope=all"], ["head=linear"], ["head=aia_serial"])
    for overrides in ([], *heads, ["+experiment=ava22_slowfast_r50_8x8"], frozen):
        found |= set(_keys(compose_params(list(overrides), REPOSITORY / "conf")))
    return frozenset(found)


def _keys(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{name}.")


def texts(node: ast.AST) -> Iterator[tuple[int, str]]:
    """The strings below a node; values in an f-string are {}."""
    if isinstance(node, ast.JoinedStr):
        parts = [str(each.value) if isinstance(each, ast.Constant) else "{}" for each in node.values]
        yield node.lineno, "".join(parts)
        for value in node.values:
            if isinstance(value, ast.FormattedValue):
                yield from texts(value.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.lineno, node.value
    else:
        for each in ast.iter_child_nodes(node):
            yield from texts(each)


def dotted_faults(text: str) -> list[str]:
    """Keys below a block of the parameters that do not exist."""
    blocks = "|".join(sorted({key.partition(".")[0] for key in keys()}))
    found = re.findall(rf"(?<![\w./{{}}-])((?:{blocks})(?:\.[a-z_0-9]+)+)(?![\w/({{])", text)
    others = [key for key in found if not key.startswith("head.shared.")]  # tensors of foreign checkpoints
    return [key for key in others if key not in keys() and key.rpartition(".")[2] not in ENDINGS]


def bare_faults(text: str) -> list[str]:
    """Last parts of keys that stand alone: two words, or what the reader is told to set."""
    last = {key.rpartition(".")[2] for key in keys() if "." in key}
    two_words = "|".join(sorted(each for each in last if "_" in each and each not in WORDS))
    found = re.findall(rf"(?<![\w.{{}}/\-'\"])({two_words})(?![\w.('\"=])", text)
    told = re.findall(r"\b(?:set|raise|lower|Set|Raise|Lower) ([a-z_]+(?:\.[a-z_]+)*)", text)
    return [*found, *(each for each in told if each in last and each not in keys())]


def test_the_checks_see_what_they_are_for() -> None:
    assert dotted_faults("set baseline.crop") == ["baseline.crop"]
    assert dotted_faults("baseline.augmentation.crop, bank.read(), labels.json, data/x/bank.zarr") == []
    assert bare_faults("more than max_bad_fraction {}") == ["max_bad_fraction"]
    assert bare_faults("set crop to {}") == ["crop"]
    assert bare_faults("{}.box_threshold, baseline.box_threshold, --box-threshold, box_threshold=0.9") == []


@pytest.mark.parametrize("check", [dotted_faults, bare_faults])
def test_messages_name_whole_keys(check: Any) -> None:
    faults = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
            for line, text in texts(node) if name in SAID else ():
                faults += [f"{path.relative_to(REPOSITORY)}:{line}: {fault}" for fault in check(text)]
    assert sorted(set(faults)) == []
