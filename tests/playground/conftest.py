"""Scripts and a small data set that several tests of the playground look at."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.playground.make import Counts, make_playground
from pipeline.playground.script import Script, write_script
from pipeline.playground.settings import Playground

SEED = 3


@pytest.fixture(scope="module")
def film() -> Script:
    return write_script(SEED, "train", 0, min_seconds=75, max_seconds=75)


@pytest.fixture(scope="module")
def short() -> Script:
    return write_script(SEED, "train", 1, min_seconds=20, max_seconds=20)


REPOSITORY = Path(__file__).resolve().parent.parent.parent


SMALL: dict[str, Any] = {
    "train_videos": 2,
    "val_videos": 1,
    "min_seconds": 20,
    "max_seconds": 22,
    "width": 64,
    "height": 48,
    "seed": 4,
}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Counts]:
    out = tmp_path_factory.mktemp("playground") / "source"
    return out, make_playground(out, Playground(**SMALL), workers=1)
