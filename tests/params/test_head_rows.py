from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.base.hardware import Hardware
from pipeline.checkpoint.weights import BASELINE
from pipeline.features.open_rows import RowSource
from pipeline.features.split_parts import Sources
from pipeline.params import parse_params
from pipeline.params.head_rows import row_source
from tests.params.test_params import composed

HARDWARE = Hardware(torch.device("cpu"), 1, 1)


def rows(**values: Any) -> RowSource:
    return row_source(parse_params(composed(**values), "params.yaml"), HARDWARE)


def test_paths_and_settings_are_those_of_the_parameters() -> None:
    found = rows(**{"bank.train": "x/train.zarr", "bank.producer": "unknown", "bank.allow_mixed": True})
    params = parse_params(composed(), "params.yaml")
    assert found.sources == Sources(
        Path(params.scope.frames), Path("data/playground/annotations"), Path(params.scope.boxes), BASELINE
    )
    assert found.banks == {"train": "x/train.zarr", "val": params.bank.val}
    assert (found.producer, found.allow_mixed, found.hardware) == ("unknown", True, HARDWARE)
    assert found.settings.rule == params.bank.rule


@pytest.mark.parametrize(("name", "expected"), [("own", False), ("external", True)])
def test_rows_come_from_a_bank_where_it_was_made_elsewhere(name: str, expected: bool) -> None:
    """A head that reads windows opens banks whatever this says."""
    assert rows(**{"bank.name": name}).reads_bank == expected
