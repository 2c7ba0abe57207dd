"""The choices that a params.yaml records: the file of each Hydra group, and values given beside them."""

from collections.abc import Mapping
from shlex import quote
from typing import Any

from pipeline.base.block import Block


class Choices(Block):
    """The file chosen from each Hydra group, so that `actionbank compose --check` can compose again."""

    dataset: str
    backbone: str
    head: str
    scope: str
    bank: str
    experiment: str | None = None
    values: list[str]
    "The overrides of `actionbank compose` that choose no group."


def chosen_overrides(values: Mapping[str, Any]) -> list[str]:
    """Return the overrides that choose the same file of each group again."""
    choices = values["choices"]
    groups = {group: name for group, name in choices.items() if group not in ("experiment", "values")}
    overrides = [f"{group}={name}" for group, name in groups.items() if name]
    track = values.get("recognition", {}).get("choices", {})
    overrides += [f"recognition/{group}={name}" for group, name in track.items()]
    if choices.get("experiment"):
        overrides.append(f"+experiment={choices['experiment']}")
    return overrides


def compose_words(values: Any) -> str:
    """Return the command that composes a parameter tree anew, with the choices that it records, if it records any."""
    choices = values.get("choices") if isinstance(values, Mapping) else None
    if not isinstance(choices, Mapping):
        return "actionbank compose"
    given = choices.get("values")
    words = [*chosen_overrides({"choices": choices}), *(given if isinstance(given, list) else [])]
    return " ".join(["actionbank compose", *(quote(str(each)) for each in words)])
