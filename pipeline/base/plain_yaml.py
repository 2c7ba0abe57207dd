"""YAML of users: UTF-8, one mapping, no key twice; what is wrong is told in one line."""

from pathlib import Path
from typing import Any

import yaml

from pipeline.base.errors import InputError
from pipeline.base.files import refuse_special


class _Loader(yaml.SafeLoader):
    """PyYAML takes the last of two equal keys without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, yaml.Mark] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice, first in line {seen[key.value].line + 1}",
                    key.start_mark,
                )  # fmt: skip
            seen[key.value] = key.start_mark
        return super().construct_mapping(node, deep)


def parse_yaml(data: bytes, where: str) -> dict[str, Any]:
    """The mapping that a YAML file's bytes hold.

    Raises:
        InputError: they are no UTF-8 text, no YAML, a key stands twice, or the whole is no mapping; the message begins
            with `where`.
    """
    try:
        value = yaml.load(data.decode("utf-8-sig"), _Loader)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{where}: line {line} is not UTF-8 text, expected YAML") from None
    except RecursionError:
        raise InputError(f"{where}: not YAML that is read: it is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or number that is none
        raise InputError(f"{where}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        found = "nothing" if value is None else f"a {type(value).__name__}"
        raise InputError(f"{where}: found {found}, expected a mapping (`key: value` lines)")
    return value


def read_yaml(path: Path) -> dict[str, Any]:
    """See `parse_yaml`.

    Raises:
        InputError: see there; or the file is absent.
    """
    refuse_special(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run it in the project's folder, or `actionbank compose`") from None
    return parse_yaml(data, str(path))
