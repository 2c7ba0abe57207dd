"""Read how an experiment came to be: its parameters, its checkpoint's record, its learning curves."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.analysis.learning_curves import Curves, read_curves
from pipeline.analysis.revisions import located
from pipeline.base.checksums import read_sealed_json
from pipeline.base.errors import InputError
from pipeline.base.plain_yaml import parse_yaml

TRAININGS = ("baseline", "head")


@dataclass(frozen=True)
class Background:
    """What is known of an experiment beside its results; what is absent is empty."""

    params: dict[str, str]
    "Every parameter by its dotted name."
    record: dict[str, str]
    "The record in the sidecar of models/head.*, by dotted names."
    curves: dict[str, Curves]
    "By the name of the training."


def read_background(source: str) -> Background:
    """Read the background of a source of `read_experiment`.

    Raises:
        InputError: a file is bad; or there is no params.yaml.
    """
    with located(source) as locate:
        params = parse_yaml(locate("params.yaml").read_bytes(), f"{source}: params.yaml")
        record: dict[str, Any] = {}
        with contextlib.suppress(InputError):  # it is not there
            record = read_sealed_json(locate("models/head.json"))
        curves: dict[str, Curves] = {}
        for name in TRAININGS:
            try:
                epochs = locate(f"results/{name}/epochs.tsv")
                locate(f"results/{name}/validation.tsv")
            except InputError:
                continue
            found = read_curves(epochs.parent)
            if found is not None and found not in curves.values():
                curves[name] = found
    return Background(dotted(params), dotted(record), curves)


def dotted(values: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Return nested values by dotted names, as text."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= dotted(value, f"{before}{name}.")
        else:
            flat[f"{before}{name}"] = str(value)
    return flat
