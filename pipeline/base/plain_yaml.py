"""Read YAML that users write: UTF-8, one mapping, no repeated key. Errors are one line."""

from pathlib import Path
from typing import Any

import yaml

from pipeline.base.errors import InputError
from pipeline.base.files import refuse_special


class _Loader(yaml.SafeLoader):
    """A loader that refuses repeated keys; PyYAML itself silently keeps the last one."""

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
    """Parse the bytes of a YAML file that holds one mapping.

    Raises:
        InputError: they are not UTF-8 or not YAML, a key stands twice, or the whole is not a mapping; the message
            begins with `where`.
    """
    try:
        value = yaml.load(data.decode("utf-8-sig"), _Loader)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{where}: line {line} is not UTF-8 text, expected YAML") from None
    except RecursionError:
        raise InputError(f"{where}: not YAML that is read: it is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an invalid date or number
        raise InputError(f"{where}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        found = "nothing" if value is None else f"a {type(value).__name__}"
        raise InputError(f"{where}: found {found}, expected a mapping (`key: value` lines)")
    return value


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping; see `parse_yaml`.

    Raises:
        InputError: the file is absent, or `parse_yaml` refuses it.
    """
    refuse_special(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run it in the project's folder, or `actionbank compose`") from None
    return parse_yaml(data, str(path))
