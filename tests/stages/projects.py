"""A project folder with a small data set, for tests that run a stage in it."""

import functools
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from pipeline.boxes.folders import NO_OBJECTS
from pipeline.project.compose import compose_params

REPOSITORY = Path(__file__).resolve().parent.parent.parent


@functools.cache
def _default_params() -> dict[str, Any]:
    return compose_params([], REPOSITORY / "conf")


def write_params(project: Path, **blocks: dict[str, Any]) -> None:
    """`params.yaml` as composed without overrides, with some values of its blocks replaced; there are no objects."""
    values = deepcopy(_default_params())
    values["dataset"]["objects"] = NO_OBJECTS
    for block, replaced in blocks.items():
        values[block] |= replaced
    (project / "params.yaml").write_text(yaml.safe_dump(values))


def run_here(folder: Path, name: str, *words: str) -> None:
    """What `benchmarks.playground.stage` runs, in this process, whose current folder is `folder`."""
    function = getattr(import_module(name), name.partition(".")[2])
    device = {} if name in ("stages.make_videos", "stages.extract_frames") else {"device": "cpu"}
    more = {} if name.startswith("stages.import_") else {"workers": 1, **device}
    function(*words, **more)
